"""Training: inputs and `Labels` in, a `Model` out, by one function, `fit`; of files, `fit_files`.

The SGD trainers for texts run on the compiled loops of `eitheror._kernels`; tables of numbers are
fitted with all rows at once. The same data, options and seed give the same model on any number of
threads.
"""

from eitheror.training.checkpoint import Checkpoint
from eitheror.training.fitting import fit
from eitheror.training.loop import TrainingDivergedError
from eitheror.training.options import TrainOptions
from eitheror.training.stream import fit_files
from eitheror.training.stream_budget import MemoryLimitError
from eitheror.training.stream_store import CacheDamagedError

__all__ = [
    "CacheDamagedError",
    "Checkpoint",
    "MemoryLimitError",
    "TrainOptions",
    "TrainingDivergedError",
    "fit",
    "fit_files",
]
