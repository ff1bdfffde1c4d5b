"""Question 5: fastText draws one label per visit; what that loses, and what else can be done.

    python examples/05_random_label.py [--data cooking.stackexchange.txt.gz]

The file is in fastText's format (default: ../shared/data/cooking; where it is missing, the demo
texts of the package). The whole run: benchmarks/questions/q5_random_label.py.
"""

import argparse
from pathlib import Path

import numpy as np

import eitheror as eo

LOSSES = ("pol", "pal-n", "pal", "ova")
OPTIONS = (*LOSSES, "one network per class", "label powerset", "classifier chain")
DATA = Path(__file__).parents[2] / "shared/data/cooking/cooking.stackexchange.txt.gz"


def read(path):
    """Read texts and a 0/1 matrix of the 8 most frequent tags: 2,000 rows with one at least."""
    demo = Path(eo.__file__).parent / "_demo" / "tags.jsonl"
    texts, labels = eo.read(path if path.is_file() else demo, task="multilabel")
    rows = [i for i, label in enumerate(labels) if label.kind == "tags"]
    Y = (labels[rows].to_targets() == 1).astype(int)
    Y = Y[:, np.argsort(-Y.sum(axis=0), kind="stable")[:8]]
    some = Y.any(axis=1)
    return np.array(texts, dtype=object)[rows][some][:2000], Y[some][:2000]


def network(X, y, n_classes=None, loss="auto"):
    labels = eo.Labels(y.tolist(), range(n_classes)) if n_classes else eo.Labels.from_indicator(y)
    return eo.TextClassifier(features="embedding", loss=loss, dim=16, lr=1.0).fit(X, labels)


def per_class(X, Y, parts):
    fits = [network(X, y, 2) for y in Y.T]  # nothing in common
    return [np.stack([fit.predict_proba(x)[:, 1] for fit in fits], axis=1) for x in parts]


def powerset(X, Y, parts):
    sets, index = np.unique(Y, axis=0, return_inverse=True)  # a class for each set seen
    fitted = network(X, index.ravel(), len(sets))
    return [fitted.predict_proba(x) @ sets for x in parts]


def chain(X, Y, parts):
    said, proba = [X, *parts], []
    for k, y in enumerate(Y.T):  # reads the tags decided before as further words of the text
        fitted = network(said[0], y, 2)
        now = [fitted.predict_proba(x)[:, 1] for x in said[1:]]
        proba, yes = [*proba, now], [y, *[p >= 0.5 for p in now]]
        said = [x + np.where(on, f" tag{k}", "") for x, on in zip(said, yes, strict=True)]
    return [np.stack(columns, axis=1) for columns in zip(*proba, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    texts, Y = read(parser.parse_args().data)
    thirds = [len(texts) // 3, len(texts) * 2 // 3]
    (X, *parts), (Y, Y_held, Y_test) = np.split(texts, thirds), np.split(Y, thirds)
    remedies = dict(zip(OPTIONS[4:], (per_class, powerset, chain), strict=True))
    print(f"{len(X)} training rows: {'':<7}threshold  aggregate Jaccard  whole sets right")
    for name in OPTIONS:
        if name in LOSSES:
            held, test = map(network(X, Y, loss=name).predict_proba, parts)
        else:
            held, test = remedies[name](X, Y, parts)
        rule = eo.decide.TunedThreshold("jaccard_micro").fit(eo.Labels.from_indicator(Y_held), held)
        chosen = rule.predict(test)  # the threshold comes from rows held out, not from these
        jaccard = (chosen & Y_test).sum() / (chosen | Y_test).sum()
        whole = (chosen == Y_test).all(axis=1).mean()
        print(f"{name:<29}{rule.threshold_:<11.3f}{jaccard:<19.3f}{whole:.3f}")


if __name__ == "__main__":
    main()
