"""Training: inputs and `Labels` in, a `Model` out, by one function, `fit`.

The SGD trainers for texts run on the compiled loops of `eitheror._kernels`; tables of numbers are
fitted with all rows at once. The same data, options and seed give the same model on any number of
threads.
"""

from eitheror.training.checkpoint import Checkpoint
from eitheror.training.fitting import fit
from eitheror.training.loop import TrainingDivergedError
from eitheror.training.options import TrainOptions

__all__ = ["Checkpoint", "TrainOptions", "TrainingDivergedError", "fit"]
