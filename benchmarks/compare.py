"""Does the verdict of `compare` agree with the truth it never saw? Five data sets and a level pair.

`compare` gets training rows with the statements about them, nothing else. Then each strategy is
trained on all of these rows, tags are decided by the rule that the comparison found, and scored on
the true labels of test rows. The strategies named best should be the truly best one, or not to be
told from it on the test rows (95 % interval of the paired difference); reported are also Kendall's
tau of the two rankings and the regret, what the first choice loses against the truly best.

Sizes are kept small for the sake of time, and for fashion_mnist and "level" the penalty is .01
throughout: to choose one for every fit, as the others do, takes twenty times as long.

- lost: 748 faces with their candidate sets; 374 test faces.
- cooking: the first 4,000 titles and their tags; the last 3,000 test.
- goemotions: 4,000 comments of train, of which two in five have three entries in ten unknown; the
  5,426 of dev test.
- fashion_mnist: 2,000 images with statements drawn as in `mixed_statements.py` (10/30/50/10); the
  10,000 test images.
- cifar10_human: the classes that the judges of 700 images ruled out, without the answers that rule
  out a class they name; 8 x 8 x 3 pixels; 2,000 other images test.
- level: 100 seeds of two strategies whose true accuracies differ by .004 in the mean, and how often
  it calls them level.

    python benchmarks/compare.py [--only lost]   # writes benchmarks/results/compare.json
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import os
import platform
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from mixed_statements import MIXTURES, read, statements
from scipy.stats import kendalltau

import eitheror as eo
from eitheror.comparison import STRATEGIES, Data, Setting, compare
from eitheror.comparison.data import as_inputs
from eitheror.comparison.rules import rules_for
from eitheror.comparison.run import run_folds
from eitheror.comparison.score import agreement
from eitheror.training import TrainOptions
from eitheror.training.folds import content_keys, deal_folds

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
RESULTS = Path(__file__).parent / "results" / "compare.json"
DEFAULTS, QUICK = TrainOptions(), TrainOptions(l2=0.01)
Problem = tuple[Any, eo.Labels, Any, eo.Labels]
"""Training inputs, what is said about them, test inputs, and the truth about these."""


def lost() -> Problem:
    """Faces of a series; candidates are the names in the script."""
    data = np.load(DATA / "partial_label" / "lost.npz")
    X, y = data["X"].astype(np.float64), data["y"]
    order = np.random.default_rng(0).permutation(len(X))
    train, test = order[:748], order[748:]
    labels = eo.Labels.from_candidates(data["candidates"])
    truth = eo.Labels([labels.classes[k] for k in y[test]], classes=labels.classes)
    return X[train], labels[train], X[test], truth


def cooking() -> Problem:
    """Titles of questions and their tags."""
    source = DATA / "cooking" / "cooking.stackexchange.txt.gz"
    with gzip.open(source, "rt", encoding="utf8") as lines:
        rows = [line.split() for line in lines]
    texts = [" ".join(word for word in row if not word.startswith("__label__")) for row in rows]
    named = [[word[9:] for word in row if word.startswith("__label__")] for row in rows]
    known = {tag for tags in named[:4000] for tag in tags}
    kept = [[tag for tag in tags if tag in known] for tags in named]
    rows = [eo.tags(*tags) for tags in kept]
    labels = eo.Labels(rows, classes=sorted(known), task="multilabel")
    return texts[:4000], labels[:4000], texts[-3000:], labels[-3000:]


def goemotions() -> Problem:
    """Emotions of comments, some of them unknown."""
    source = DATA / "goemotions"
    classes = (source / "labels.txt").read_text().split()

    def part(name: str) -> tuple[list[str], np.ndarray]:
        with gzip.open(source / f"{name}.tsv.gz", "rt", encoding="utf8", newline="") as lines:
            rows = list(csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
        present = np.zeros((len(rows), len(classes)))
        for i, row in enumerate(rows):
            present[i, [int(k) for k in row[1].split(",")]] = 1
        return [row[0] for row in rows], present

    texts, present = part("train")
    rng = np.random.default_rng(0)
    chosen = np.sort(rng.permutation(len(texts))[:4_000])
    said = present[chosen]
    said[(rng.random(said.shape) < 0.3) & (rng.random((len(said), 1)) < 0.4)] = np.nan
    test, truth = part("dev")
    return (
        [texts[i] for i in chosen],
        eo.Labels.from_indicator(said, classes=classes),
        test,
        eo.Labels.from_indicator(truth, classes=classes),
    )


def fashion_mnist() -> Problem:
    """Images of clothes with mixed statements."""
    X, y = read("train")
    test, truth = read("t10k")
    chosen = np.random.default_rng(0).permutation(len(X))[:2_000]
    labels = statements(y[chosen], MIXTURES["10/30/50/10"], np.random.default_rng(0))
    return X[chosen], labels, test, eo.Labels(truth.tolist(), classes=range(10))


def cifar10_human() -> Problem:
    """Small images, what people ruled out about them, and the official labels of others."""
    from PIL import Image

    source = DATA / "cifar10_human"
    classes = (source / "classes.txt").read_text().split()
    pictures = zipfile.ZipFile(source / "test_images.zip")

    def pixels(index: int) -> np.ndarray:
        with Image.open(io.BytesIO(pictures.read(f"{index:05d}.jpg"))) as image:
            return np.asarray(image.convert("RGB").resize((8, 8)))

    with gzip.open(source / "elicited.jsonl.gz", "rt", encoding="utf8") as lines:
        judged = [json.loads(line) for line in lines]
    images, said = [], []
    for row in judged:
        for answer in row["annotators"]:
            named = {answer["first"], answer["second"]}
            if answer["impossible"] and not named & {*answer["impossible"]}:
                images.append(pixels(row["index"]))
                said.append(eo.not_(*answer["impossible"]))
    with gzip.open(source / "test_votes.csv.gz", "rt", encoding="utf8") as lines:
        official = {int(r["index"]): classes[int(r["label"])] for r in csv.DictReader(lines)}
    seen = {row["index"] for row in judged}
    present = {int(name[:5]) for name in pictures.namelist() if name.endswith(".jpg")}
    others = sorted(present & official.keys() - seen)[:2000]
    truth = eo.Labels([official[i] for i in others], classes=classes)
    return (
        np.stack(images),
        eo.Labels(said, classes=classes),
        np.stack([pixels(i) for i in others]),
        truth,
    )


def decisions(
    problem: Problem, found: Any, folds: int, options: TrainOptions, jobs: int, kept: Path
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Train the strategies on all training rows and decide the test rows.

    Also returned: what each would have scored with every row taken by itself.
    """
    X, labels, test, _ = problem
    setting, data = Setting(options, jobs, 0), Data(as_inputs(X), labels)
    rng = np.random.default_rng(0)
    dealt = deal_folds(labels, folds, keys=content_keys(data.inputs), rng=rng)
    tried = [s for s in STRATEGIES if s.name in {row.name for row in found.rows}]
    # found again where `compare` left them, not trained again
    outcomes, _, _ = run_folds(tried, setting, data, dealt, budget=None, progress=None, store=kept)
    made, alone = {}, {}
    for outcome in outcomes:
        fitted = outcome.strategy.fit(setting, data)
        proba = fitted.predict_proba(as_inputs(test))
        if labels.task == "multiclass":
            made[outcome.strategy.name] = np.eye(labels.n_classes)[proba.argmax(axis=1)]
            earned, at_stake = agreement(labels, outcome.proba.argmax(axis=1))
            alone[outcome.strategy.name] = round(float(earned.sum() / at_stake.sum()), 4)
            continue
        row = next(row for row in found.rows if row.name == outcome.strategy.name)
        word = row.decision.split(";")[0].split(" (")[0]  # of the most folds
        rule = rules_for(found.metric, fitted.meaning)[word]()
        made[row.name] = rule.fit(labels, outcome.proba).predict(proba).astype(float)
    return made, alone


def check(problem: Problem, folds: int, options: TrainOptions, jobs: int) -> dict[str, Any]:
    """Compare on statements, score on the truth, and set the two rankings side by side."""
    X, labels, _, truth = problem
    start = time.perf_counter()
    with TemporaryDirectory() as kept:
        found = compare(X, labels, folds=folds, options=options, n_jobs=jobs, resume=kept)
        seconds = time.perf_counter() - start
        made, alone = decisions(problem, found, folds, options, jobs, Path(kept))
    half = eo.decide.Threshold(0.5) if labels.task == "multilabel" else None
    true = {
        name: eo.evaluate(truth, decided, decision=half)["metrics"][found.metric]["lower"]
        for name, decided in made.items()
    }
    best = max(true, key=true.__getitem__)
    behind = {
        name: eo.metrics.paired_difference(
            truth, made[best], decided, found.metric, decision=half, other_decision=half
        ).interval
        for name, decided in made.items()
    }
    names = [row.name for row in found.rows]
    within = [name for name in names if name == best or behind[name][0] <= 0]
    return {
        "rows": labels.kind_counts(),
        "test rows": len(truth),
        "metric": found.metric,
        "folds": folds,
        "seconds": round(seconds, 1),
        "strategies": [
            {
                "name": row.name,
                "estimated": round(row.score, 4),
                "interval": [round(end, 4) for end in row.interval],
                "level": row.level,
                "true": round(true[row.name], 4),
                "truly behind": [round(end, 4) for end in behind[row.name]],
                "rule": row.decision,
                "seconds a fold": round(row.seconds, 2),
                "numbers": row.n_parameters,
            }
            for row in found.rows
        ],
        "refused": found.refused,
        "named best": found.best,
        "truly best": best,
        "not to be told from it": within,
        "first is truly best or level with it": names[0] in within,
        "truly best is named": best in found.best,
        "named level, yet truly behind": [name for name in found.best if name not in within],
        "kendall tau": round(
            float(kendalltau([r.score for r in found.rows], [true[n] for n in names]).statistic), 3
        ),
        "regret": round(true[best] - true[names[0]], 4),
        "verdict": found.verdict,
        **({"estimated row by row": alone} if "different inputs" in found.counts else {}),
    }


def level_pair(jobs: int, seeds: int = 100) -> dict[str, Any]:
    """Clouds whose sets name either other class alike: an even target decides as the likelihood."""
    said_level, wrong_best, gaps = 0, 0, []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        y, fresh = rng.integers(0, 3, 400), rng.integers(0, 3, 20_000)
        X, test = (4 * np.eye(3)[k] + rng.normal(0, 1.5, (len(k), 3)) for k in (y, fresh))
        labels = eo.noise.corrupt_sets(y, 3, rate=0.5, random_state=rng)
        found = compare(
            X, labels, ["likelihood", "uniform target"], folds=3, n_jobs=jobs, options=QUICK
        )
        said_level += len(found.best) == 2
        right = {}
        for strategy in (s for s in STRATEGIES if s.name in ("likelihood", "uniform target")):
            fitted = strategy.fit(Setting(QUICK, jobs, 0), Data(X, labels))
            right[strategy.name] = (fitted.predict_proba(test).argmax(axis=1) == fresh).mean()
        gap = float(right["likelihood"] - right["uniform target"])
        gaps.append(gap)
        if len(found.best) == 1 and (gap > 0) != (found.best == ["likelihood"]):
            wrong_best += 1
    return {
        "seeds": seeds,
        "said level": said_level,
        "named the truly worse one alone": wrong_best,
        "mean true difference": round(float(np.mean(gaps)), 5),
        "standard deviation of it": round(float(np.std(gaps)), 5),
    }


SETS: dict[str, tuple[Callable[[], Problem], int, TrainOptions]] = {
    "lost": (lost, 5, DEFAULTS),
    "cooking": (cooking, 3, DEFAULTS),
    "goemotions": (goemotions, 3, DEFAULTS),
    "fashion_mnist": (fashion_mnist, 3, QUICK),
    "cifar10_human": (cifar10_human, 5, DEFAULTS),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=[*SETS, "level"], action="append")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    if not DATA.is_dir():
        sys.exit(f"the data are not there: {DATA}")
    report = json.loads(args.out.read_text()) if args.out.exists() else {}
    report["command"] = "python benchmarks/compare.py"
    report["machine"] = f"{platform.machine()}, {os.cpu_count()} cores, shared with other work"
    for name in args.only or [*SETS, "level"]:
        if name == "level":
            report[name] = level_pair(args.jobs)
        else:
            make, folds, options = SETS[name]
            report[name] = check(make(), folds, options, args.jobs)
        print(name, json.dumps(report[name], indent=1), flush=True)
        args.out.parent.mkdir(exist_ok=True)
        args.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
