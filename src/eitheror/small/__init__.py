"""Small models: a trained model of texts in, one that fits into so many bytes out.

Weights and features that matter least are left out, and the others are kept as one-byte codes
(`eitheror.model.quantised`). The bytes are those of the model's folder, and they are measured.
"""

from eitheror.small.budget import shrink

__all__ = ["shrink"]
