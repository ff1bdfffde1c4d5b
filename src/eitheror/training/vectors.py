"""Word vectors from a text file (`.vec`) as the start of an embedding table.

In: the file that fastText and word2vec write: a line with the number of words and their dimension,
then a word and its numbers a line; packed or not. Out: the rows and vectors of the words that a
vocabulary holds. The file is read line by line and only what is found is kept.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from eitheror.files._streams import Source
from eitheror.labels import DataError

__all__ = ["FoundVectors", "read_vectors", "vector_width"]


@dataclass(frozen=True, eq=False)
class FoundVectors:
    """Vectors of words of a vocabulary.

    Parameters
    ----------
    places : int64 array of shape (n_found,)
        Where each word stands in the vocabulary.
    vectors : float32 array of shape (n_found, dim)
    """

    places: NDArray[np.int64]
    vectors: NDArray[np.float32]


def vector_width(path: str | os.PathLike[str]) -> int:
    """Return the dimension of the vectors in a file.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    int

    Raises
    ------
    DataError
        If the first line is not two whole numbers.
    ValueError
        For standard input, which cannot be read twice.
    """
    if path == "-":
        raise ValueError("word vectors are read twice, which standard input cannot be: name a file")
    with Source(path) as source:
        return _header(source.name, source.lines())[1]


def read_vectors(
    path: str | os.PathLike[str], words: Sequence[str], *, lowercase: bool
) -> FoundVectors:
    r"""Vectors of the words that stand in a file.

    Parameters
    ----------
    path : str or path
    words : sequence of str
        A vocabulary.
    lowercase : bool
        Whether the vocabulary is lower-cased: a word that the file only has with capital letters
        then takes the vector of the first such spelling.

    Returns
    -------
    FoundVectors

    Raises
    ------
    DataError
        Naming the line, for a vector of another length, with something that is no finite number,
        or a file that ends before its last word.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "two.vec")
    ...     _ = file.write_text("2 3\nred 1 2 3\nBlue 4 5 6\n")
    ...     found = read_vectors(file, ["green", "blue"], lowercase=True)
    >>> found.places.tolist(), found.vectors.tolist()
    ([1], [[4.0, 5.0, 6.0]])
    """
    place_of = {word.encode(): place for place, word in enumerate(words)}
    exact: dict[int, NDArray[np.float32]] = {}
    folded: dict[int, NDArray[np.float32]] = {}
    with Source(path) as source:
        lines = source.lines()
        n_words, dim = _header(source.name, lines)
        number = 1
        for number, line in islice(lines, n_words):
            word, _, rest = line.partition(b" ")
            place, kept = place_of.get(word), exact
            if place is None and lowercase:
                place, kept = place_of.get(word.decode("utf-8", "replace").lower().encode()), folded
            if place is not None and place not in kept:
                kept[place] = _vector(rest, dim, f"{source.name}:{number}")
        if number - 1 < n_words:
            raise DataError(
                f"{source.name}:{number}",
                f"the file ends after {number - 1} words; its first line promises {n_words}: it is "
                "cut short; copy it again",
            )
    found = folded | exact
    places = sorted(found)
    vectors = np.array([found[place] for place in places], np.float32).reshape(len(places), dim)
    return FoundVectors(np.array(places, np.int64), vectors)


def _header(name: str, lines: Iterator[tuple[int, bytes]]) -> tuple[int, int]:
    _, line = next(lines, (1, b""))
    numbers = line.split()
    if len(numbers) == 2 and all(number.isdigit() and len(number) < 12 for number in numbers):
        n_words, dim = map(int, numbers)
        if dim > 0:
            return n_words, dim
    raise DataError(
        f"{name}:1",
        f"{line[:40]!r} came; a .vec file of word vectors begins with two whole numbers, how many "
        'words and how many numbers a word: add the line, as in "2000 100"',
    )


def _vector(rest: bytes, dim: int, where: str) -> NDArray[np.float32]:
    cells = rest.split()
    if len(cells) != dim:
        raise DataError(where, f"{len(cells)} numbers behind the word; {dim} were expected")
    try:
        vector = np.array([float(cell) for cell in cells], np.float32)
    except ValueError:
        vector = np.array([np.nan], np.float32)
    if not np.isfinite(vector).all():
        raise DataError(where, f"{rest[:40]!r}: something is no finite number")
    return vector
