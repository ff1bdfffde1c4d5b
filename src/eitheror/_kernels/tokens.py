"""Text kernels: bytes of a chunk of rows -> tokens -> word types -> feature rows.

In: the UTF-8 bytes of the rows one after the other, and tables. Out: integer arrays that the caller
allocated. Words are known by a 64-bit hash, never compared as strings; character n-grams are
computed once per distinct word of a chunk, not once per occurrence. `tokens_plain` says the same
in plain Python, and the tests hold the two to identical numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from eitheror._kernels.common import EXACT, jit
from eitheror._kernels.simd import load_word, prefetch

__all__ = [
    "JOIN",
    "bucket_of",
    "combine",
    "copy_runs",
    "count",
    "fill",
    "fold",
    "intern",
    "mixed",
    "scan",
    "subwords",
    "tally",
    "weigh",
]

# The same numbers as in eitheror._kernels.tokens_plain.
_BASIS = np.uint64(0xCBF29CE484222325)
_PRIME = np.uint64(0x100000001B3)
_SUBWORD_BASIS = np.uint64(0x84222325CBF29CE4)
JOIN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xFF51AFD7ED558CCD)
_MIX_2 = np.uint64(0xC4CEB9FE1A85EC53)
_S8 = np.uint64(8)
_S32 = np.uint64(32)
_S33 = np.uint64(33)
_BYTE = np.uint64(0xFF)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
# For n = 0 to 7: the prime to the power of -n, modulo 2^64.
_UNDO = np.array([pow(int(_PRIME), -n, 1 << 64) for n in range(8)], np.uint64)
# Bits 3 * (class before) + class; see `_ascii_tokens`.
_BEGINS = np.uintp(0b101101100)
_ENDS = np.uintp(0b111000110)
_AHEAD = 12  # hashes between asking for a place of the table and looking there


_jit = jit(EXACT, bare=True)
_part = jit(EXACT, part=True)


@_part
def mixed(h: Any) -> Any:
    # MurmurHash3's 64-bit finaliser: every input bit reaches every output bit.
    h = (h ^ (h >> _S33)) * _MIX_1
    h = (h ^ (h >> _S33)) * _MIX_2
    return h ^ (h >> _S33)


@_part
def bucket_of(h: Any, n_buckets: Any) -> Any:
    # Multiply and shift instead of a division: the high half of (32 bits of hash) * n_buckets.
    return np.uintp(((mixed(h) >> _S32) * n_buckets) >> _S32)


@_jit
def _decode(data: Any, pos: Any) -> Any:
    # (bytes, code point) of the character beyond ASCII that begins at `pos`.
    lead = np.uintp(data[pos])
    second = np.uintp(data[pos + np.uintp(1)]) & np.uintp(0x3F)
    if lead < 0xE0:
        return np.uintp(2), ((lead & np.uintp(0x1F)) << np.uintp(6)) | second
    third = np.uintp(data[pos + np.uintp(2)]) & np.uintp(0x3F)
    code = (second << np.uintp(6)) | third
    if lead < 0xF0:
        return np.uintp(3), ((lead & np.uintp(0x0F)) << np.uintp(12)) | code
    fourth = np.uintp(data[pos + np.uintp(3)]) & np.uintp(0x3F)
    code = (code << np.uintp(6)) | fourth
    return np.uintp(4), ((lead & np.uintp(0x07)) << np.uintp(18)) | code


@_jit
def fold(
    data: NDArray[np.uint8],
    row_starts: NDArray[np.int64],
    row_ends: NDArray[np.int64],
    lowercase: bool,
    out: NDArray[np.uint8],
    wide: NDArray[np.uint8],
) -> int:
    """Copy the rows one after the other, A to Z as small letters if asked; returns the bytes.

    `wide[row]` is 128 for a row with characters beyond ASCII, which stay as they are, else 0.
    """
    n = np.uintp(0)
    for row in range(len(row_starts)):
        begin = np.uintp(row_starts[row])
        size = np.uintp(row_ends[row]) - begin
        seen = np.uint8(0)
        for i in range(size):
            byte = data[begin + np.uintp(i)]
            seen |= byte
            if lowercase:
                byte += np.uint8(np.uint8(byte - np.uint8(65)) < np.uint8(26)) << np.uint8(5)
            out[n + np.uintp(i)] = byte
        wide[row] = seen & np.uint8(128)
        n += size
    return int(n)


@_jit
def scan(
    data: NDArray[np.uint8],
    row_starts: NDArray[np.int64],
    row_ends: NDArray[np.int64],
    wide: NDArray[np.uint8],
    classes: NDArray[np.uint8],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    token_ends: NDArray[np.int64],
) -> int:
    """Split each row's bytes into tokens; returns how many.

    `classes[code point]` is 0 in a word, 1 between words, 2 a token by itself; the last entry of
    `classes` stands for every code point beyond the table. `data` must be valid UTF-8 with eight
    bytes more behind it, `wide` 0 for rows in ASCII, and there must be room for one token more
    than there are bytes.
    """
    n = np.uintp(0)
    for row in range(len(row_ends)):
        pos, end = np.uintp(row_starts[row]), np.uintp(row_ends[row])
        if wide[row]:
            n = np.uintp(_wide_tokens(data, pos, end, classes, starts, ends, n))
        else:
            n = np.uintp(_ascii_tokens(data, pos, end, classes, starts, ends, n))
        token_ends[row] = n
    for i in range(n):
        hashes[np.uintp(i)] = _hash(data, starts[np.uintp(i)], ends[np.uintp(i)])
    return int(n)


@_part
def _ascii_tokens(
    data: Any, begin: Any, end: Any, classes: Any, starts: Any, ends: Any, n: Any
) -> Any:
    # Without a branch that a word's length decides: both places are written at every byte, and
    # only a word that begins or ends here is counted. Bit 3 * (class of the byte before) + class
    # of this one says whether one does: _BEGINS where a byte of a word follows another class and
    # at each token by itself, _ENDS where another class follows a word and behind such a token.
    n_ends = n
    before = np.uintp(1)
    for i in range(begin, end):
        kind = np.uintp(classes[np.uintp(data[np.uintp(i)])])
        turn = np.uintp(3) * before + kind
        starts[n] = i
        ends[n_ends] = i
        n += (_BEGINS >> turn) & np.uintp(1)
        n_ends += (_ENDS >> turn) & np.uintp(1)
        before = kind
    ends[n_ends] = end
    return n


@_jit
def _wide_tokens(
    data: Any, begin: Any, end: Any, classes: Any, starts: Any, ends: Any, n: Any
) -> Any:
    beyond = np.uintp(len(classes) - 1)
    pos, start = begin, begin
    while pos < end:
        width, code = np.uintp(1), np.uintp(data[pos])
        if code >= 0x80:
            width, code = _decode(data, pos)
        kind = classes[min(code, beyond)]
        if kind != 0:
            if pos > start:
                starts[n] = start
                ends[n] = pos
                n += np.uintp(1)
            start = pos + width
            if kind == 2:
                starts[n] = pos
                ends[n] = start
                n += np.uintp(1)
        pos += width
    if end > start:
        starts[n] = start
        ends[n] = end
        n += np.uintp(1)
    return n


@_part
def _hash(data: Any, start: Any, end: Any) -> Any:
    # FNV-1a by eight bytes, without a branch but for long words: bytes of 0 behind the end of the
    # word only multiply by the prime, which its inverse modulo 2^64 undoes.
    h = _BASIS
    pos = np.intp(start)
    while end - pos > 8:
        h = _eight_more(h, load_word(data, pos))
        pos += 8
    missing = np.uintp(8) - np.uintp(end - pos)
    word = load_word(data, pos) & (_ALL >> np.uint64(np.uintp(8) * missing))
    return _eight_more(h, word) * _UNDO[missing]


@_part
def _eight_more(h: Any, word: Any) -> Any:
    for _ in range(8):
        h = (h ^ (word & _BYTE)) * _PRIME
        word >>= _S8
    return h


@_jit
def copy_runs(
    data: NDArray[np.uint8],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int32],
    out: NDArray[np.uint8],
) -> None:
    """Copy `lengths[i]` bytes from each start on, one run after the other."""
    n = np.uintp(0)
    for i in range(len(starts)):
        begin = np.uintp(starts[i])
        for j in range(np.uintp(lengths[i])):
            out[n] = data[begin + np.uintp(j)]
            n += np.uintp(1)


@_jit
def tally(ids: NDArray[np.int32], counts: NDArray[np.int64]) -> None:
    """Add to `counts` how often each number comes."""
    for i in range(len(ids)):
        counts[np.uintp(ids[np.uintp(i)])] += 1


@_jit
def intern(
    hashes: NDArray[np.uint64],
    begin: int,
    keys: NDArray[np.uint64],
    slots: NDArray[np.int32],
    n_known: int,
    capacity: int,
    ids: NDArray[np.int32],
    first: NDArray[np.int64],
) -> tuple[int, int]:
    """Give each hash a number, by first occurrence, in an open-addressing table.

    `slots[place]` is an id or -1, `keys[place]` its hash. Stops before the hash that would be
    number `capacity`, so that the caller can grow the table; with capacity 0 the table is only
    read and unknown hashes get -1. Returns (position reached, ids given out).
    """
    mask = np.uint64(len(keys) - 1)
    n = n_known
    last = len(hashes) - 1
    for i in range(begin, len(hashes)):
        ahead = np.intp(mixed(hashes[np.uintp(min(i + _AHEAD, last))]) & mask)
        prefetch(slots, ahead)
        prefetch(keys, ahead)
        h = hashes[np.uintp(i)]
        place = np.uintp(mixed(h) & mask)
        while slots[place] >= 0 and keys[place] != h:
            place = np.uintp((np.uint64(place) + np.uint64(1)) & mask)
        found = slots[place]
        if found < 0 and capacity > 0:
            if n >= capacity:
                return i, n
            found = np.int32(n)
            slots[place] = found
            keys[place] = h
            first[n] = i
            n += 1
        ids[np.uintp(i)] = found
    return len(hashes), n


@_jit
def subwords(
    data: NDArray[np.uint8],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int32],
    shortest: int,
    longest: int,
    n_buckets: int,
    ends: NDArray[np.int64],
    buckets: NDArray[np.int32],
) -> int:
    """Buckets of the character n-grams of `<word>` for each word; returns how many.

    An n-gram is `shortest` to `longest` code points; a lone `<` or `>` is left out.
    """
    many = np.uint64(n_buckets)
    n = np.uintp(0)
    for word in range(len(starts)):
        base = starts[word]
        size = np.int64(lengths[word])
        begin = np.int64(-1)  # -1 is the "<", size the ">"
        while begin <= size:
            h = _SUBWORD_BASIS
            pos = begin
            for length in range(1, longest + 1):
                if pos > size:
                    break
                if pos < 0 or pos == size:
                    h = (h ^ np.uint64(0x3C if pos < 0 else 0x3E)) * _PRIME
                    pos += 1
                else:
                    h = (h ^ np.uint64(data[np.uintp(base + pos)])) * _PRIME
                    pos += 1
                    while pos < size and data[np.uintp(base + pos)] & 0xC0 == 0x80:
                        h = (h ^ np.uint64(data[np.uintp(base + pos)])) * _PRIME
                        pos += 1
                if length >= shortest and not (length == 1 and (begin < 0 or begin == size)):
                    buckets[n] = bucket_of(h, many)
                    n += np.uintp(1)
            begin += 1
            while begin < size and data[np.uintp(base + begin)] & 0xC0 == 0x80:
                begin += 1
        ends[word] = n
    return int(n)


@_jit
def count(
    ids: NDArray[np.int32],
    token_ends: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    word_counts: NDArray[np.int64],
    subword_ends: NDArray[np.int64],
    subwords: NDArray[np.int32],
    word_ngrams: int,
    counts: NDArray[np.uint32],
    line: NDArray[np.int32],
) -> None:
    """Add to `counts` how often each bucket is hit by the n-grams of the rows.

    `line` is room for the n-grams of a stretch of words: at least `word_ngrams` numbers.
    """
    begin = np.int64(0)
    for word in range(len(subword_ends)):
        for i in range(begin, subword_ends[word]):
            counts[np.uintp(subwords[np.uintp(i)])] += np.uint32(word_counts[word])
        begin = subword_ends[word]
    if word_ngrams < 2:
        return
    # Counters are far apart: all of a stretch are asked for before the first is raised.
    step = np.int64(len(line) // word_ngrams)
    begin = np.int64(0)
    for row in range(len(token_ends)):
        end = token_ends[row]
        while begin < end:
            stop = min(begin + step, end)
            n = _ngrams(ids, begin, stop, end, hashes, word_ngrams, counts, line, np.uintp(0))
            for i in range(n):
                counts[np.uintp(line[np.uintp(i)])] += np.uint32(1)
            begin = stop


@_part
def _ngrams(
    ids: Any,
    begin: Any,
    stop: Any,
    end: Any,
    hashes: Any,
    word_ngrams: Any,
    table: Any,
    out: Any,
    n: Any,
) -> Any:
    # The buckets of the n-grams that begin at the words `begin` to `stop` of a row with `end`, from
    # out[n] on; their places in the table are asked for.
    many = np.uint64(len(table))
    if word_ngrams == 2:
        h = hashes[np.uintp(ids[np.uintp(begin)])] if begin < end else _BASIS
        for i in range(begin + 1, min(stop + 1, end)):
            after = hashes[np.uintp(ids[np.uintp(i)])]
            bucket = bucket_of((h * JOIN) ^ after, many)
            prefetch(table, np.intp(bucket))
            out[n] = bucket
            n += np.uintp(1)
            h = after
        return n
    for i in range(begin, stop):
        h = hashes[np.uintp(ids[np.uintp(i)])]
        for j in range(i + 1, min(i + word_ngrams, end)):
            h = (h * JOIN) ^ hashes[np.uintp(ids[np.uintp(j)])]
            bucket = bucket_of(h, many)
            prefetch(table, np.intp(bucket))
            out[n] = bucket
            n += np.uintp(1)
    return n


@_jit
def fill(
    ids: NDArray[np.int32],
    token_ends: NDArray[np.int64],
    word_rows: NDArray[np.int32],
    hashes: NDArray[np.uint64],
    subword_ends: NDArray[np.int64],
    subword_rows: NDArray[np.int32],
    word_ngrams: int,
    bucket_rows: NDArray[np.int32],
    bias: int,
    row_ends: NDArray[np.int64],
    indices: NDArray[np.int32],
) -> int:
    """Write each row's features: the bias, its words with their subwords, then word n-grams.

    A table entry of -1 is a feature without a row and is left out. `bias` 1 puts feature 0 in
    front of every row. Returns how many features were written.
    """
    n = np.uintp(0)
    begin = np.int64(0)
    with_subwords = len(subword_rows) > 0
    for row in range(len(token_ends)):
        end = token_ends[row]
        if bias:
            indices[n] = 0
            n += np.uintp(1)
        for i in range(begin, end):
            word = np.uintp(ids[np.uintp(i)])
            indices[n] = word_rows[word]
            n += np.uintp(word_rows[word] >= 0)
            if with_subwords:
                lower = subword_ends[word - np.uintp(1)] if word > 0 else np.int64(0)
                for j in range(lower, subword_ends[word]):
                    indices[n] = subword_rows[np.uintp(j)]
                    n += np.uintp(subword_rows[np.uintp(j)] >= 0)
        if word_ngrams > 1:
            # First where all n-grams of the row stand in the table, then what stands there.
            last = _ngrams(ids, begin, end, end, hashes, word_ngrams, bucket_rows, indices, n)
            for i in range(np.int64(n), np.int64(last)):
                feature = bucket_rows[np.uintp(indices[np.uintp(i)])]
                indices[n] = feature
                n += np.uintp(feature >= 0)
        row_ends[row] = n
        begin = end
    return int(n)


@_jit
def combine(
    row_ends: NDArray[np.int64],
    indices: NDArray[np.int32],
    repeats: NDArray[np.int32],
    place_of: NDArray[np.int32],
) -> int:
    """Keep each row's features once, in order of first occurrence, with how often they came.

    Works in place: rows only move towards the front. `place_of` has one -1 per feature and
    remembers where a feature was last written. Returns how many features are left.
    """
    n = np.int64(0)
    begin = np.int64(0)
    for row in range(len(row_ends)):
        end = row_ends[row]
        row_start = n
        for i in range(begin, end):
            feature = indices[np.uintp(i)]
            place = np.int64(place_of[np.uintp(feature)])
            if place >= row_start:
                repeats[np.uintp(place)] += np.int32(1)
            else:
                place_of[np.uintp(feature)] = n
                indices[np.uintp(n)] = feature
                repeats[np.uintp(n)] = 1
                n += 1
        row_ends[row] = n
        begin = end
    return int(n)


@_jit
def weigh(
    row_ends: NDArray[np.int64],
    indices: NDArray[np.int32],
    repeats: NDArray[np.int32],
    damped: NDArray[np.float32],
    idf: NDArray[np.float32],
    values: NDArray[np.float32],
) -> None:
    """Values = damped[repeats - 1] * idf[feature], divided by the length of the row."""
    begin = np.int64(0)
    for row in range(len(row_ends)):
        end = row_ends[row]
        total = 0.0
        for i in range(begin, end):
            at = np.uintp(i)
            value = damped[np.uintp(repeats[at] - 1)] * idf[np.uintp(indices[at])]
            values[at] = value
            total += np.float64(value) * np.float64(value)
        norm = np.float32(np.sqrt(total))
        for i in range(begin, end):
            values[np.uintp(i)] /= norm
        begin = end
