"""A linear layer of 100,000 classes: our sparse loss beside PyTorch's, in time and in memory.

4,096 rows of 128 features, forward and backward to features, weight and bias, float32. PyTorch's
`linear_cross_entropy` takes exact labels only, as it stands (the logits as a matrix) and in its
chunked form; ours takes exact labels and, besides, sets of three and rejections of three. Made-up
numbers (seed 0): only their shapes matter. The two that are compared run three times in turn, the
others once; seconds are medians. Memory is the highest resident size during forward and backward
(Linux's own mark, set back before each run) less what was held before; it includes the gradients.

    OMP_NUM_THREADS=1 nice -n 10 python benchmarks/linear_cross_entropy.py
"""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from eitheror.labels import EVIDENCE, SparseTargets
from eitheror.torch import partial_linear_cross_entropy

RESULT = Path(__file__).parent / "results" / "linear_cross_entropy.json"
ROWS, FEATURES, CLASSES, REPEATS = 4_096, 128, 100_000, 3
PEER, PEER_CHUNKED = "torch linear_cross_entropy", "torch linear_cross_entropy, chunked"
OURS = "ours, exact labels"
KINDS = {OURS: (1, 0.0), "ours, one of three": (3, 0.0), "ours, none of three": (3, 1.0)}


def statements(listed: int, rest: float) -> SparseTargets:
    """Return rows that list as many classes, allowed (rest 0) or ruled out (rest 1)."""
    rng = np.random.default_rng(0)
    start = rng.integers(0, CLASSES, (ROWS, 1))
    indices = (start + np.arange(listed) * 7919) % CLASSES
    none = np.zeros(0, dtype=np.int32)
    return SparseTargets(
        "multiclass",
        CLASSES,
        np.arange(ROWS + 1, dtype=np.int64) * listed,
        indices.ravel().astype(np.int32),
        np.full(ROWS * listed, 1.0 - rest, dtype=np.float32),
        np.full(ROWS, rest, dtype=np.float32),
        np.full(ROWS, EVIDENCE, dtype=np.uint8),
        np.zeros(ROWS + 1, dtype=np.int64),
        np.zeros(1, dtype=np.int64),
        none,
    )


def tensors() -> list[torch.Tensor]:
    """Return features, weight and bias."""
    generator = torch.Generator().manual_seed(0)
    shapes = ((ROWS, FEATURES), (CLASSES, FEATURES), (CLASSES,))
    made = [torch.randn(shape, generator=generator) for shape in shapes]
    made[1] /= FEATURES**0.5
    return [tensor.requires_grad_() for tensor in made]


def losses() -> dict[str, Callable[..., torch.Tensor]]:
    """Return what is compared, each a function of features, weight and bias."""
    exact = torch.from_numpy(statements(1, 0.0).indices).long()
    options = torch.nn.LinearCrossEntropyOptions()
    found: dict[str, Callable[..., torch.Tensor]] = {
        PEER: lambda x, w, b: functional.linear_cross_entropy(x, w, exact, linear_bias=b),
        PEER_CHUNKED: lambda x, w, b: functional.linear_cross_entropy(
            x, w, exact, linear_bias=b, options=options
        ),
    }
    for name, kind in KINDS.items():
        rows = statements(*kind)
        found[name] = lambda x, w, b, rows=rows: partial_linear_cross_entropy(x, w, b, rows)
    return found


def memory(field: str) -> float:
    """Return a field of the process's status, in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024
    raise KeyError(field)


def run(
    function: Callable[..., torch.Tensor], inputs: list[torch.Tensor]
) -> tuple[float, float, float]:
    """Return the seconds of one forward and backward, the MB it needed, and the loss."""
    for tensor in inputs:
        tensor.grad = None
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    before = memory("VmRSS")
    start = time.perf_counter()
    loss = function(*inputs)
    loss.backward()
    return time.perf_counter() - start, memory("VmHWM") - before, loss.item()


def main() -> None:
    inputs, functions = tensors(), losses()
    (torch.randn(64, 64) @ torch.randn(64, 64)).exp()  # libraries that load at first use
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    peaks, values = {}, {}
    for turn in range(REPEATS):
        for name in functions if turn == 0 else (PEER, OURS):
            took, peak, values[name] = run(functions[name], inputs)
            seconds[name].append(took)
            peaks[name] = max(peak, peaks.get(name, 0.0))
            print(f"{took:7.2f} s {peak:7.0f} MB  {name}", flush=True)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    found = {
        "command": "python benchmarks/linear_cross_entropy.py",
        "machine": f"{platform.machine()}, 2 cores, shared with other work",
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "rows": ROWS,
        "features": FEATURES,
        "classes": CLASSES,
        "dense_logits_mb": round(ROWS * CLASSES * 4 / 2**20),
        "seconds_median": {name: round(value, 2) for name, value in medians.items()},
        "seconds": {name: [round(took, 2) for took in times] for name, times in seconds.items()},
        "peak_extra_mb": {name: round(value) for name, value in peaks.items()},
        "time_over_torch": round(medians[OURS] / medians[PEER], 3),
        "fastest_over_fastest": round(min(seconds[OURS]) / min(seconds[PEER]), 3),
        "memory_over_dense_logits": round(peaks[OURS] / (ROWS * CLASSES * 4 / 2**20), 4),
        "loss": values,
    }
    RESULT.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
