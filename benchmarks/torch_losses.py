"""Forward and backward of the dense PyTorch losses beside PyTorch's own, on one and two threads.

4,096 rows of 1,000 classes, float32, logits from a normal distribution of spread 3, seed 0. The
losses take turns, each twice in a row, of which the second is timed: as in training, it finds the
memory that it left itself, and not another loss. Milliseconds are medians, and the ratio is the
median of the ratios of each turn, of the time on the clock and of the time that the process got
from its processors (which other work on the machine changes less). Two threads are measured twice:
by default PyTorch's threads spin while they wait for each other, so that on cores that other
processes want as well each parallel step costs a slice of the scheduler's time, about 4 ms, however
small it is; with ``OMP_WAIT_POLICY=passive`` they sleep.

`partial_cross_entropy` is held against `cross_entropy` with probabilities, which takes targets of
the same shape, and `partial_binary_cross_entropy_with_logits` against its namesake.

    python benchmarks/torch_losses.py    # writes benchmarks/results/torch_losses.json
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from eitheror.torch import partial_binary_cross_entropy_with_logits, partial_cross_entropy

RESULT = Path(__file__).parent / "results" / "torch_losses.json"
ROWS, CLASSES, TURNS = 4_096, 1_000, 11
PEER, BINARY_PEER = "torch cross_entropy, probabilities", "torch binary_cross_entropy_with_logits"
BINARY = "ours, tags, all known"


def targets() -> dict[str, Tensor]:
    """Return one matrix of targets for each kind of statement."""
    generator = torch.Generator().manual_seed(0)
    names = torch.randint(0, CLASSES, (ROWS,), generator=generator)
    exact = functional.one_hot(names, CLASSES).float()
    allowed = (torch.rand(ROWS, CLASSES, generator=generator) < 0.3).float().maximum(exact)
    shares = torch.rand(ROWS, CLASSES, generator=generator)
    shares /= shares.sum(-1, keepdim=True)
    kinds = {
        "exact": exact,
        "sets of 300": allowed,
        "not this class": 1 - exact,
        "trust .9": allowed.clamp(min=0.1),
        "shares": shares,
    }
    mixed = torch.cat([matrix[: ROWS // 5] for matrix in kinds.values()] + [torch.ones(1, CLASSES)])
    return kinds | {"all kinds mixed": mixed}


def losses() -> dict[str, Callable[[Tensor], Tensor]]:
    """Return what is compared, each a function of the logits."""
    kinds = targets()
    tags = kinds["sets of 300"]
    found: dict[str, Callable[[Tensor], Tensor]] = {
        PEER: lambda f: functional.cross_entropy(f, kinds["shares"]),
        BINARY_PEER: lambda f: functional.binary_cross_entropy_with_logits(f, tags),
        BINARY: lambda f: partial_binary_cross_entropy_with_logits(f, tags),
    }
    for name, matrix in kinds.items():
        found[f"ours, {name}"] = lambda f, matrix=matrix: partial_cross_entropy(f, matrix)
    return found


def measure(threads: int) -> dict[str, dict[str, float]]:
    """Return milliseconds and ratios to PyTorch's own loss."""
    torch.set_num_threads(threads)
    logits = 3 * torch.randn(ROWS, CLASSES, generator=torch.Generator().manual_seed(1))
    functions = losses()
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in functions}
    for turn in range(TURNS + 2):
        for name, function in functions.items():
            for _ in range(2):  # the first one finds the memory that another loss left
                f = logits.clone().requires_grad_()
                start, start_cpu = time.perf_counter(), time.process_time()
                function(f).backward()
            took = time.perf_counter() - start, time.process_time() - start_cpu
            if turn >= 2:  # the first ones warm up
                times[name].append(took)
    found = {}
    for name, taken in times.items():
        peer = times[BINARY_PEER if name in (BINARY, BINARY_PEER) else PEER]
        clock, cpu = (
            [mine[i] / other[i] for mine, other in zip(taken, peer, strict=True)] for i in (0, 1)
        )
        found[name] = {
            "ms": round(1e3 * statistics.median(took for took, _ in taken), 1),
            "cpu_ms": round(1e3 * statistics.median(took for _, took in taken), 1),
            "ratio": round(statistics.median(clock), 2),
            "cpu_ratio": round(statistics.median(cpu), 2),
        }
    return found


def run(threads: int, **policy: str) -> dict[str, object]:
    """Measure in a process of its own, as the policy is read when it starts."""
    load = os.getloadavg()[0]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    done = subprocess.run(
        [sys.executable, __file__, str(threads)],
        env=inherited | policy,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, object] = {
        "load before": round(load, 2),
        "load after": round(os.getloadavg()[0], 2),
    }
    for name, row in json.loads(done.stdout).items():
        print(f"{threads} threads {policy}  {row}  {name}", flush=True)
        found[name] = row
    return found


def main() -> None:
    found = {
        "command": "python benchmarks/torch_losses.py",
        "machine": f"{platform.machine()}, 2 cores, shared with other work",
        "torch": torch.__version__,
        "rows": ROWS,
        "classes": CLASSES,
        "turns": TURNS,
        "threads": {
            "1": run(1),
            "2": run(2),
            "2, OMP_WAIT_POLICY=passive": run(2, OMP_WAIT_POLICY="passive"),
        },
    }
    RESULT.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measure(int(sys.argv[1]))))
    else:
        main()
