"""The vocabulary of a small model in few bytes, without loss.

In: the arrays of a `Featurizer`. Out: the same under the same names: lengths in one byte each, the
buckets (which rise) as gaps, the idf in 16 bits where these hold it; and back, checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror._kernels.varint import packed, packed_rising, unpacked, unpacked_rising

__all__ = ["packed_vocabulary", "unpacked_vocabulary"]


def packed_vocabulary(tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Write a vocabulary in few bytes.

    Parameters
    ----------
    tensors : mapping of str to array
        Of a `Featurizer` whose buckets rise.

    Returns
    -------
    dict of str to array
    """
    buckets = tensors["ngrams.buckets"]
    arrays = {
        **tensors,
        "words.lengths": packed(tensors["words.lengths"]),
        "ngrams.buckets": packed_rising(buckets, np.array([0, len(buckets)])),
    }
    if "idf" in tensors:
        half = tensors["idf"].astype(np.float16)
        if np.array_equal(half, tensors["idf"]):
            arrays["idf"] = half
    return arrays


def unpacked_vocabulary(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Inverse of `packed_vocabulary`; arrays that are missing stay missing.

    Parameters
    ----------
    tensors : mapping of str to array

    Returns
    -------
    dict of str to array

    Raises
    ------
    ValueError
        Naming the array that cannot be read.

    Examples
    --------
    >>> stored = {"words.lengths": np.int32([3, 5]), "ngrams.buckets": np.int32([7, 300])}
    >>> unpacked_vocabulary(packed_vocabulary(stored))["ngrams.buckets"].tolist()
    [7, 300]
    """
    arrays = dict(tensors)
    for name in {"words.lengths", "ngrams.buckets"} & set(arrays):
        data = np.asarray(arrays[name])
        if data.dtype != np.uint8 or data.ndim != 1:
            raise ValueError(
                f"{name}: {data.dtype} of shape {data.shape} came; bytes were expected"
            )
        try:
            numbers = unpacked(data)
            if name == "ngrams.buckets":
                numbers = unpacked_rising(data, np.array([0, len(numbers)]))
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        if numbers.max(initial=0) >= 2**31:
            raise ValueError(f"{name}: a number of 2**31 or more")
        arrays[name] = numbers.astype(np.int32)
    if "idf" in arrays and np.asarray(arrays["idf"]).dtype == np.float16:
        arrays["idf"] = np.asarray(arrays["idf"]).astype(np.float32)
    return arrays
