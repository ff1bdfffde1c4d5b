"""Question 4: several tags per text in Keras, from a file with one row per (text, tag).

Options: Kullback-Leibler divergence to the multi-hot row as it stands, or made to add to 1; the
file's rows as they are, each with one class; a sigmoid for every tag; and, where only half of the
tags were asked about, sigmoids that leave the other half out or take it as absent.

GoEmotions, written as such a file and read back; the convolutional network of Kim (2014). Cuts are
tuned on rows kept for that, scores come from others.

    KERAS_BACKEND=tensorflow python benchmarks/questions/q4_tags_keras.py [--seeds 2] [--again]

`--again` builds tables and picture from the stored record.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import os
import re
import time
from collections import Counter
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import matplotlib as mpl
import numpy as np
from common import DATA, RESULTS, publish, save, spread, table
from common import style as line_style
from keras import layers

import eitheror as eo
from eitheror.keras import PartialBinaryCrossentropy

OPTIONS = (
    "KL as it stands (PAL)",
    "one row a tag",
    "KL normalised (PAL-N)",
    "sigmoid BCE",
    "half asked: PAL-N of the tags said",
    "half asked: partial BCE",
    "half asked: rest absent",
)
ROWS, TUNE = 10_000, 2_000
LENGTH, WORDS = 40, 6_000
EMBEDDING, FILTERS, WIDTHS = 64, 32, (3, 4, 5)
EPOCHS, BATCH, RATE = 3, 128, 3e-3


def long_file(name: str, limit: int | None) -> io.BytesIO:
    """Write the rows (Description, Tag) of texts that occur for the first time."""
    names = (DATA / "goemotions" / "labels.txt").read_text().split()
    file, seen = io.StringIO(), set()
    writer = csv.writer(file)
    writer.writerow(("Description", "Tag"))
    with gzip.open(DATA / "goemotions" / name, "rt", encoding="utf-8") as lines:
        for line in lines:
            text, tags, _ = line.rstrip("\n").split("\t")
            if text in seen or len(seen) == limit:
                continue
            seen.add(text)
            writer.writerows((text, names[int(tag)]) for tag in tags.split(","))
    return io.BytesIO(file.getvalue().encode())


def read(name: str, limit: int | None = None) -> tuple[list[str], eo.Labels]:
    names = (DATA / "goemotions" / "labels.txt").read_text().split()
    file = long_file(name, limit)
    return eo.read(file, format="long", text="Description", label="Tag", classes=names)


def words_of(text: str) -> list[str]:
    return re.findall(r"\w+|[^\w\s]", text.lower())


def ids_of(texts: list[str], number: dict[str, int]) -> np.ndarray:
    """Word ids (n, LENGTH): 0 no word, 1 a word that is not in the list."""
    ids = [[number.get(w, 1) for w in words_of(text)] for text in texts]
    return keras.utils.pad_sequences(ids, LENGTH, padding="post", truncating="post")


def network(n_tags: int, bias: np.ndarray, activation: str | None, dropout: float) -> keras.Model:
    """Kim (2014): filters over 3, 4 and 5 words, each at its strongest place, dropout."""
    ids = keras.Input((LENGTH,), dtype="int32")
    words = layers.Embedding(WORDS, EMBEDDING)(ids)
    found = [layers.Conv1D(FILTERS, width, activation="relu")(words) for width in WIDTHS]
    found = layers.Concatenate()([layers.GlobalMaxPooling1D()(f) for f in found])
    # Starting from the base rates spares the sigmoids the first epoch (Lin et al. 2017).
    start = keras.initializers.Constant(bias)
    last = layers.Dense(n_tags, bias_initializer=start, activation=activation)
    return keras.Model(ids, last(layers.Dropout(dropout)(found)))


def training_set(
    option: str, X: np.ndarray, tags: np.ndarray, asked: np.ndarray
) -> tuple[np.ndarray, np.ndarray, Any]:
    """Return inputs, targets and loss of an option; `asked` says which tags were asked about."""
    if option == "one row a tag":
        row, tag = np.nonzero(tags)
        return X[row], tag, keras.losses.SparseCategoricalCrossentropy()
    if "BCE" in option or "absent" in option:
        if option == "sigmoid BCE":
            return X, tags, keras.losses.BinaryCrossentropy(from_logits=True)
        if option == "half asked: partial BCE":
            return X, np.where(asked, tags, np.float32("nan")), PartialBinaryCrossentropy()
        return X, tags * asked, keras.losses.BinaryCrossentropy(from_logits=True)
    said = tags * asked if "half" in option else tags
    if "PAL-N" in option:
        said = said / np.maximum(said.sum(axis=1, keepdims=True), 1)
    return X, said, keras.losses.KLDivergence()


def is_sigmoid(option: str) -> bool:
    return "BCE" in option or "absent" in option


def fit(option: str, parts: dict[str, Any], seed: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Probabilities of tuning and test rows, after the epoch that is best on the tuning rows."""
    labels, X = parts["train"]
    tags = labels.to_targets(np.float32)
    asked = np.random.default_rng(seed).random(tags.shape) < 0.5
    inputs, targets, loss = training_set(option, X, tags, asked)
    rate = tags.mean(axis=0)
    bias = np.log(rate / (1 - rate)) if is_sigmoid(option) else np.log(rate / rate.sum())
    keras.utils.set_random_seed(seed)
    activation = None if is_sigmoid(option) else "softmax"
    model = network(tags.shape[1], bias, activation, dropout=0.3)
    model.compile(keras.optimizers.Adam(RATE), loss)
    best: tuple[float, int, list[np.ndarray]] = (-1.0, 0, [])
    for epoch in range(1, EPOCHS + 1):
        model.fit(inputs, targets, batch_size=BATCH, epochs=1, verbose=0)
        tuned = eo.decide.TunedThreshold("f1_micro")
        score = tuned.fit(parts["tune"][0], proba_of(model, option, parts["tune"][1])).score_
        if score > best[0]:
            best = (score, epoch, model.get_weights())
    model.set_weights(best[2])
    found = [proba_of(model, option, parts[part][1]) for part in ("tune", "test")]
    return found[0], found[1], best[1]


def proba_of(model: keras.Model, option: str, X: np.ndarray) -> np.ndarray:
    out = model.predict(X, verbose=0, batch_size=1000).astype(float)
    return 1 / (1 + np.exp(-out)) if is_sigmoid(option) else out


def scores(parts: dict[str, Any], tune: np.ndarray, test: np.ndarray) -> dict[str, Any]:
    """Scores on the test rows; every cut comes from the tuning rows."""
    (to_tune, _), (labels, _) = parts["tune"], parts["test"]
    cut = eo.decide.TunedThreshold("f1_micro").fit(to_tune, tune)
    cuts = eo.decide.TunedThreshold("f1_macro", per_class=True).fit(to_tune, tune)
    jaccard = eo.decide.TunedThreshold("jaccard_micro").fit(to_tune, tune)
    grid, truth = np.linspace(0.02, 0.98, 49), labels.to_targets() == 1
    return {
        "f1_micro": _score(labels, test, cut, "f1_micro"),
        "f1_micro_at_half": _score(labels, test, eo.decide.Threshold(0.5), "f1_micro"),
        "jaccard_micro": _score(labels, test, jaccard, "jaccard_micro"),
        "f1_macro": _score(labels, test, cuts, "f1_macro"),
        "precision_at_1": eo.metrics.precision_at_k(labels, test).lower,
        "recall_at_1": eo.metrics.recall_at_k(labels, test).lower,
        "cut": float(cut.threshold_),
        "jaccard_cut": float(jaccard.threshold_),
        "tags_expected": float(test.sum(axis=1).mean()),
        "curve": [_f1_micro(truth, test >= cut) for cut in grid],
        "grid": grid.tolist(),
    }


def _score(labels: eo.Labels, proba: np.ndarray, rule: Any, metric: str) -> float:
    return float(eo.evaluate(labels, proba, decision=rule)["metrics"][metric]["lower"])


def _f1_micro(truth: np.ndarray, chosen: np.ndarray) -> float:
    return float(2 * (truth & chosen).sum() / (truth.sum() + chosen.sum()))


def one_step(parts: dict[str, Any]) -> dict[str, float]:
    """Compare the weights after one step on 256 texts: KL as it stands, and one row a tag."""
    labels, X = parts["train"]
    X, tags = X[:256], labels[:256].to_targets(np.float32)
    row, tag = np.nonzero(tags)
    weights = []
    for inputs, targets, loss in (
        (X, tags, keras.losses.KLDivergence(reduction="sum")),
        (X[row], tag, keras.losses.SparseCategoricalCrossentropy(reduction="sum")),
    ):
        keras.utils.set_random_seed(0)
        model = network(tags.shape[1], np.zeros(tags.shape[1]), "softmax", dropout=0.0)
        before = model.get_weights()
        model.compile(keras.optimizers.SGD(0.01), loss)
        model.train_on_batch(inputs, targets)
        weights.append([b - a for a, b in zip(before, model.get_weights(), strict=True)])
    pairs = list(zip(*weights, strict=True))
    return {
        "largest step": float(max(np.abs(a).max() for a, _ in pairs)),
        "largest difference": float(max(np.abs(a - b).max() for a, b in pairs)),
    }


def data() -> dict[str, Any]:
    """Labels and word ids of the training, tuning and test rows."""
    texts, labels = read("train.tsv.gz", ROWS)
    counts = Counter(w for text in texts for w in words_of(text))
    known = [w for w, n in counts.most_common(WORDS - 2) if n > 1]
    number = {word: i for i, word in enumerate(known, start=2)}
    others, other_labels = read("dev.tsv.gz")
    ids = ids_of(others, number)
    fresh = np.flatnonzero(~np.isin(np.array(others, object), np.array(texts, object)))
    tune, test = np.split(np.random.default_rng(0).permutation(fresh), [TUNE])
    return {
        "train": (labels, ids_of(texts, number)),
        "tune": (other_labels[tune], ids[tune]),
        "test": (other_labels[test], ids[test]),
    }


def tables(record: dict[str, Any]) -> dict[str, list[str]]:
    metrics = {
        "micro-F1": "f1_micro",
        "aggregate Jaccard": "jaccard_micro",
        "macro-F1": "f1_macro",
        "P@1": "precision_at_1",
        "R@1": "recall_at_1",
        "micro-F1, cut .5": "f1_micro_at_half",
        "cut": "cut",
        "tags expected": "tags_expected",
    }
    rows = [
        (
            o,
            *[
                spread([r[m] for r in record["scores"] if r["option"] == o])
                for m in metrics.values()
            ],
        )
        for o in OPTIONS
    ]
    return {"tags": table((f"{record['test_rows']:,} test rows", *metrics), rows)}


def picture(record: dict[str, Any]) -> None:
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4), width_ratios=(1.25, 1))
    for i, option in enumerate(o for o in OPTIONS if o != "one row a tag"):
        row = next(r for r in record["scores"] if r["option"] == option)
        look = {**line_style(i), "markevery": 4}
        left.plot(row["grid"], row["curve"], label=option, **look)
    left.axvline(0.5, color="#999999", linewidth=0.8)
    left.set_xlabel("cut: tags with at least this probability are chosen")
    left.set_title("micro-F1 on test rows at every cut (first seed)", fontsize=10)
    left.legend(framealpha=1, edgecolor="none", fontsize=8, loc="upper right")
    left.set_ylim(0, 0.85)
    for i, option in enumerate(OPTIONS):
        for metric, marker, name in (
            ("f1_micro", "o", "micro-F1"),
            ("f1_macro", "s", "macro-F1"),
            ("precision_at_1", "^", "precision at 1"),
        ):
            found = [r[metric] for r in record["scores"] if r["option"] == option]
            filled = "white" if marker == "o" else "black"
            style = {"marker": marker, "color": "black", "markerfacecolor": filled}
            right.plot(np.mean(found), -i, linestyle="", label=name if i == 0 else None, **style)
    right.set_yticks(-np.arange(len(OPTIONS)), OPTIONS, fontsize=8)
    right.grid(axis="y", color="#dddddd", linewidth=0.8)
    right.set_title("cuts tuned on other rows", fontsize=10)
    right.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.4, -0.1), ncol=3)
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    save(figure, "q4")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--again", action="store_true", help="tables and picture only")
    args = parser.parse_args()
    if args.again:
        record = json.loads((RESULTS / "q4.json").read_text())
        publish("q4", record, tables(record))
        return picture(record)
    start, parts = time.perf_counter(), data()
    record = {
        "question": "several tags per text, one row per (text, tag)",
        "data": (
            f"goemotions: the first {ROWS:,} different training texts, first {LENGTH} words, "
            f"{TUNE:,} rows of dev to tune the cuts and choose the epoch, its other rows to test"
        ),
        "network": f"embedding {EMBEDDING}, {FILTERS} filters of each width {WIDTHS}, maximum "
        "over the text, dropout .3, one linear layer that starts from the base rates",
        "training": f"Adam {RATE}, batches of {BATCH}, best of {EPOCHS} epochs on the tuning rows",
        "backend": keras.backend.backend(),
        "test_rows": len(parts["test"][0]),
        "tags_per_text": float(parts["test"][0].to_targets().sum(axis=1).mean()),
        "one_step": one_step(parts),
        "scores": [],
    }
    print(record)
    for seed in range(args.seeds):
        for option in OPTIONS:
            tune, test, epoch = fit(option, parts, seed)
            found = {"option": option, "seed": seed, "epoch": epoch, **scores(parts, tune, test)}
            record["scores"].append(found)
            print(seed, option, {k: v for k, v in found.items() if k not in ("curve", "grid")})
        record["command"] = (
            f"KERAS_BACKEND={keras.backend.backend()} python "
            f"benchmarks/questions/q4_tags_keras.py --seeds {seed + 1}"
        )
        record["seconds"] = round(time.perf_counter() - start)
        publish("q4", record, tables(record))
        picture(record)
    return None


if __name__ == "__main__":
    main()
