"""Decision rules on Cooking Stack Exchange: what tuning, calibration and expectations bring.

*Scores.* One model with default options. Rules and calibration are fitted on out-of-fold
probabilities of the 12,404 training questions (3 folds, seed 0); scores are on the last 3,000
questions. Which form of the expected-Jaccard rule stands for it (with at least one tag or not) is
chosen by `cross_fitted_score` on the training questions alone, and so
are its two rivals, the tuned threshold and the threshold with at least one tag.

*Speed.* Expected-Jaccard and expected-F1 decisions at 734 tags on one thread: the calibrated
marginals of the test questions (2 expected tags a row), and made-up rows with 56 expected tags.
Beside them the NumPy form, one item at a time: the expectations of all prefixes and the best one.
Items per second are medians over rounds, by processor time and by the clock.

    python benchmarks/decision_rules.py [--only speed]   # writes results/decision_rules.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from eitheror.decide import (
    METRICS,
    Calibration,
    ExpectedF1,
    ExpectedJaccard,
    Rule,
    Threshold,
    TopK,
    TunedThreshold,
    cross_fitted_score,
    expected_f1,
    expected_jaccard,
    score_decision,
)
from eitheror.decide.scoring import samples_scores
from eitheror.files import read
from eitheror.training import TrainOptions, fit

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "cooking"
RESULT = Path(__file__).parent / "results" / "decision_rules.json"
N_TRAIN, FOLDS, TAGS, ONE_BY_ONE = 12_404, 3, 734, 100


def rules() -> list[tuple[str, Rule, bool]]:
    """Return (name, rule, calibrate first)."""
    tuned = [
        ("f1_micro", TunedThreshold("f1_micro")),
        ("f1_micro, at least one", TunedThreshold("f1_micro", at_least_one=True)),
        ("jaccard_samples", TunedThreshold("jaccard_samples")),
        ("jaccard_samples, at least one", TunedThreshold("jaccard_samples", at_least_one=True)),
        ("f1_micro per class", TunedThreshold("f1_micro", per_class=True)),
        ("f1_macro", TunedThreshold("f1_macro")),
        ("f1_macro per class", TunedThreshold("f1_macro", per_class=True)),
        ("f1_macro per class, all", TunedThreshold("f1_macro", per_class=True, min_present=0)),
    ]
    plain: list[tuple[str, Rule, bool]] = [
        ("top 1", TopK(1), False),
        ("cut at .5", Threshold(0.5), False),
        *((name, rule, False) for name, rule in expected().items()),
        ("expected F1, at least one", ExpectedF1(at_least_one=True), False),
    ]
    return plain + [(name, rule, calibrate) for calibrate in (False, True) for name, rule in tuned]


def expected() -> dict[str, Rule]:
    """Return the forms of the expected-Jaccard rule; all calibrate in `fit`."""
    return {
        "expected Jaccard": ExpectedJaccard(),
        "expected Jaccard, at least one": ExpectedJaccard(at_least_one=True),
    }


def contest(truth: np.ndarray, proba: np.ndarray, unseen: np.ndarray) -> dict[str, Any]:
    """Samples-Jaccard: the best form of each contestant by the training rows, then the test."""
    entries: dict[str, dict[str, tuple[Rule, Calibration | None]]] = {
        "expected Jaccard": {name: (rule, None) for name, rule in expected().items()},
    }
    for name, at_least_one in (("tuned threshold", False), ("threshold, at least one", True)):
        rule = TunedThreshold("jaccard_samples", at_least_one=at_least_one)
        entries[name] = {"raw": (rule, None), "calibrated": (rule, Calibration())}
    table: dict[str, Any] = {}
    rows: dict[str, np.ndarray] = {}
    for name, forms in entries.items():
        cross_fitted = {
            form: cross_fitted_score(
                rule, truth[:N_TRAIN], proba, "jaccard_samples", cv=3, calibration=calibration
            )[0]
            for form, (rule, calibration) in forms.items()
        }
        best = max(cross_fitted, key=lambda form: cross_fitted[form])
        rule, calibration = forms[best]
        known, new = proba, unseen
        if calibration is not None:
            calibration.fit(truth[:N_TRAIN], proba)
            known, new = (calibration.transform(p).astype(np.float32) for p in (proba, unseen))
        chosen = rule.fit(truth[:N_TRAIN], known).predict(new)
        rows[name] = samples_scores("jaccard", truth[N_TRAIN:], [chosen])[0]
        table[name] = {
            "cross_fitted_on_training_rows": cross_fitted,
            "chosen": best,
            "rule": rule.describe(),
            "test_jaccard_samples": float(rows[name].mean()),
            "test_f1_micro": score_decision("f1_micro", truth[N_TRAIN:], chosen),
        }
        gain = rows["expected Jaccard"] - rows[name]
        table[name]["expected Jaccard minus this"] = {
            "mean": float(gain.mean()),
            "standard_error": float(gain.std(ddof=1) / np.sqrt(len(gain))),
        }
        print(name, json.dumps(table[name], indent=1), flush=True)
    return table


def speed(marginals: np.ndarray, rounds: int) -> dict[str, dict[str, float]]:
    """Items per second, in turn, round by round."""
    sets = {
        "2 expected tags": marginals[:, :TAGS].astype(np.float32),
        "56 expected tags": np.random.default_rng(0).random((1000, TAGS)).astype(np.float32) ** 12,
    }

    def one_by_one(scores: Callable[[Any], np.ndarray], proba: np.ndarray) -> int:
        for row in proba[:ONE_BY_ONE]:
            scores(row[None])[0].argmax()
        return ONE_BY_ONE

    def together(rule: Rule, proba: np.ndarray) -> int:
        rule.predict(proba)
        return len(proba)

    runs: dict[str, Callable[[], int]] = {}
    for kind, proba in sets.items():
        for rule, scores in ((ExpectedJaccard(), expected_jaccard), (ExpectedF1(), expected_f1)):
            name = type(rule).__name__
            runs[f"{name}, {kind}"] = lambda r=rule, p=proba: together(r, p)
            runs[f"{name}, {kind}, NumPy one item"] = lambda s=scores, p=proba: one_by_one(s, p)
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for run in runs.values():
        run()  # compiles
    for _ in range(rounds):
        for name, run in runs.items():
            start, wall = time.thread_time(), time.perf_counter()
            n_items = run()
            spent = time.thread_time() - start, time.perf_counter() - wall
            rates[name].append((n_items / spent[0], n_items / spent[1]))
    table = {
        name: {
            "items_per_second": round(statistics.median(cpu for cpu, _ in pairs)),
            "items_per_second_by_the_clock": round(statistics.median(wall for _, wall in pairs)),
        }
        for name, pairs in rates.items()
    }
    for name, row in table.items():
        print(f"{row['items_per_second']:>9,} items/s  {name}", flush=True)
    return table


def probabilities() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the truth of all questions, out-of-fold and test probabilities."""
    texts, labels = read(str(DATA / "cooking.stackexchange.txt.gz"))
    proba = np.empty((N_TRAIN, labels.n_classes), dtype=np.float32)
    fold = np.random.default_rng(0).permutation(N_TRAIN) % FOLDS
    for part in range(FOLDS):
        rows, held_out = np.flatnonzero(fold != part), np.flatnonzero(fold == part)
        model = fit([texts[i] for i in rows], labels[rows], TrainOptions())
        proba[held_out] = model.predict_proba([texts[i] for i in held_out])
    model = fit(texts[:N_TRAIN], labels[:N_TRAIN], TrainOptions())
    return labels.to_targets(), proba, model.predict_proba(texts[N_TRAIN:])


def test_scores(truth: np.ndarray, proba: np.ndarray, unseen: np.ndarray) -> list[dict[str, Any]]:
    """Every rule, fitted on the training rows, on the test rows."""
    calibration = Calibration().fit(truth[:N_TRAIN], proba)
    table = []
    for name, rule, calibrate in rules():
        known, new = (
            calibration.transform(p).astype(np.float32) if calibrate else p for p in (proba, unseen)
        )
        chosen = rule.fit(truth[:N_TRAIN], known).predict(new)
        scores = {metric: score_decision(metric, truth[N_TRAIN:], chosen) for metric in METRICS}
        table.append({"rule": name, "calibrated": calibrate, "scores": scores})
        shown = "  ".join(f"{metric} {value:.3f}" for metric, value in scores.items())
        print(f"{name + ' (calibrated)' * calibrate:<45}{shown}", flush=True)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("rules", "contest", "speed"), action="append")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    truth, proba, unseen = probabilities()
    parts: dict[str, Callable[[], Any]] = {
        "speed": lambda: speed(
            Calibration().fit(truth[:N_TRAIN], proba).transform(unseen), arguments.rounds
        ),
        "contest": lambda: contest(truth, proba, unseen),
        "rules": lambda: test_scores(truth, proba, unseen),
    }
    report = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    report |= {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores shared with other work, one used",
        "command": "python benchmarks/decision_rules.py",
        "data": "cooking.stackexchange: first 12,404 rows to train, last 3,000 to test",
        "precision_at_1": float(truth[N_TRAIN:][np.arange(len(unseen)), unseen.argmax(1)].mean()),
    }
    for name in arguments.only or parts:
        report[name] = parts[name]()
        report[f"load average of {name}"] = [round(load, 1) for load in os.getloadavg()]
        RESULT.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
