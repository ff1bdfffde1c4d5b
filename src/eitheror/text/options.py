"""What a user can choose about how texts become features; stored in the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

__all__ = ["TextOptions", "check_whole"]

_MAX_BUCKETS = 2**26  # predicting holds a table of 4 bytes a bucket


@dataclass(frozen=True)
class TextOptions:
    """How a text becomes features.

    Parameters
    ----------
    weighting : {"mean", "tfidf"}
        "mean": every feature of a row has the value 1 / (features of the row), and feature 0, a
        bias, is in every row; for averaged embeddings. "tfidf": each feature once a row, with
        (1 + log count) * idf, idf = 1 + log((1 + n) / (1 + rows with it)), rows of length 1; for
        linear models.
    word_ngrams : int
        Longest sequence of words that is a feature; 1 is single words.
    char_ngrams : (int, int)
        Shortest and longest character n-gram of `<word>`; (0, 0) is none. Helps with spelling
        mistakes, inflection and rare words.
    bucket : int
        Hash buckets that all n-grams share. Only those that are seen take memory.
    min_count : int
        A word that comes less often gets no row (its n-grams may).
    ngram_min_count : int
        A bucket that is hit less often gets no row.
    lowercase : bool
        Lower-case the text (Unicode).
    split_punctuation : bool
        Make each punctuation sign, symbol, emoji, kana or ideograph a token by itself.
    nfc : bool
        Join letters and their marks (Unicode NFC), so that "é" is one word whether it was typed as
        one sign or as two. Models of before this option are read with False.

    Raises
    ------
    ValueError
        If a value is out of its range.

    Examples
    --------
    >>> TextOptions(weighting="tfidf", word_ngrams=2).word_ngrams
    2
    """

    weighting: str = "mean"
    word_ngrams: int = 1
    char_ngrams: tuple[int, int] = (0, 0)
    bucket: int = 2_000_000
    min_count: int = 1
    ngram_min_count: int = 1
    lowercase: bool = True
    split_punctuation: bool = True
    nfc: bool = True

    def __post_init__(self) -> None:
        if self.weighting not in ("mean", "tfidf"):
            raise ValueError(f'weighting={self.weighting!r}: expected "mean" or "tfidf"')
        object.__setattr__(self, "char_ngrams", _char_ngrams(self.char_ngrams))
        for name, low, high in (
            ("word_ngrams", 1, 20),
            ("bucket", 1, _MAX_BUCKETS),
            ("min_count", 1, None),
            ("ngram_min_count", 1, None),
        ):
            check_whole(name, getattr(self, name), low, high)
        for name in ("lowercase", "split_punctuation", "nfc"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name}={getattr(self, name)!r}: expected True or False")

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> TextOptions:
        """Return the options that a model's file holds; ValueError for a key too many or too few.

        Examples
        --------
        >>> TextOptions.from_config({"weighting": "mean"})
        Traceback (most recent call last):
        ...
        ValueError: text options ['weighting'] came; ['bucket', ..., 'word_ngrams'] were expected
        """
        given = {"nfc": False, **config}
        known = {field.name for field in fields(cls)}
        if set(given) != known:
            raise ValueError(f"text options {sorted(config)} came; {sorted(known)} were expected")
        return cls(**given)

    @property
    def has_ngrams(self) -> bool:
        """Whether any feature is hashed into a bucket."""
        return self.word_ngrams > 1 or self.char_ngrams[1] > 0


def check_whole(name: str, value: Any, low: int, high: int | None) -> None:
    """Raise ValueError unless `value` is a whole number of `low` to `high` (None: no limit)."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or value < low or (high is not None and value > high):
        span = f"{low} or more" if high is None else f"{low} to {high}"
        raise ValueError(f"{name}={value!r}: expected a whole number, {span}")


def _char_ngrams(value: Any) -> tuple[int, int]:
    try:
        shortest, longest = value
    except (TypeError, ValueError):
        raise ValueError(
            f"char_ngrams={value!r}: expected (shortest, longest), (0, 0) for none"
        ) from None
    if (shortest, longest) != (0, 0):
        check_whole("char_ngrams[1]", longest, 1, 20)
        check_whole("char_ngrams[0]", shortest, 1, longest)
    return shortest, longest
