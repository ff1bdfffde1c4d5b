"""Text to tokens, hashes and n-gram buckets in plain Python: the twin of the `tokens` kernels.

Used for small inputs, so that predicting a few lines never starts Numba, and as the oracle of the
kernels' tests. The character classes that both read are defined here, as fixed ranges: a model must
split its texts the same way under every Python version, so `unicodedata` is not asked.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "character_classes",
    "hash_word",
    "hash_words",
    "ngram_buckets",
    "subword_buckets",
    "tokenise",
    "weigh",
]

# Unicode's White_Space, the separators that str.split() also takes, and NUL as in fastText.
_SPACES = (
    (0x00, 0x00), (0x09, 0x0D), (0x1C, 0x20), (0x85, 0x85), (0xA0, 0xA0), (0x1680, 0x1680),
    (0x2000, 0x200A), (0x2028, 0x2029), (0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000),
)  # fmt: skip
# With punctuation split off: signs that show nothing (zero-width space, emoji variation selectors,
# byte order mark) also only separate.
_INVISIBLE = ((0x200B, 0x200B), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF))
# With punctuation split off, each of these is a token: punctuation, symbols, emoji; and kana and
# ideographs, which are written without spaces.
_SINGLES = (
    (0x21, 0x2F), (0x3A, 0x40), (0x5B, 0x60), (0x7B, 0x7E), (0xA1, 0xA9), (0xAB, 0xB1),
    (0xB4, 0xB4), (0xB6, 0xB8), (0xBB, 0xBB), (0xBF, 0xBF), (0xD7, 0xD7), (0xF7, 0xF7),
    (0x2010, 0x2027), (0x2030, 0x205E), (0x20A0, 0x20CF), (0x2190, 0x2BFF), (0x3001, 0x3003),
    (0x3008, 0x3020), (0x3030, 0x3030), (0x3040, 0x30FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF), (0xFE10, 0xFE19), (0xFE30, 0xFE6F), (0xFF01, 0xFF0F), (0xFF1A, 0xFF20),
    (0xFF3B, 0xFF40), (0xFF5B, 0xFF65), (0x1F000, 0x10FFFF),
)  # fmt: skip
_TABLE_SIZE = 0x1F001  # its last entry stands for every code point from 0x1F000 on

_BITS = (1 << 64) - 1
_BASIS = 0xCBF29CE484222325
_PRIME = 0x100000001B3
_SUBWORD_BASIS = 0x84222325CBF29CE4
_JOIN = 0x9E3779B97F4A7C15
_MIX_1 = 0xFF51AFD7ED558CCD
_MIX_2 = 0xC4CEB9FE1A85EC53


@cache
def character_classes(split_punctuation: bool) -> NDArray[np.uint8]:
    """Class of every code point: 0 in a word, 1 between words, 2 a token by itself.

    Parameters
    ----------
    split_punctuation : bool
        Whether signs are tokens; without it only white space separates.

    Returns
    -------
    uint8 array of shape (0x1F001,)
        The last entry stands for all code points from 0x1F000 on.
    """
    table = np.zeros(_TABLE_SIZE, dtype=np.uint8)
    for ranges, kind in _ranges(split_punctuation):
        for low, high in ranges:
            table[low : high + 1] = kind
    table.setflags(write=False)
    return table


def tokenise(text: str, split_punctuation: bool) -> list[str]:
    """Tokens of a text, in order.

    Examples
    --------
    >>> tokenise("don't panic", True)
    ['don', "'", 't', 'panic']
    >>> tokenise("don't panic", False)
    ["don't", 'panic']
    """
    return _pattern(split_punctuation).findall(text)


def hash_word(word: bytes, basis: int = _BASIS) -> int:
    """64-bit FNV-1a of the bytes: h = (h xor byte) * prime, from the basis on."""
    h = basis
    for byte in word:
        h = ((h ^ byte) * _PRIME) & _BITS
    return h


def hash_words(data: NDArray[np.uint8], lengths: NDArray[np.int64]) -> NDArray[np.uint64]:
    """`hash_word` of many words, byte position by byte position.

    Parameters
    ----------
    data : uint8 array of shape (lengths.sum(),)
        The words' bytes, one word after the other.
    lengths : int64 array of shape (n_words,)
        How many bytes each word has.

    Returns
    -------
    uint64 array of shape (n_words,)
    """
    # Longest first; NumPy sorts short integers by their digits, ten times as fast.
    short: NDArray[Any] = lengths
    if lengths.max(initial=0) < 1 << 15:
        short = lengths.astype(np.int16)
    order = np.argsort(-short, kind="stable")
    starts = (np.cumsum(lengths) - lengths)[order]
    ordered = -lengths[order]
    hashes = np.full(len(lengths), _BASIS, dtype=np.uint64)
    for position in range(int(-ordered[0]) if len(ordered) else 0):
        still = int(np.searchsorted(ordered, -position))  # words longer than `position` come first
        hashes[:still] ^= data[starts[:still] + position]
        hashes[:still] *= np.uint64(_PRIME)
    result = np.empty_like(hashes)
    result[order] = hashes
    return result


def subword_buckets(word: str, shortest: int, longest: int, n_buckets: int) -> list[int]:
    """Buckets of the character n-grams of `<word>`, a lone `<` or `>` left out.

    From each character on, the shortest n-gram comes first.
    """
    characters = [character.encode() for character in f"<{word}>"]
    buckets = []
    for begin in range(len(characters)):
        h = _SUBWORD_BASIS
        for length, character in enumerate(characters[begin : begin + longest], start=1):
            h = hash_word(character, h)
            edge = length == 1 and begin in (0, len(characters) - 1)
            if length >= shortest and not edge:
                buckets.append(_bucket(h, n_buckets))
    return buckets


def ngram_buckets(hashes: list[int], word_ngrams: int, n_buckets: int) -> list[int]:
    """Buckets of the n-grams of 2 .. `word_ngrams` words, by first word, the shortest first."""
    buckets = []
    for begin, h in enumerate(hashes):
        for following in hashes[begin + 1 : begin + word_ngrams]:
            h = ((h * _JOIN) & _BITS) ^ following
            buckets.append(_bucket(h, n_buckets))
    return buckets


def weigh(
    row_ends: NDArray[np.int64],
    indices: NDArray[np.int32],
    repeats: NDArray[np.int32],
    damped: NDArray[np.float32],
    idf: NDArray[np.float32],
    values: NDArray[np.float32],
) -> None:
    """Values = damped[repeats - 1] * idf[feature], divided by the length of the row.

    Squares are added one after the other, as the kernel does, so that both give the same bits.
    """
    values[:] = damped[repeats - 1] * idf[indices]
    begin = 0
    for end in row_ends.tolist():
        if end > begin:
            total = np.cumsum(np.square(values[begin:end], dtype=np.float64))[-1]
            values[begin:end] /= np.float32(np.sqrt(total))
        begin = end


def _ranges(split_punctuation: bool) -> list[tuple[tuple[tuple[int, int], ...], int]]:
    signs = [(_INVISIBLE, 1), (_SINGLES, 2)] if split_punctuation else []
    return [(_SPACES, 1), *signs]


@cache
def _pattern(split_punctuation: bool) -> re.Pattern[str]:
    parts = {1: "", 2: ""}
    for ranges, kind in _ranges(split_punctuation):
        parts[kind] += "".join(rf"\U{low:08x}-\U{high:08x}" for low, high in ranges)
    single = f"|[{parts[2]}]" if parts[2] else ""
    return re.compile(f"[^{parts[1]}{parts[2]}]+{single}")


def _bucket(h: int, n_buckets: int) -> int:
    h = ((h ^ (h >> 33)) * _MIX_1) & _BITS
    h = ((h ^ (h >> 33)) * _MIX_2) & _BITS
    h ^= h >> 33
    return ((h >> 32) * n_buckets) >> 32
