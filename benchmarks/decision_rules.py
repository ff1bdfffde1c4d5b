"""Decision rules on Cooking Stack Exchange: what tuning, calibration and cuts per class bring.

One model with default options. Rules and calibration are fitted on out-of-fold probabilities of the
12,404 training questions (3 folds, seed 0); scores are on the last 3,000 questions.

    python benchmarks/decision_rules.py      # writes benchmarks/results/decision_rules.json
"""

from __future__ import annotations

import json
import platform
from pathlib import Path

import numpy as np

from eitheror.decide import (
    METRICS,
    Calibration,
    ExpectedJaccard,
    Rule,
    Threshold,
    TopK,
    TunedThreshold,
    score_decision,
)
from eitheror.files import read
from eitheror.training import TrainOptions, fit

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "cooking"
RESULT = Path(__file__).parent / "results" / "decision_rules.json"
N_TRAIN, FOLDS = 12_404, 3


def rules() -> list[tuple[str, Rule, bool]]:
    """Return (name, rule, calibrate first)."""
    tuned = [
        ("f1_micro", TunedThreshold("f1_micro")),
        ("f1_micro, at least one", TunedThreshold("f1_micro", at_least_one=True)),
        ("jaccard_samples, at least one", TunedThreshold("jaccard_samples", at_least_one=True)),
        ("f1_micro per class", TunedThreshold("f1_micro", per_class=True)),
        ("f1_macro", TunedThreshold("f1_macro")),
        ("f1_macro per class", TunedThreshold("f1_macro", per_class=True)),
        ("f1_macro per class, all", TunedThreshold("f1_macro", per_class=True, min_present=0)),
    ]
    plain: list[tuple[str, Rule, bool]] = [
        ("top 1", TopK(1), False),
        ("cut at .5", Threshold(0.5), False),
        ("expected Jaccard, calibrated", ExpectedJaccard(), False),
    ]
    return plain + [(name, rule, calibrate) for calibrate in (False, True) for name, rule in tuned]


def main() -> None:
    texts, labels = read(str(DATA / "cooking.stackexchange.txt.gz"))
    truth = labels.to_targets()
    proba = np.empty((N_TRAIN, labels.n_classes))
    fold = np.random.default_rng(0).permutation(N_TRAIN) % FOLDS
    for part in range(FOLDS):
        rows, held_out = np.flatnonzero(fold != part), np.flatnonzero(fold == part)
        model = fit([texts[i] for i in rows], labels[rows], TrainOptions())
        proba[held_out] = model.predict_proba([texts[i] for i in held_out])
    model = fit(texts[:N_TRAIN], labels[:N_TRAIN], TrainOptions())
    unseen = model.predict_proba(texts[N_TRAIN:])
    calibration = Calibration().fit(truth[:N_TRAIN], proba)

    table = []
    for name, rule, calibrate in rules():
        known, new = (calibration.transform(p) if calibrate else p for p in (proba, unseen))
        chosen = rule.fit(truth[:N_TRAIN], known).predict(new)
        scores = {metric: score_decision(metric, truth[N_TRAIN:], chosen) for metric in METRICS}
        table.append({"rule": name, "calibrated": calibrate, "scores": scores})
        shown = "  ".join(f"{metric} {value:.3f}" for metric, value in scores.items())
        print(f"{name + ' (calibrated)' * calibrate:<45}{shown}", flush=True)
    report = {
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "command": "python benchmarks/decision_rules.py",
        "data": "cooking.stackexchange: first 12,404 rows to train, last 3,000 to test",
        "precision_at_1": float(truth[N_TRAIN:][np.arange(len(unseen)), unseen.argmax(1)].mean()),
        "calibration": calibration.coefficients_.tolist(),
        "rules": table,
    }
    RESULT.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
