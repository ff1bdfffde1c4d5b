"""Texts to rows exactly as fastText reads them, for models that were trained by it.

In: texts. Out: `Rows` of a model that `eitheror.model.import_fasttext` read. Nothing is lower-cased
and only six ASCII signs separate words; every text ends with the word `</s>`. A word has the row
of its place in the vocabulary; n-grams of characters and of words are hashed with 32-bit FNV-1a.
The words of a block are told apart in Python, and everything else is done for all of them at once
in NumPy, so that no compiler is started.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from eitheror._kernels.rows import Rows, expand
from eitheror.text.chunks import encoded, in_threads, n_threads, split_chunks
from eitheror.text.featurizer import checked_array
from eitheror.text.options import check_whole

__all__ = ["LINE_END", "FastTextFeaturizer", "FastTextOptions", "hash_bytes", "subword_hashes"]

LINE_END: Final = b"</s>"
"""The word that fastText puts at the end of every line."""
_LABEL: Final = b"__label__"  # model files do not keep another prefix, and fastText forgets it
_BASIS: Final = np.uint32(2166136261)
_PRIME: Final = np.uint32(16777619)
_JOIN: Final = np.uint64(116049371)
_BEGIN, _END = b"<", b">"
_MAX_FEATURES: Final = 2**31 - 1
_MOST_NGRAMS: Final = 100  # the work grows with it for each word

Bytes = NDArray[np.uint8]
Hashes = NDArray[np.uint32]
Longs = NDArray[np.int64]


@dataclass(frozen=True)
class FastTextOptions:
    """How fastText was told to make features.

    Parameters
    ----------
    word_ngrams : int
        Longest sequence of words that is a feature, at most 100; 1 is single words.
    char_ngrams : (int, int)
        Shortest and longest character n-gram of `<word>`; a longest of 0 is none.
    bucket : int
        Hash buckets that all n-grams share; 0 where there are none.
    pruned : bool
        Whether only some buckets have rows, as after `fasttext quantize -cutoff`.

    Raises
    ------
    ValueError
        If a value is out of its range.

    Examples
    --------
    >>> FastTextOptions(word_ngrams=2, bucket=100).has_ngrams
    True
    """

    word_ngrams: int = 1
    char_ngrams: tuple[int, int] = (0, 0)
    bucket: int = 0
    pruned: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.char_ngrams, tuple | list) or len(self.char_ngrams) != 2:
            raise ValueError(f"char_ngrams={self.char_ngrams!r}: expected (shortest, longest)")
        object.__setattr__(self, "char_ngrams", tuple(self.char_ngrams))
        check_whole("word_ngrams", self.word_ngrams, 1, _MOST_NGRAMS)
        check_whole("char_ngrams[0]", self.char_ngrams[0], 0, None)
        check_whole("char_ngrams[1]", self.char_ngrams[1], 0, None)
        check_whole("bucket", self.bucket, int(self.has_ngrams), _MAX_FEATURES)
        if not isinstance(self.pruned, bool):
            raise ValueError(f"pruned={self.pruned!r}: expected True or False")

    @property
    def has_ngrams(self) -> bool:
        """Whether any feature is hashed into a bucket."""
        return self.word_ngrams > 1 or self.char_ngrams[1] > 0


@dataclass(frozen=True, eq=False)
class FastTextFeaturizer:
    """The vocabulary of a fastText model: turns texts into `Rows` as fastText does.

    Feature numbers: the words, then the n-gram buckets (those that have rows, if pruned). A text
    without any known feature is a row without values. White space is space, tab, line feed,
    carriage return, vertical tab, form feed and NUL. fastText predicts one line at a time; here a
    line break inside a text is a space.

    Parameters
    ----------
    options : FastTextOptions
    word_bytes, label_bytes : uint8 array
        The words, and the labels with their prefix, one after the other; any bytes. A label in a
        text is passed over.
    word_lengths, label_lengths : int32 array of shape (n_words,), (n_labels,)
        Bytes of each.
    kept : int32 array of shape (n_kept,)
        The buckets that have rows, in the rows' order; empty where all have.

    Examples
    --------
    >>> featurizer = FastTextFeaturizer.of([b"</s>", b"red", b"apple"], [b"__label__fruit"])
    >>> featurizer.transform(["red red pear"]).indices.tolist()
    [1, 1, 0]
    """

    options: FastTextOptions
    word_bytes: Bytes
    word_lengths: NDArray[np.int32]
    label_bytes: Bytes
    label_lengths: NDArray[np.int32]
    kept: NDArray[np.int32]

    def __getstate__(self) -> dict[str, Any]:
        # Tables that are made on first use are not copied or pickled.
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def of(
        cls,
        words: Sequence[bytes],
        labels: Sequence[bytes],
        options: FastTextOptions = FastTextOptions(),
        kept: Sequence[int] = (),
    ) -> FastTextFeaturizer:
        """Make one from lists.

        Parameters
        ----------
        words, labels : sequence of bytes
        options : FastTextOptions
        kept : sequence of int
            Buckets that have rows, if `options.pruned`.

        Returns
        -------
        FastTextFeaturizer

        Raises
        ------
        ValueError
            As `from_parts`.
        """
        return cls(
            options, *_joined(words), *_joined(labels), np.array(kept, dtype=np.int32)
        )._checked()

    @property
    def n_features(self) -> int:
        """Width of the rows."""
        buckets = len(self.kept) if self.options.pruned else self.options.bucket
        return len(self.word_lengths) + buckets

    def words(self) -> list[str]:
        r"""Return the vocabulary; bytes that are no UTF-8 are written as \xNN."""
        return [word.decode("utf-8", "backslashreplace") for word in self._words]

    def transform(self, texts: Sequence[str], n_jobs: int = 1, *, first_row: int = 0) -> Rows:
        """Rows of texts; every feature of a row with n features has the value 1 / n.

        Parameters
        ----------
        texts : sequence of str
        n_jobs : int
            Threads; -1 is all cores. The result does not depend on it.
        first_row : int
            What error messages call the first text.

        Returns
        -------
        Rows

        Raises
        ------
        TypeError
            If a text is no str.
        ValueError
            If a text is no Unicode.
        """
        chunks = split_chunks(texts, first_row)
        _ = self._row_of  # made once, before several threads ask for it
        return Rows.concatenate(
            in_threads(lambda chunk: self._rows(*chunk), chunks, n_threads(n_jobs))
        )

    def config(self) -> dict[str, Any]:
        """Everything but the arrays, for JSON."""
        options = asdict(self.options)
        return {"kind": "fasttext", **options, "char_ngrams": list(self.options.char_ngrams)}

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return the arrays, by name."""
        return {
            "words.bytes": self.word_bytes,
            "words.lengths": self.word_lengths,
            "labels.bytes": self.label_bytes,
            "labels.lengths": self.label_lengths,
            "ngrams.buckets": self.kept,
        }

    @classmethod
    def from_parts(
        cls, config: Mapping[str, Any], tensors: Mapping[str, Any]
    ) -> FastTextFeaturizer:
        """Inverse of `config` and `tensors`, checked.

        Parameters
        ----------
        config : mapping
            What `config` gave.
        tensors : mapping of str to array
            What `tensors` gave; other names are ignored.

        Returns
        -------
        FastTextFeaturizer

        Raises
        ------
        ValueError
            If a key or an array is missing, or holds what no model of fastText can have.
        """
        cls.check_config(config)
        options = FastTextOptions(**{k: v for k, v in config.items() if k != "kind"})
        arrays = [
            checked_array(tensors, name, np.uint8 if name.endswith(".bytes") else np.int32)
            for name in (
                *("words.bytes", "words.lengths", "labels.bytes", "labels.lengths"),
                "ngrams.buckets",
            )
        ]
        return cls(options, *arrays)._checked()

    @staticmethod
    def check_config(config: Mapping[str, Any]) -> None:
        """Raise ValueError unless `config` can have come from `config`."""
        known = {"kind", *(field.name for field in fields(FastTextOptions))}
        if set(config) != known:
            raise ValueError(f"{sorted(config)} came; {sorted(known)} were expected")
        FastTextOptions(**{k: v for k, v in config.items() if k != "kind"})

    @cached_property
    def _words(self) -> list[bytes]:
        return _split(self.word_bytes, self.word_lengths)

    @cached_property
    def _row_of(self) -> dict[bytes, int]:
        """Row of each word; -1 for a label, which is passed over."""
        labels = _split(self.label_bytes, self.label_lengths)
        return dict.fromkeys(labels, -1) | {word: row for row, word in enumerate(self._words)}

    @cached_property
    def _places(self) -> tuple[NDArray[np.int32], Longs]:
        """The kept buckets sorted, and the place of each among the rows of n-grams."""
        order = np.argsort(self.kept, kind="stable")
        return self.kept[order], order

    def _checked(self) -> FastTextFeaturizer:
        for name, data, lengths in (
            ("words", self.word_bytes, self.word_lengths),
            ("labels", self.label_bytes, self.label_lengths),
        ):
            if len(lengths) and lengths.min() < 0:
                raise ValueError(f"{name}.lengths: a length below 0")
            total = int(lengths.sum(dtype=np.int64))
            if total != len(data):
                raise ValueError(
                    f"{name}.bytes has {len(data)} bytes; {name}.lengths adds up to {total}"
                )
        if len(self._row_of) != len(self.word_lengths) + len(self.label_lengths):
            raise ValueError("words.bytes, labels.bytes: a word or label stands there twice")
        kept, bucket = self.kept, self.options.bucket
        if len(kept) and (not self.options.pruned or kept.min() < 0 or kept.max() >= bucket):
            raise ValueError(f"ngrams.buckets: a bucket outside 0 .. {bucket - 1}")
        if len(np.unique(kept)) != len(kept):
            raise ValueError("ngrams.buckets: a bucket stands there twice")
        if self.n_features > _MAX_FEATURES:
            raise ValueError(f"{self.n_features} features came; at most {_MAX_FEATURES} have room")
        return self

    def _rows(self, first_row: int, texts: Sequence[str]) -> Rows:
        """Rows of one chunk: read the words, look at each distinct one once, put together."""
        ids, counts, words = self._read(texts, first_row)
        word_rows = np.array([self._row_of.get(word, -1) for word in words], dtype=np.int64)
        indptr, features, hashes = self._word_features(words, word_rows)
        row_of_token = np.repeat(np.arange(len(counts)), counts)
        lengths = np.diff(indptr)[ids]
        found = [features[expand(indptr[ids], lengths)]]
        rows = [np.repeat(row_of_token, lengths)]
        if self.options.word_ngrams > 1:
            self._add_word_ngrams(hashes[ids], row_of_token, found, rows)
        row, feature = np.concatenate(rows), np.concatenate(found)
        order = np.argsort(row, kind="stable")
        ends = np.cumsum(np.bincount(row, minlength=len(counts)))
        return Rows(
            np.concatenate([[0], ends]).astype(np.int64),
            feature[order].astype(np.int32),
            None,
            self.n_features,
        )

    def _read(self, texts: Sequence[str], first_row: int) -> tuple[Longs, Longs, list[bytes]]:
        """Ids of the words of all texts, how many each text has, and the distinct words."""
        known = _Numbered()
        ids: list[int] = []
        counts = np.empty(len(texts), dtype=np.int64)
        for place, text in enumerate(texts):
            data = encoded(text, first_row + place)
            words = (data.replace(b"\0", b" ") if b"\0" in data else data).split()
            if LINE_END in data and LINE_END in words:
                del words[words.index(LINE_END) :]  # where fastText stops reading
            if _LABEL in data or self._odd_labels:
                words = [word for word in words if not self._is_label(word)]
            words.append(LINE_END)
            counts[place] = len(words)
            ids.extend(map(known.__getitem__, words))
        return np.array(ids, dtype=np.int64), counts, list(known)

    @cached_property
    def _odd_labels(self) -> bool:
        """Whether a label begins otherwise than usual, so that every word is looked at."""
        labels = _split(self.label_bytes, self.label_lengths)
        return not all(label.startswith(_LABEL) for label in labels)

    def _is_label(self, word: bytes) -> bool:
        return self._row_of.get(word, -1 if word.startswith(_LABEL) else 0) < 0

    def _word_features(self, words: list[bytes], rows: Longs) -> tuple[Longs, Longs, Hashes]:
        """Features of each distinct word (indptr, features) and the words' hashes.

        A word's own row comes first, where it has one.
        """
        data, lengths = _joined(words)
        hashes = hash_bytes(data, lengths.astype(np.int64))
        which = np.flatnonzero(rows >= 0)
        owners, found = [which], [rows[which]]
        if self.options.char_ngrams[1]:
            whole = [b"" if word == LINE_END else _BEGIN + word + _END for word in words]
            owner, h = subword_hashes(whole, *self.options.char_ngrams)
            owner, feature = self._bucket_rows(owner, (h % np.uint32(self.options.bucket)))
            owners.append(owner)
            found.append(feature)
        owner = np.concatenate(owners)
        order = np.argsort(owner, kind="stable")
        ends = np.cumsum(np.bincount(owner, minlength=len(words)))
        indptr = np.concatenate([[0], ends]).astype(np.int64)
        return indptr, np.concatenate(found)[order], hashes

    def _add_word_ngrams(
        self, hashes: Hashes, row_of_token: Longs, found: list[Longs], rows: list[Longs]
    ) -> None:
        """Add the n-grams of 2 .. `word_ngrams` words; their hashes are read as signed."""
        terms = hashes.view(np.int32).astype(np.int64).view(np.uint64)
        h = terms
        bucket = np.uint64(self.options.bucket)
        for more in range(1, min(self.options.word_ngrams, len(terms))):
            h = h[:-1] * _JOIN + terms[more:]
            whole = np.flatnonzero(row_of_token[:-more] == row_of_token[more:])
            if not len(whole):
                return
            row, feature = self._bucket_rows(row_of_token[whole], h[whole] % bucket)
            rows.append(row)
            found.append(feature)

    def _bucket_rows(self, owner: Longs, buckets: NDArray[Any]) -> tuple[Longs, Longs]:
        """Rows of buckets with their owners; buckets without a row are left out."""
        first = len(self.word_lengths)
        if not self.options.pruned:
            return owner, buckets.astype(np.int64) + first
        kept, places = self._places
        if not len(kept):
            return owner[:0], places[:0]
        at = np.searchsorted(kept, buckets.astype(np.int64))
        at[at == len(kept)] = 0
        there = kept[at] == buckets.astype(np.int64)
        return owner[there], places[at[there]] + first


class _Numbered(dict[bytes, int]):
    """Numbers words by first occurrence."""

    def __missing__(self, word: bytes) -> int:
        number = self[word] = len(self)
        return number


def hash_bytes(data: Bytes, lengths: Longs) -> Hashes:
    """32-bit FNV-1a of many words as fastText computes it: each byte is read as signed.

    Parameters
    ----------
    data : uint8 array of shape (lengths.sum(),)
        The words' bytes, one word after the other.
    lengths : int64 array of shape (n_words,)

    Returns
    -------
    uint32 array of shape (n_words,)

    Examples
    --------
    >>> hash_bytes(np.frombuffer(b"ab", np.uint8), np.array([1, 1])).tolist()
    [3826002220, 3876335077]
    """
    order = np.argsort(-lengths, kind="stable")
    starts = (np.cumsum(lengths) - lengths)[order]
    falling = -lengths[order]
    signed = data.view(np.int8).astype(np.int32).view(np.uint32)
    h = np.full(len(lengths), _BASIS, dtype=np.uint32)
    for position in range(int(-falling[0]) if len(falling) else 0):
        still = int(np.searchsorted(falling, -position))  # the longer words come first
        h[:still] = (h[:still] ^ signed[starts[:still] + position]) * _PRIME
    result = np.empty_like(h)
    result[order] = h
    return result


def subword_hashes(words: Sequence[bytes], shortest: int, longest: int) -> tuple[Longs, Hashes]:
    """Hashes of the character n-grams of words; a first or last character alone is left out.

    Parameters
    ----------
    words : sequence of bytes
        UTF-8 with the signs `<` and `>` around.
    shortest, longest : int
        Lengths in characters.

    Returns
    -------
    owner : int64 array of shape (n,)
        The place in `words` that each n-gram comes from.
    hashes : uint32 array of shape (n,)

    Examples
    --------
    >>> owner, hashes = subword_hashes([b"<ab>"], 3, 3)
    >>> owner.tolist() == [0, 0] and len(hashes) == 2
    True
    """
    data, lengths = _joined(words)
    starts = np.flatnonzero((data & 0xC0) != 0x80)  # of characters
    sizes = np.diff(starts, append=len(data))
    word_ends = np.cumsum(lengths, dtype=np.int64)
    owner = np.searchsorted(word_ends, starts, side="right")
    signed = data.view(np.int8).astype(np.int32).view(np.uint32)
    change = owner[1:] != owner[:-1]
    edge = np.ones(len(starts), dtype=bool)
    edge[1:-1] = change[:-1] | change[1:]
    begins = np.arange(len(starts))
    h = np.full(len(starts), _BASIS, dtype=np.uint32)
    owners, hashes = [begins[:0]], [h[:0]]
    for n in range(1, longest + 1):
        inside = begins + n - 1 < len(starts)
        begins, h = begins[inside], h[inside]
        inside = owner[begins + n - 1] == owner[begins]
        begins, h = begins[inside], h[inside]
        if not len(begins):
            break
        last = begins + n - 1
        for byte in range(int(sizes[last].max())):
            some = np.flatnonzero(sizes[last] > byte)
            h[some] = (h[some] ^ signed[starts[last[some]] + byte]) * _PRIME
        if n >= shortest:
            counted = ~edge[begins] if n == 1 else slice(None)
            owners.append(owner[begins][counted])
            hashes.append(h[counted])
    return np.concatenate(owners), np.concatenate(hashes)


def _joined(words: Sequence[bytes]) -> tuple[Bytes, NDArray[np.int32]]:
    lengths = np.array([len(word) for word in words], dtype=np.int32)
    return np.frombuffer(b"".join(words), dtype=np.uint8), lengths


def _split(data: Bytes, lengths: NDArray[np.int32]) -> list[bytes]:
    ends = np.cumsum(lengths, dtype=np.int64).tolist()
    joined = data.tobytes()
    return [joined[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=False)]
