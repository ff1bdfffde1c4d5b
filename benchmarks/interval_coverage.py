"""How often the 95 % intervals hold the number they are for: 2,000 simulated data sets each.

A large population of rows is fixed, with labels that leave a known part open, and the score of the
whole population (or both of its bounds) is worked out. Then rows are drawn from it with
replacement, again and again, and the interval of each draw is held against the population. Between
two bounds the interval promises to hold the score wherever it is, so the figure is that of the
worse of both ends. The number of rows varies by a tenth around n: counts live on a lattice, and
with one n alone the coverage of any interval for a share is a matter of where it falls.

    python benchmarks/interval_coverage.py                 # writes results/interval_coverage.json
    python benchmarks/interval_coverage.py --write-docs    # and the tables of docs/evaluate.md
    python benchmarks/interval_coverage.py --only tags     # one of KINDS, beside what is stored
"""

import json
import platform
import re
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from eitheror.comparison.data import Data
from eitheror.comparison.run import Outcome
from eitheror.comparison.score import score_outcomes
from eitheror.comparison.strategies import STRATEGIES
from eitheror.labels import Labels
from eitheror.metrics import evaluate, evaluate_through_channel, paired_difference
from eitheror.noise import (
    corrupt_complementary,
    corrupt_flip,
    corrupt_sets,
    flip_transition,
    unbiased_weights,
)

RESULT = Path(__file__).parent / "results" / "interval_coverage.json"
PAGE = Path(__file__).parents[1] / "docs" / "evaluate.md"
DATA_SETS = 2000
SIZES = (50, 200, 1000)
POPULATION = 20_000
OPEN = {"classes": (0.0, 0.05, 0.6), "tags": (0.0, 0.05, 0.4)}
SCORES = {
    "classes": ("accuracy", "jaccard_micro", "f1_macro", "jaccard_macro", "log_loss"),
    "tags": (
        "accuracy",
        "precision_at_1",
        "precision_at_5",
        "recall_at_1",
        "f1_micro",
        "f1_macro",
        "f1_samples",
        "jaccard_micro",
        "jaccard_macro",
        "jaccard_samples",
        "hamming",
    ),
}
DIFFERENCES = {
    "classes": ("accuracy", "f1_macro", "log_loss"),
    "tags": ("accuracy", "f1_micro", "f1_macro"),
}
KINDS = ("classes", "tags", "channels", "comparisons", "differences")
CHANNELS = ("exact labels", "complementary", "30 % flipped", "sets, 40 % distractors")
STATEMENTS = ("exact labels", "complementary", "sets, 40 % distractors", "a third of each")
COMPARISONS = {10: STATEMENTS, 5: STATEMENTS[1::2]}


def softmax(scores):
    """Return the probabilities of each row of scores."""
    proba = np.exp(scores - scores.max(axis=1, keepdims=True))
    return proba / proba.sum(axis=1, keepdims=True)


def class_rows(rng, open_share, n_models=1):
    """Five classes, the rarest 8 %: labels of which `open_share` name a second class, and proba."""
    prior = np.array([0.35, 0.25, 0.2, 0.12, 0.08])
    k = len(prior)
    y = rng.choice(k, POPULATION, p=prior)
    candidates = np.eye(k, dtype=bool)[y]
    vague = np.flatnonzero(rng.random(POPULATION) < open_share)
    candidates[vague, (y[vague] + rng.integers(1, k, len(vague))) % k] = True
    shared = rng.normal(size=(POPULATION, k)) + 2.0 * np.eye(k)[y] + np.log(prior)
    probas = []
    for model in range(n_models):
        probas.append(softmax(shared + 0.4 * model * rng.normal(size=shared.shape)))
    return Labels.from_candidates(candidates), probas


def tag_rows(rng, open_share, n_models=1):
    """Eight tags from 50 % to 5 % that come together, of which `open_share` are unknown."""
    odds = np.array([1.0, 0.67, 0.43, 0.33, 0.25, 0.18, 0.11, 0.053])
    together = np.exp(0.7 * rng.normal(size=(POPULATION, 1)))
    truth = rng.random((POPULATION, len(odds))) < odds * together / (1 + odds * together)
    known = np.where(rng.random(truth.shape) < open_share, np.nan, truth)
    missed = rng.random(truth.shape) < 0.15 * np.where(truth, 2, 0.5)
    probas = []
    for model in range(n_models):
        wrong = missed ^ (rng.random(truth.shape) < 0.04 * model)
        proba = np.where(truth ^ wrong, 0.9, 0.1) + 0.03 * rng.normal(size=truth.shape)
        probas.append(np.clip(proba, 0.0, 1.0))
    return Labels.from_indicator(known), probas


ROWS = {"classes": class_rows, "tags": tag_rows}


def drawn(rng, n):
    """Return rows of the population, about n of them."""
    return rng.integers(0, POPULATION, rng.integers(n - n // 10, n + n // 10 + 1))


def holds(interval, lower, upper):
    """Say for both ends whether the interval holds them."""
    low, high = interval or (np.inf, -np.inf)
    return low <= lower <= high, low <= upper <= high


def of_scores(task, open_share, n, data_sets, names=None):
    """Return the coverage of the intervals of `evaluate`."""
    rng = np.random.default_rng([n, int(100 * open_share), len(task)])
    labels, (proba,) = ROWS[task](rng, open_share)
    whole = evaluate(labels, proba)["metrics"]
    names = names or SCORES[task]
    held = {name: [] for name in names}
    for _ in range(data_sets):
        rows = drawn(rng, n)
        found = evaluate(labels[rows], proba[rows])["metrics"]
        for name in names:
            ends = whole[name]["lower"], whole[name]["upper"]
            held[name].append(holds(found[name]["interval"], *ends))
    return {name: float(np.mean(ends, axis=0).min()) for name, ends in held.items()}


def of_differences(task, open_share, n, data_sets, names=None, repetitions=300):
    """Return the coverage of the intervals of `paired_difference`."""
    rng = np.random.default_rng([n, int(100 * open_share), len(task), 1])
    labels, (one, two) = ROWS[task](rng, open_share, n_models=2)
    names = names or DIFFERENCES[task]
    whole = {name: paired_difference(labels, one, two, name, repetitions=0) for name in names}
    held = {name: [] for name in names}
    for seed in range(data_sets):
        rows = drawn(rng, n)
        drawn_rows = labels[rows], one[rows], two[rows]
        for name, true in whole.items():
            bounds = paired_difference(*drawn_rows, name, repetitions=repetitions, seed=seed)
            held[name].append(holds(bounds.interval, true.lower, true.upper))
    return {name: float(np.mean(ends, axis=0).min()) for name, ends in held.items()}


def through(channel, y, k, rng):
    """Return the numbers R of labels that went through a channel."""
    if channel == "exact labels":
        return np.eye(k)[y]
    if channel == "complementary":
        return unbiased_weights(corrupt_complementary(y, k, random_state=rng), kind="not")
    if channel == "30 % flipped":
        labels = corrupt_flip(y, k, rate=0.3, random_state=rng)
        return unbiased_weights(labels, transition=flip_transition(k, 0.3))
    return unbiased_weights(corrupt_sets(y, k, rate=0.4, random_state=rng), rate=0.4)


def of_channels(channel, n, data_sets):
    """Return the coverage of `evaluate_through_channel`: ten classes, an accuracy of .9."""
    k = 10
    rng = np.random.default_rng([n, CHANNELS.index(channel)])
    y = rng.integers(0, k, POPULATION)
    proba = softmax(rng.gumbel(size=(POPULATION, k)) + 4.4 * np.eye(k)[y])
    whole = evaluate_through_channel(np.eye(k)[y], proba)["metrics"]
    held = {name: [] for name in whole}
    for _ in range(data_sets):
        rows = drawn(rng, n)
        found = evaluate_through_channel(through(channel, y[rows], k, rng), proba[rows])["metrics"]
        for name, entry in found.items():
            held[name].append(holds(entry["interval"], whole[name]["lower"], whole[name]["upper"]))
    return {name: float(np.mean(ends)) for name, ends in held.items()}


def said(statement, y, k, rng):
    """Return labels that say of each true class what a kind of statement says."""
    exact = np.eye(k, dtype=bool)[y]
    not_one = ~np.eye(k, dtype=bool)[(y + rng.integers(1, k, len(y))) % k]
    candidates = exact | (rng.random(exact.shape) < 0.4)
    masks = dict(zip(STATEMENTS, (exact, not_one, candidates), strict=False))
    masks["a third of each"] = np.choose(rng.integers(0, 3, (len(y), 1)), list(masks.values()))
    return Labels.from_candidates(masks[statement])


def of_comparisons(statement, k, n, data_sets):
    """Return the coverage of `compare`'s estimated accuracy and of its paired difference.

    The probabilities of two strategies are given, nothing is trained: one has an accuracy of
    about .88, the other of about .76, and some classes are mistaken for others more often.
    """
    rng = np.random.default_rng([n, k, STATEMENTS.index(statement), 2])
    y = rng.integers(0, k, POPULATION)
    alike = np.log(rng.dirichlet(np.ones(k), k) + 0.05)
    scores = rng.gumbel(size=(POPULATION, k)) + (2 + np.log(k)) * np.eye(k)[y] + 0.5 * alike[y]
    probas = [softmax(scores + spread * rng.gumbel(size=scores.shape)) for spread in (0.3, 0.9)]
    right = [(proba.argmax(axis=1) == y).mean() for proba in probas]
    strategies = [replace(STRATEGIES[0], name=name) for name in ("one", "two")]
    held = {"accuracy": [], "difference": []}
    for _ in range(data_sets):
        rows = drawn(rng, n)
        outcomes = [
            Outcome(strategy, proba[rows], [0.0], "probabilities")
            for strategy, proba in zip(strategies, probas, strict=True)
        ]
        data = Data(rows[:, None], said(statement, y[rows], k, rng))
        table, gap = score_outcomes(outcomes, data, np.zeros(len(rows), int), "accuracy", 0)
        found = {row.name: row.interval for row in table}
        held["accuracy"].append(holds(found["one"], right[0], right[0]))
        apart = right[0] - right[1]
        held["difference"].append(holds(gap("one", "two").interval, apart, apart))
    return {name: float(np.mean(ends)) for name, ends in held.items()}


def cases_of(kind, n, data_sets):
    """Yield each case of a kind with its coverage by score."""
    if kind in OPEN:
        for share in OPEN[kind]:
            yield f", {share:.0%} open", of_scores(kind, share, n, data_sets)
    elif kind == "channels":
        for channel in CHANNELS:
            yield f", {channel}", of_channels(channel, n, data_sets)
    elif kind == "comparisons":
        for k, statements in COMPARISONS.items():
            for statement in statements:
                held = of_comparisons(statement, k, n, data_sets)
                yield f", {statement}, {k} classes", held
    else:
        for task, shares in OPEN.items():
            for share in (shares[0], shares[-1]):
                held = of_differences(task, share, n, data_sets)
                yield f" of {task}, {share:.0%} open", held


def table(part):
    """Return the Markdown table of one part, in percent."""
    sizes = list(next(iter(part.values())))
    lines = [["score", *(f"n = {n}" for n in sizes)], ["---"] * (len(sizes) + 1)]
    for name, held in part.items():
        score, rest = re.match(r"(\w+)(.*)", name).groups()
        lines.append([f"`{score}`{rest}"])
        lines[-1] += [shown(held.get(n)) for n in sizes]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def shown(share):
    """Write a coverage in percent, bold where it is below 94."""
    if share is None:
        return ""
    text = f"{100 * share:.1f}"
    return f"**{text}**" if round(100 * share, 1) < 94 else text


def with_tables(page, found):
    """Return the page with its coverage tables, which stand between markers, made anew."""
    for name, part in found.items():
        begin, end = f"<!-- table: coverage of {name} -->\n", "<!-- end -->"
        pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        block = f"{begin}{table(part)}\n{end}"
        page, count = pattern.subn(lambda _, block=block: block, page)
        if count != 1:
            raise ValueError(f"{PAGE} has {count} places {begin.strip()}; it needs one")
    return page


def stored(found, seconds):
    """Return what is kept of the coverage and the seconds of each kind."""
    return {
        "command": "python benchmarks/interval_coverage.py --write-docs",
        "machine": f"{platform.machine()}, 2 cores, shared with other work",
        "data_sets": DATA_SETS,
        "nominal": 0.95,
        "monte_carlo_error": 2 * (0.95 * 0.05 / DATA_SETS) ** 0.5,
        "seconds": seconds,
        "coverage": found,
    }


def main():
    arguments = sys.argv[1:]
    found, seconds = {}, {}
    if "--only" in arguments:
        known = json.loads(RESULT.read_text())
        found, seconds = known["coverage"], known["seconds"]
    for kind in KINDS:
        if "--only" in arguments and kind not in arguments:
            continue
        begun, part = time.perf_counter(), {}
        for n in SIZES:
            for case, held in cases_of(kind, n, DATA_SETS):
                for name, share in held.items():
                    part.setdefault(f"{name}{case}", {})[str(n)] = share
        found[kind], seconds[kind] = part, round(time.perf_counter() - begun)
        print(f"{kind}, {seconds[kind]} s\n{table(part)}\n", flush=True)
        RESULT.write_text(json.dumps(stored(found, seconds), indent=1) + "\n")
        if "--write-docs" in arguments:  # after each kind, so that page and file agree at any time
            page = PAGE.read_text(encoding="utf-8")
            PAGE.write_text(with_tables(page, {kind: part}), encoding="utf-8")


if __name__ == "__main__":
    main()
