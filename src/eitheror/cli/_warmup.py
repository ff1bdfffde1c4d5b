"""`eitheror warmup`: compile now what training and predicting would compile on first use."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter

from eitheror.cli._options import Json, count, print_json

__all__ = ["warmup"]


def warmup(
    *,
    dim: Annotated[
        list[int] | None,
        Parameter(
            negative=(),
            show_default=False,
            help="Widths of embeddings to compile for; several may be given [default: 10 100].",
        ),
    ] = None,
    as_json: Json = False,
) -> int:
    """Compile every kernel of training and predicting into the cache, once a machine.

    Without it the first training of each kind takes some seconds longer. Where all is compiled
    already, this only says so.
    """
    from eitheror.training.warmup import DIMS, warm_up

    def show(done: int, total: int) -> None:
        print(f"\r{done} of {count(total, 'kind')} of models", end="", file=sys.stderr, flush=True)

    shown = sys.stderr.isatty()
    done = warm_up(dim or DIMS, progress=show if shown else None)
    if shown:
        print("\r\033[K", end="", file=sys.stderr)
    if as_json:
        print_json(asdict(done))
        return 0
    said = f"{count(done.compiled, 'kernel')} compiled" if done.compiled else "nothing to compile"
    print(f"{said}, {count(done.loaded, 'kernel')} from the cache ({done.seconds:.1f} s)")
    for folder in done.folders:
        print(f"cache: {folder}")
    return 0
