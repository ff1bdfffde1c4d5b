"""Conformal sets calibrated on partial labels: how often they hold the true class, how large.

Five classes, a model that ranks them rightly and is too sure of itself, 200 calibration rows whose
labels are known in four ways, 2,000 new rows, 400 repetitions, level .9. Compared:

- exact: `ConformalSet` on the true classes, which nobody has; the yardstick;
- largest: `ConformalSet` on the statements (the largest score of a candidate): valid always;
- channel: `ConformalSet` with the numbers R of `unbiased_weights`: valid for many rows;
- smallest, posterior: the smallest score of a candidate, and the model's own probabilities among
  the candidates. Both promise too much; the library does not offer them.

    python benchmarks/conformal_coverage.py                 # writes the stored JSON
    python benchmarks/conformal_coverage.py --write-docs    # and the table of docs/evaluate.md
"""

import json
import platform
import re
import sys
from pathlib import Path

import numpy as np

from eitheror.decide import ConformalSet, conformal_rank
from eitheror.labels import Labels
from eitheror.noise import corrupt_complementary, corrupt_sets, unbiased_weights

RESULT = Path(__file__).parent / "results" / "conformal_coverage.json"
PAGE = Path(__file__).parents[1] / "docs" / "evaluate.md"
LEVEL, CLASSES, ROWS, NEW_ROWS, REPETITIONS = 0.9, 5, 200, 2000, 400
CONCENTRATION, SHARPNESS = 0.2, 1.5
METHODS = ("exact", "largest", "channel", "smallest", "posterior")
CASES = {
    "distractors, 20 %": lambda y, rng: with_distractors(y, rng, 0.2),
    "distractors, 50 %": lambda y, rng: with_distractors(y, rng, 0.5),
    "half exact, half distractors, 50 %": lambda y, rng: half_exact(y, rng),
    "complementary": lambda y, rng: complementary(y, rng),
}


def with_distractors(y, rng, rate):
    """Return candidate sets that each wrong class joins with one probability, and R."""
    labels = corrupt_sets(y, CLASSES, rate=rate, random_state=rng)
    return labels, unbiased_weights(labels, rate=rate)


def half_exact(y, rng):
    """Return exact labels for every other row, sets with distractors for the rest, and R."""
    labels, weights = with_distractors(y, rng, 0.5)
    mask = labels.candidates()
    exact = np.eye(CLASSES)[y]
    mask[::2], weights[::2] = exact[::2] > 0, exact[::2]
    return Labels.from_candidates(mask, classes=labels.classes), weights


def complementary(y, rng):
    """Return "not this class" for each row, every wrong class equally often, and R."""
    labels = corrupt_complementary(y, CLASSES, random_state=rng)
    return labels, unbiased_weights(labels, kind="not")


def rows_that_add_to_one(rng, n):
    """Return probabilities that are too sure of themselves, as networks' are, and true classes."""
    law = rng.dirichlet(np.full(CLASSES, CONCENTRATION), n) + 1e-9
    y = (law.cumsum(axis=1) < rng.random(n)[:, None]).sum(axis=1)
    proba = law**SHARPNESS
    return proba / proba.sum(axis=1, keepdims=True), np.minimum(y, CLASSES - 1)


def thresholds(y, labels, weights, proba):
    """Return each method's cut on 1 - p."""
    mask = labels.candidates()
    scores = 1 - proba
    posterior = np.where(mask, proba, 0)
    posterior = posterior / posterior.sum(axis=1, keepdims=True)
    rank = conformal_rank(len(y), LEVEL)
    smallest = np.sort(np.where(mask, scores, np.inf).min(axis=1))[rank - 1]
    exact = Labels([labels.classes[k] for k in y], classes=labels.classes)
    return {
        "exact": ConformalSet(LEVEL).fit(exact, proba).threshold_,
        "largest": ConformalSet(LEVEL).fit(labels, proba).threshold_,
        "channel": ConformalSet(LEVEL).fit(labels, proba, weights=weights).threshold_,
        "smallest": float(smallest),
        "posterior": ConformalSet(LEVEL).fit(labels, proba, weights=posterior).threshold_,
    }


def measure(repetitions, seed=0):
    """Return {case: {method: {"coverage", "size"}}}, means over repetitions."""
    found = {}
    for case, statements in CASES.items():
        rng = np.random.default_rng(seed)
        seen = {method: [] for method in METHODS}
        for _ in range(repetitions):
            proba, y = rows_that_add_to_one(rng, ROWS)
            cuts = thresholds(y, *statements(y, rng), proba)
            fresh, truth = rows_that_add_to_one(rng, NEW_ROWS)
            for method, cut in cuts.items():
                chosen = 1 - fresh <= cut
                seen[method].append(
                    (chosen[np.arange(NEW_ROWS), truth].mean(), chosen.sum(1).mean())
                )
        found[case] = {
            method: dict(zip(("coverage", "size"), np.mean(pairs, axis=0).tolist(), strict=True))
            for method, pairs in seen.items()
        }
    return found


def table(found):
    """Return the Markdown table: coverage in percent / mean size of a set."""
    lines = [["calibration labels", *METHODS], ["---"] * (len(METHODS) + 1)]
    for case, methods in found.items():
        cells = [methods[m] for m in METHODS]
        lines.append([case, *(f"{100 * c['coverage']:.1f} / {c['size']:.2f}" for c in cells)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def with_tables(page, found):
    """Return the page with its table, which stands between markers, made anew."""
    begin, end = "<!-- table: conformal sets -->\n", "<!-- end -->"
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    page, count = pattern.subn(lambda _: f"{begin}{table(found)}\n{end}", page)
    if count != 1:
        raise ValueError(f"{PAGE} has {count} places {begin.strip()}; it needs one")
    return page


def main():
    found = measure(REPETITIONS)
    stored = {
        "command": "python benchmarks/conformal_coverage.py --write-docs",
        "machine": f"{platform.machine()}, 2 cores, shared with other work",
        "level": LEVEL,
        "classes": CLASSES,
        "rows": ROWS,
        "repetitions": REPETITIONS,
        "coverage": found,
    }
    RESULT.write_text(json.dumps(stored, indent=1) + "\n")
    print(table(found))
    if "--write-docs" in sys.argv[1:]:
        PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8"), found), encoding="utf-8")


if __name__ == "__main__":
    main()
