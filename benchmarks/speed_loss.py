"""What a partial statement costs beside an exact label, and the compiled loss beside others.

First table: an epoch of each trainer over the same texts, every row with one kind of statement. The
kinds take turns; the figure is the median of the ratios to exact labels in the same turn, of CPU
time on one thread. Features are 20,000 rows of 40 words drawn by Zipf's law from 50,000.

Second table: value and gradient of the set loss for a matrix of logits, compiled, by
`eitheror.losses` (NumPy) and by PyTorch's autograd on two `logsumexp`, with the time to copy the
matrix as the floor. One thread.

    python benchmarks/speed_loss.py            # writes benchmarks/results/speed_loss.json
    python benchmarks/speed_loss.py --quick    # a look at it, nothing stored
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
from _process import command_line

from eitheror._kernels.common import EXACT, Targets, jit
from eitheror._kernels.losses import CODES, row_gradient
from eitheror._kernels.rows import Rows
from eitheror.labels import Label, Labels, either, evidence, exact, not_, soft, tags, votes
from eitheror.losses import (
    partial_softmax_cross_entropy,
    partial_softmax_cross_entropy_gradient,
)
from eitheror.training.embedding import EmbeddingTrainer
from eitheror.training.examples import Examples
from eitheror.training.linear import LinearTrainer
from eitheror.training.options import TrainOptions, resolve

RESULT = Path(__file__).parent / "results" / "speed_loss.json"
ROWS, WORDS, VOCABULARY, PATTERNS = 20_000, 40, 50_000, 2_000
CLASSES = (4, 28, 700)
TRAINERS = {
    "embedding, dim 10": {"features": "embedding", "dim": 10, "optimizer": "sgd"},
    "embedding, dim 100": {"features": "embedding", "dim": 100, "optimizer": "sgd"},
    "linear": {"features": "tfidf"},
}

Timed = dict[str, Callable[[], Any]]


def statements(names: list[str], random: np.random.Generator) -> dict[str, dict[str, list[Label]]]:
    """Return rows of each kind of statement, exact labels or known tags first, by loss."""
    few = min(3, len(names) - 1)

    def some(n: int) -> list[str]:
        return [names[k] for k in random.choice(len(names), n, replace=False)]

    def rows(make: Callable[[], Label]) -> list[Label]:
        return [make() for _ in range(PATTERNS)]

    def shares(n: int) -> dict[str, float]:
        return dict(zip(some(n), np.full(n, 1.0 / n).tolist(), strict=True))

    def present_absent() -> Label:
        chosen = some(4)
        return tags(*chosen[:2], absent=chosen[2:], rest="unknown")

    return {
        "softmax": {
            "exact": rows(lambda: exact(some(1)[0])),
            "exact, trust .9": rows(lambda: exact(some(1)[0], trust=0.9)),
            "one of a few": rows(lambda: either(*some(few))),
            "one of a few, trust .8": rows(lambda: either(*some(few), trust=0.8)),
            "one of half the classes": rows(lambda: either(*some(len(names) // 2))),
            "not this class": rows(lambda: not_(some(1)[0])),
            "not these, trust .8": rows(lambda: not_(*some(few), trust=0.8)),
            "shares": rows(lambda: soft(shares(2))),
            "votes": rows(lambda: votes(dict.fromkeys(some(2), 3))),
            "evidence": rows(lambda: evidence(dict.fromkeys(some(few), 0.7), rest=0.2)),
        },
        "ova": {
            "tags, all known": rows(lambda: tags(*some(2))),
            "present and absent, rest unknown": rows(present_absent),
            "absent tags": rows(lambda: not_(*some(2))),
            "shares of tags": rows(lambda: soft(dict.fromkeys(some(2), 0.6))),
            "votes on tags": rows(lambda: votes(dict.fromkeys(some(2), 3), voters=5)),
            "at least one of two": rows(lambda: either(*some(2))),
        },
    }


def words(random: np.random.Generator, *, valued: bool) -> Rows:
    """Draw the texts' words by Zipf's law; linear models want values."""
    chance = 1.0 / np.arange(1, VOCABULARY + 1)
    drawn = random.choice(VOCABULARY, ROWS * WORDS, p=chance / chance.sum()).astype(np.int32)
    values = np.full(len(drawn), WORDS**-0.5, np.float32) if valued else None
    return Rows(np.arange(ROWS + 1, dtype=np.int64) * WORDS, drawn, values, VOCABULARY)


def take_turns(timed: Timed, turns: int) -> dict[str, list[float]]:
    """CPU seconds of each function in each turn, after one turn that is not counted."""
    spent: dict[str, list[float]] = {name: [] for name in timed}
    for turn in range(turns + 1):
        for name, function in timed.items():
            start = time.process_time()
            function()
            if turn:
                spent[name].append(time.process_time() - start)
    return spent


def prices(turns: int) -> dict[str, dict[str, float]]:
    """Median ratio to exact labels of each kind of statement, by trainer, loss and classes."""
    found = {}
    for trainer, settings in TRAINERS.items():
        rows = words(np.random.default_rng(0), valued=trainer == "linear")
        for n_classes in CLASSES:
            names = [f"c{k:03}" for k in range(n_classes)]
            for loss, kinds in statements(names, np.random.default_rng(1)).items():
                spent = epochs(rows, names, loss, kinds, settings, turns)
                first = next(iter(spent))
                ratios = {
                    kind: statistics.median(a / b for a, b in zip(times, spent[first], strict=True))
                    for kind, times in spent.items()
                }
                micro = statistics.median(spent[first]) / ROWS * 1e6
                found[f"{trainer}, {loss}, {n_classes} classes"] = {"us_a_row": micro, **ratios}
                print(f"{trainer}, {loss}, {n_classes} classes: {first} {micro:.2f} us a row")
                for kind in list(ratios)[1:]:
                    print(f"    {kind:34} {ratios[kind]:5.2f}", flush=True)
    return found


def epochs(
    rows: Rows,
    names: list[str],
    loss: str,
    kinds: dict[str, list[Label]],
    settings: dict[str, Any],
    turns: int,
) -> dict[str, list[float]]:
    """Time an epoch with each kind; "weighted" is the first kind with weights."""
    task = "multiclass" if loss == "softmax" else "multilabel"
    options = resolve(TrainOptions(loss=loss, **settings), task, text=True, n_samples=ROWS)
    order = np.random.default_rng(2).permutation(ROWS)
    random_weight = np.random.default_rng(3).random(ROWS).astype(np.float32) + np.float32(0.5)
    timed: Timed = {}
    weights = {kind: np.ones(ROWS, np.float32) for kind in kinds}
    for kind, weight in [*weights.items(), ("weighted", random_weight)]:
        labels = Labels(kinds.get(kind, next(iter(kinds.values()))), classes=names, task=task)
        targets = labels.sparse().take(np.arange(ROWS) % PATTERNS)
        examples = Examples(rows, targets, weight)
        separable = loss == "ova" and not len(targets.group_indices)
        model = trained(rows, len(names), options, separable=separable)
        timed[kind] = lambda m=model, e=examples: m.epoch(e, order, 0)
    return take_turns(timed, turns)


def trained(rows: Rows, n_classes: int, options: TrainOptions, *, separable: bool) -> Any:
    """Make the trainer that the options name, on one thread."""
    bias = np.zeros(n_classes, np.float32)
    if options.features == "embedding":
        return EmbeddingTrainer(rows.n_features, bias, options, class_weight=None, n_jobs=1)
    return LinearTrainer(
        rows.n_features,
        bias,
        options,
        class_weight=None,
        separable=separable,
        n_jobs=1,
    )


@jit(EXACT)
def every_row(targets: Targets, logits: Any, code: int, listed: Any, out: Any) -> float:
    """Value and gradient of each row of a matrix."""
    nothing = np.empty(0, np.float32)
    total = 0.0
    for i in range(logits.shape[0]):
        total += row_gradient(
            code, i, targets, logits[i], 0, nothing, 0.0, 0.0, listed, out[i]
        )  # fmt: skip
    return total


def dense(n_rows: int, n_classes: int, turns: int) -> dict[str, float]:
    """Milliseconds of value and gradient for sets of three classes, and of a copy."""
    import torch

    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    logits = 3 * random.standard_normal((n_rows, n_classes), dtype=np.float32)
    sets = random.integers(0, n_classes, (n_rows, 3)).astype(np.int32)
    sets.sort(axis=1)
    sets = sets[(np.diff(sets, axis=1) > 0).all(axis=1)]
    logits = np.ascontiguousarray(logits[: len(sets)])
    n_rows = len(sets)
    allowed = np.zeros(logits.shape, bool)
    np.put_along_axis(allowed, sets.astype(np.int64), True, axis=1)
    targets = Targets(
        np.arange(n_rows + 1, dtype=np.int64) * 3,
        sets.ravel(),
        np.ones(3 * n_rows, np.float32),
        np.zeros(n_rows, np.float32),
        np.ones(n_rows, np.uint8),
        np.zeros(n_rows + 1, np.int64),
        np.zeros(0, np.int64),
        np.zeros(0, np.int32),
        np.ones(n_rows, np.float32),
    )
    out, listed = np.empty_like(logits), np.empty(n_classes)
    wide = allowed.astype(np.float32)
    tensor, mask = torch.from_numpy(logits).requires_grad_(), torch.from_numpy(allowed)

    def autograd() -> None:
        tensor.grad = None
        chosen = tensor.masked_fill(~mask, -torch.inf)
        (tensor.logsumexp(1) - chosen.logsumexp(1)).sum().backward()

    def numpy() -> None:
        partial_softmax_cross_entropy(logits, wide)
        partial_softmax_cross_entropy_gradient(logits, wide)

    timed: Timed = {
        "copy": lambda: np.copyto(out, logits),
        "compiled": lambda: every_row(targets, logits, CODES["softmax"], listed, out),
        "eitheror.losses, NumPy": numpy,
        "torch, autograd": autograd,
    }
    spent = take_turns(timed, turns)
    every_row(targets, logits, CODES["softmax"], listed, out)
    autograd()
    assert tensor.grad is not None
    difference = float(np.abs(tensor.grad.numpy() - out).max())
    found = {name: 1e3 * statistics.median(times) for name, times in spent.items()}
    print(f"set loss and gradient, {n_rows} x {n_classes}:")
    for name, milliseconds in found.items():
        print(f"    {name:34} {milliseconds:9.2f} ms  {milliseconds / found['compiled']:6.2f}")
    print(f"    largest difference of gradients    {difference:.1e}", flush=True)
    return {**found, "largest_difference": difference}


def main() -> None:
    """Measure both tables, print them and store them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    turns = 2 if options.quick else options.turns
    table = prices(turns)
    sizes = ((4096, 10), (4096, 1000), (256, 100_000))
    matrices = {f"{n} x {k}": dense(n, k, turns) for n, k in sizes}
    if not options.quick:
        stored = {
            "command": command_line(),
            "machine": f"{platform.machine()}, 2 cores, shared with other work",
            "data": f"{ROWS:,} rows of {WORDS} words drawn by Zipf's law from {VOCABULARY:,}",
            "turns": turns,
            "load": os.getloadavg()[0],
            "ratio to exact labels": table,
            "milliseconds, set loss and gradient": matrices,
        }
        RESULT.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
