"""Whole numbers in few bytes: seven bits a byte, and the eighth says that more follow (LEB128).

In: integer arrays. Out: uint8 arrays, and back. Rising lists are kept as the gaps between their
numbers, which are small. Bytes from a file are checked.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from eitheror._kernels.rows import expand

__all__ = ["packed", "packed_rising", "unpacked", "unpacked_rising"]

_MOST_BYTES = 9  # of one number: 63 bits


def packed(numbers: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Write numbers from 0 up, one after the other.

    Parameters
    ----------
    numbers : integer array of shape (n,)

    Returns
    -------
    uint8 array

    Examples
    --------
    >>> packed(np.array([5, 300])).tolist()
    [5, 172, 2]
    """
    rest = numbers.astype(np.uint64)
    sizes = np.ones(len(rest), dtype=np.int64)
    for place in range(1, _MOST_BYTES):
        sizes += rest >= np.uint64(1 << (7 * place))
    starts = np.cumsum(sizes) - sizes
    out = np.empty(int(sizes.sum()), dtype=np.uint8)
    for place in range(int(sizes.max(initial=0))):
        long = np.flatnonzero(sizes > place)
        more = np.where(sizes[long] > place + 1, 128, 0).astype(np.uint8)
        out[starts[long] + place] = (rest[long] & np.uint64(127)).astype(np.uint8) | more
        rest >>= np.uint64(7)
    return out


def unpacked(data: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Inverse of `packed`.

    Parameters
    ----------
    data : uint8 array

    Returns
    -------
    int64 array

    Raises
    ------
    ValueError
        If the last number has no end, or one is too long.

    Examples
    --------
    >>> unpacked(packed(np.array([5, 300]))).tolist()
    [5, 300]
    """
    ends = np.flatnonzero(data < 128) + 1
    if len(data) != (ends[-1] if len(ends) else 0):
        raise ValueError("the last number is cut short")
    starts = np.concatenate([[0], ends[:-1]]).astype(np.int64)
    sizes = ends - starts
    if sizes.max(initial=0) > _MOST_BYTES:
        raise ValueError(f"a number of more than {_MOST_BYTES} bytes")
    numbers = np.zeros(len(ends), dtype=np.int64)
    for place in range(int(sizes.max(initial=0))):
        long = np.flatnonzero(sizes > place)
        numbers[long] |= (data[starts[long] + place].astype(np.int64) & 127) << (7 * place)
    return numbers


def packed_rising(numbers: NDArray[np.integer], indptr: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Write lists of numbers, each of which rises.

    Parameters
    ----------
    numbers : integer array of shape (indptr[-1],)
        From 0 up.
    indptr : int64 array of shape (n_lists + 1,)
        Where each list begins.

    Returns
    -------
    uint8 array

    Examples
    --------
    >>> packed_rising(np.array([3, 4, 9, 1]), np.array([0, 3, 4])).tolist()
    [3, 0, 4, 1]
    """
    wide = numbers.astype(np.int64)
    gaps = wide - np.concatenate([[-1], wide[:-1]]) - 1
    first = indptr[:-1][np.diff(indptr) > 0]
    gaps[first] = numbers[first]
    return packed(gaps)


def unpacked_rising(data: NDArray[np.uint8], indptr: NDArray[np.int64]) -> NDArray[np.int64]:
    """Inverse of `packed_rising`.

    Parameters
    ----------
    data : uint8 array
    indptr : int64 array of shape (n_lists + 1,)

    Returns
    -------
    int64 array of shape (indptr[-1],)

    Raises
    ------
    ValueError
        If the bytes hold another number of numbers, or numbers that are too large.

    Examples
    --------
    >>> lists = np.array([0, 3, 4])
    >>> unpacked_rising(packed_rising(np.array([3, 4, 9, 1]), lists), lists).tolist()
    [3, 4, 9, 1]
    """
    gaps = unpacked(data)
    if len(gaps) != indptr[-1]:
        raise ValueError(f"{len(gaps)} numbers came; {indptr[-1]} were expected")
    if gaps.max(initial=0) >= 2**31 - 1:
        raise ValueError("a number of 2**31 or more")
    sums = np.concatenate([[0], np.cumsum(gaps + 1)])
    starts, lengths = indptr[:-1], np.diff(indptr)
    before = np.repeat(sums[starts], lengths)
    numbers: NDArray[np.int64] = sums[1:][expand(starts, lengths)] - before - 1
    return numbers
