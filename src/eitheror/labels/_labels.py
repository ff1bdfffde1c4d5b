"""`Labels`: what is known about every row of a data set, stored sparsely, one-dimensional to NumPy.

In: labels one by one, or arrays through the `from_` constructors. Out: `to_targets()` (dense),
`sparse()` (what trainers read), slices. The container keeps statements; `_sparse` holds the form.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from eitheror.labels import _convert, _sparse
from eitheror.labels._build import (
    Store,
    check_classes,
    check_rows,
    check_task,
    reduce_rows,
    refuse_empty,
    renumber,
    same_rows,
    settle,
    stack,
)
from eitheror.labels._builder import RowsBuilder
from eitheror.labels._combine import without_eithers
from eitheror.labels._label import ClassName, Label, RowError, exact, sort_names
from eitheror.labels._sparse import CODES, KINDS, SparseTargets
from eitheror.labels._text import STATEMENT_KEYS, from_dict, parse

_REPR_ROWS = 12


class LabelsBuilder(RowsBuilder):
    """Accumulate labels one at a time in little memory, then `build` the `Labels`.

    Examples
    --------
    >>> builder = LabelsBuilder()
    >>> builder.append("cat")
    >>> builder.append(Label.parse("!cat|dog"))
    >>> builder.build(classes=["cat", "dog", "fox"])[1]
    not_('cat', 'dog')
    """

    def build(self, classes: Iterable[ClassName] | None = None, task: str | None = None) -> Labels:
        """Return the labels; a row that does not fit the classes or the task raises `RowError`."""
        return Labels._of(settle(self.rows(), classes, task))


class Labels:
    """Labels of a data set: one statement a row, all kinds mixed freely.

    Behaves as a 1-D array of `Label` (`shape == (n_samples,)`), so that it passes through
    scikit-learn's splitters and searches unchanged; it is never a 2-D array of numbers.

    Parameters
    ----------
    data : iterable of Label, str, int or None
        A plain string or integer is an exact class, None is unknown. Sets, dicts, -1 and nan are
        refused, with the readings they may have.
    classes : sequence of str or int, optional
        The whole class list, in column order. Default: every class that is named, sorted.
    task : {"multiclass", "multilabel"}, optional
        Default: "multilabel" if any row is `tags`, else "multiclass".

    Attributes
    ----------
    classes : list of str or int
        The class list; the same in every slice.
    task : str
        "multiclass" (one class is true) or "multilabel" (any number).
    kinds : uint8 array of shape (n_samples,)
        Positions in `KINDS`.

    Raises
    ------
    RowError
        A row that contradicts itself, does not fit the task, or names a class not in `classes`.

    Examples
    --------
    >>> from eitheror import either, not_
    >>> labels = Labels(["cat", either("cat", "dog"), not_("cat"), None])
    >>> labels.classes
    ['cat', 'dog']
    >>> labels.to_targets()
    array([[1., 0.],
           [1., 1.],
           [0., 1.],
           [1., 1.]])
    >>> labels[1:3]
    Labels([either('cat', 'dog'), not_('cat')], classes=['cat', 'dog'], task='multiclass')
    """

    __hash__ = None  # type: ignore[assignment]  # compared by value, like a list

    def __init__(
        self,
        data: Iterable[Label | ClassName | None],
        classes: Sequence[ClassName] | None = None,
        task: str | None = None,
    ) -> None:
        if isinstance(data, str | bytes) or not isinstance(data, Iterable):
            raise TypeError(f"Labels() takes a list with one label a row, got {data!r}")
        if isinstance(data, Mapping):
            raise TypeError("Labels() takes a list with one label a row, got a mapping")
        if isinstance(data, np.ndarray) and data.ndim != 1:
            raise TypeError(
                f"Labels() takes one label a row, got an array of shape {data.shape}; use "
                "Labels.from_candidates, from_indicator, from_proba or from_votes for a matrix"
            )
        if isinstance(data, Labels):
            classes = data.classes if classes is None else classes
            task = data.task if task is None else task
        minus_one = classes is not None and -1 in list(classes)
        builder = LabelsBuilder()
        plain = isinstance(data, np.ndarray) and data.dtype.kind in "iuU"
        values: list[Any] = np.asarray(data).tolist() if plain else list(data)
        if minus_one:
            values = [
                exact(-1) if isinstance(value, int | np.integer) and value == -1 else value
                for value in values
            ]
        builder.extend(values)
        self._adopt(builder.build(classes, task)._store)

    def _adopt(self, store: Store) -> None:
        self._store = store
        self.classes, self.task, self.kinds = store.classes, store.task, store.kinds
        self._index: dict[ClassName, int] | None = None

    @classmethod
    def _of(cls, store: Store) -> Labels:
        made = cls.__new__(cls)
        made._adopt(store)
        return made

    @property
    def shape(self) -> tuple[int]:
        """`(n_samples,)`."""
        return (len(self.kinds),)

    @property
    def ndim(self) -> int:
        """Always 1."""
        return 1

    @property
    def dtype(self) -> np.dtype[np.object_]:
        """Always object: every element is a `Label`."""
        return np.dtype(object)

    @property
    def n_classes(self) -> int:
        """Number of classes, K."""
        return len(self.classes)

    @property
    def class_index(self) -> dict[ClassName, int]:
        """Column of each class."""
        if self._index is None:
            self._index = {name: i for i, name in enumerate(self.classes)}
        return self._index

    @property
    def nbytes(self) -> int:
        """Bytes of the stored arrays, without the class names."""
        return sum(a.nbytes for a in self._store[2:])

    def __len__(self) -> int:
        return len(self.kinds)

    def __iter__(self) -> Iterator[Label]:
        return self._store.labels()

    @overload
    def __getitem__(self, key: int) -> Label: ...
    @overload
    def __getitem__(self, key: slice | ArrayLike | tuple[Any, ...]) -> Labels: ...
    def __getitem__(self, key: Any) -> Label | Labels:
        if isinstance(key, tuple):  # NumPy's habit: labels[rows, ...]
            rest = [k for k in key if k is not Ellipsis]
            if len(rest) > 1:
                raise IndexError(f"labels have one dimension, got the index {key!r}")
            key = rest[0] if rest else slice(None)
        if isinstance(key, int | np.integer):
            row = int(key) + (len(self) if key < 0 else 0)
            if not 0 <= row < len(self):
                raise IndexError(f"row {int(key)} of labels with {len(self)} rows")
            return self._store.label(row)
        if isinstance(key, list) and not key:
            key = slice(0)
        rows = np.arange(len(self), dtype=np.int64)[key]
        if rows.ndim != 1:
            raise IndexError(f"labels have one dimension, got an index of shape {rows.shape}")
        return Labels._of(self._store.take(rows))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if dtype is not None and np.dtype(dtype).kind in "biufc":
            raise TypeError(
                f"labels are statements, not {np.dtype(dtype)}; write labels.to_targets()"
            )
        out = np.empty(len(self), dtype=object)
        out[:] = list(self)
        return out if dtype is None else out.astype(dtype)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Labels):
            return NotImplemented
        if (self.classes, self.task, len(self)) != (other.classes, other.task, len(other)):
            return False
        return same_rows(self._store, other._store)

    def __and__(self, other: Labels) -> Labels:
        if not isinstance(other, Labels):
            return NotImplemented
        if len(self) != len(other) or self.task != other.task:
            raise ValueError(
                f"labels combine row by row under one task: got {len(self)} {self.task} rows "
                f"and {len(other)} {other.task} rows"
            )
        pairs = zip(self, other, strict=True)
        return _built(lambda pair: pair[0] & pair[1], pairs, _union([self, other]), self.task)

    def __repr__(self) -> str:
        if len(self) <= _REPR_ROWS and self.n_classes <= 20:
            rows = ", ".join(map(repr, self))
            return f"Labels([{rows}], classes={self.classes!r}, task={self.task!r})"
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in self.kind_counts().items())
        return f"<Labels: {len(self):,} rows, {self.n_classes:,} classes, {self.task}; {kinds}>"

    def kind_counts(self) -> dict[str, int]:
        """Return the number of rows of each kind that occurs.

        Examples
        --------
        >>> Labels(["cat", None, "dog"]).kind_counts()
        {'unknown': 1, 'exact': 2}
        """
        counts = np.bincount(self.kinds, minlength=len(KINDS)).tolist()
        return {kind: n for kind, n in zip(KINDS, counts, strict=True) if n}

    def sparse(self) -> SparseTargets:
        """Return the targets as sparse arrays, memory O(stored facts).

        Examples
        --------
        >>> Labels([Label.parse("!cat"), "dog"]).sparse().rest.tolist()
        [1.0, 0.0]
        """
        store, groups = self._split_groups()
        found = _sparse.derive(self.task, self.n_classes, *store[2:])
        owned = np.zeros(len(self) + 1, dtype=np.int64)
        for row, row_groups in groups.items():
            owned[row + 1] = len(row_groups)
            found.mode[row] = _sparse.MARGINALS
        flat = [group for row_groups in groups.values() for group in row_groups]
        return SparseTargets(
            self.task,
            self.n_classes,
            found.indptr,
            found.indices,
            found.values.astype(np.float32),
            found.rest.astype(np.float32),
            found.mode,
            np.cumsum(owned),
            np.cumsum([0, *map(len, flat)], dtype=np.int64),
            np.array([c for group in flat for c in group], dtype=np.int32),
        )

    def _split_groups(self) -> tuple[Store, dict[int, list[list[int]]]]:
        """Split joint rows (multilabel) into marginals and "at least one of" groups by row."""
        groups: dict[int, list[list[int]]] = {}
        refuse_empty(self._store)
        if self.task == "multiclass":
            return self._store, groups
        joint = np.flatnonzero(np.isin(self.kinds, [CODES["either"], CODES["mixed"]]))
        marginals = []
        for row in joint.tolist():
            label = self._store.label(row)
            sets = [p.names for p in label.parts if p.kind == "either"]
            if sets:
                groups[row] = [[self.class_index[name] for name in names] for names in sets]
            marginals.append(without_eithers(label))
        return (self._store.replace(joint, marginals) if marginals else self._store), groups

    def to_targets(self, dtype: DTypeLike = np.float64) -> NDArray[Any]:
        """Return the targets as a dense matrix; slice first when it would not fit.

        multiclass: a row whose maximum is 1 holds evidence weights (1 possible, 0 ruled out,
        between = trust); a row that adds to 1 holds shares. multilabel: 1 present, 0 absent,
        fraction = probability, nan = unknown.

        Returns
        -------
        array of shape (n_samples, n_classes)

        Raises
        ------
        ValueError
            Rows with a joint statement (multilabel `either`): they have no matrix form.

        Examples
        --------
        >>> Labels([Label.parse("cat+"), None], classes=["cat", "dog"]).to_targets()
        array([[ 1.,  0.],
               [nan, nan]])
        """
        store, groups = self._split_groups()
        if groups:
            shown = ", ".join(map(str, list(groups)[:10])) + (", ..." if len(groups) > 10 else "")
            raise ValueError(
                f"rows {shown} say 'at least one of' some tags, which no matrix can hold; "
                "train on the Labels themselves, or leave these rows out"
            )
        found = _sparse.derive(self.task, self.n_classes, *store[2:])
        return _sparse.fill_dense(found, self.task, self.n_classes, dtype)

    def exact_index(self) -> NDArray[np.int64]:
        """Return the column of the class each row names exactly, -1 for other rows (multiclass).

        Examples
        --------
        >>> Labels(["cat", None, "dog"]).exact_index().tolist()
        [0, -1, 1]
        """
        found = self.sparse()
        columns = np.full(len(self), -1, dtype=np.int64)
        alone = (np.diff(found.indptr) == 1) & (found.rest == 0)
        if self.task == "multiclass":
            alone &= (found.mode == _sparse.EVIDENCE) | (found.mode == _sparse.SHARES)
            columns[alone] = found.indices[found.indptr[:-1][alone]]
        return columns

    def candidates(self) -> NDArray[np.bool_]:
        """Return which classes each row leaves possible, shape (n_samples, n_classes) (multiclass).

        Examples
        --------
        >>> Labels(["cat", Label.parse("!cat")], classes=["cat", "dog", "fox"]).candidates()
        array([[ True, False, False],
               [False,  True,  True]])
        """
        if self.task != "multiclass":
            raise ValueError("candidates() needs task='multiclass'; use to_targets() for tags")
        possible: NDArray[np.bool_] = self.to_targets() > 0
        return possible

    def strata(self, min_count: int = 5) -> NDArray[np.str_]:
        """Return one word per row for `stratify=`: rows with like statements share a word.

        Statements that occur less than `min_count` times are pooled by kind, and kinds that are
        still rare are pooled together, so that every word occurs often enough to be split.

        Examples
        --------
        >>> sorted(set(Labels(["a"] * 6 + ["b"] * 6 + [None] * 5).strata().tolist()))
        ['a', 'b', 'unknown']
        """
        stratum = cache(_stratum)
        words = [stratum(label) for label in self]
        for pool in ([KINDS[k] for k in self.kinds], ["other"] * len(self)):
            counts = Counter(words)
            words = [p if counts[w] < min_count else w for w, p in zip(words, pool, strict=True)]
        counts = Counter(words)
        if 0 < counts["other"] < min_count and len(counts) > 1:
            del counts["other"]
            words = [counts.most_common(1)[0][0] if w == "other" else w for w in words]
        return np.array(words, dtype=np.str_)

    def with_classes(self, classes: Iterable[ClassName]) -> Labels:
        """Return the same statements under another class list: longer, or in another order.

        Examples
        --------
        >>> Labels([Label.parse("!cat"), "dog"]).with_classes(["dog", "cat", "fox"]).to_targets()
        array([[1., 0., 1.],
               [1., 0., 0.]])
        """
        return Labels._of(check_rows(renumber(self._store, check_classes(classes))))

    @staticmethod
    def concatenate(parts: Sequence[Labels]) -> Labels:
        """Return the rows of several `Labels`, one after the other, under the union of classes.

        Examples
        --------
        >>> Labels.concatenate([Labels(["a"]), Labels(["b"])]).classes
        ['a', 'b']
        """
        if not parts:
            raise ValueError("concatenate() needs at least one Labels, got none")
        classes = _union(parts)
        task = "multilabel" if any(p.task == "multilabel" for p in parts) else "multiclass"
        stores = [renumber(p._store, classes)._replace(task=task) for p in parts]
        return Labels._of(reduce_rows(stack(stores)))

    @classmethod
    def from_candidates(cls, mask: ArrayLike, classes: Iterable[ClassName] | None = None) -> Labels:
        """Return labels from a 0/1 mask of the possible classes, shape (n_samples, n_classes).

        Examples
        --------
        >>> Labels.from_candidates([[1, 1, 0], [0, 0, 1]], classes=["a", "b", "c"])[0]
        either('a', 'b')
        """
        return cls._of(_convert.candidates_store(mask, classes))

    @classmethod
    def from_indicator(
        cls, indicator: ArrayLike, classes: Iterable[ClassName] | None = None
    ) -> Labels:
        """Return multilabel labels from a matrix: 1 present, 0 absent, between, nan unknown.

        Examples
        --------
        >>> list(Labels.from_indicator([[1, 0], [1, float("nan")]], classes=["a", "b"]))
        [tags('a'), tags('a', rest='unknown')]
        """
        return cls._of(_convert.indicator_store(indicator, classes))

    @classmethod
    def from_proba(
        cls,
        proba: ArrayLike,
        classes: Iterable[ClassName] | None = None,
        task: str = "multiclass",
    ) -> Labels:
        """Return `soft` labels from probabilities, shape (n_samples, n_classes).

        Examples
        --------
        >>> Labels.from_proba([[0.75, 0.25]], classes=["a", "b"])[0]
        soft({'a': 0.75, 'b': 0.25})
        """
        check_task(task)
        return cls._of(check_rows(_convert.proba_store(proba, classes, task)))

    @classmethod
    def from_votes(
        cls,
        counts: ArrayLike,
        classes: Iterable[ClassName] | None = None,
        voters: ArrayLike | None = None,
    ) -> Labels:
        """Return `votes` labels from counts (n_samples, n_classes); multilabel with `voters`.

        Examples
        --------
        >>> Labels.from_votes([[3, 1], [0, 0]], classes=["a", "b"])[0]
        votes({'a': 3, 'b': 1})
        """
        return cls._of(_convert.votes_store(counts, classes, voters))

    @classmethod
    def from_evidence(
        cls, weights: ArrayLike, classes: Iterable[ClassName] | None = None
    ) -> Labels:
        """Return `evidence` labels from weights >= 0, shape (n_samples, n_classes).

        Each row is divided by its maximum. A row of equal weights says nothing and is `unknown`.

        Examples
        --------
        >>> list(Labels.from_evidence([[0.8, 0.4], [1, 1]], classes=["a", "b"]))
        [evidence({'a': 1, 'b': 0.5}), unknown]
        """
        return cls._of(_convert.evidence_store(weights, classes))

    @classmethod
    def from_frame(
        cls, frame: Any, classes: Iterable[ClassName] | None = None, task: str | None = None
    ) -> Labels:
        """Return labels from a table with the columns of a JSONL file (`label`, `either`, ...).

        Parameters
        ----------
        frame : pandas, polars or pyarrow table, or mapping from column to list
            Other columns are left alone; gaps say nothing.
        classes, task : optional
            As in `Labels`.

        Examples
        --------
        >>> Labels.from_frame({"label": ["b", None], "not": [None, ["a"]]})[1]
        not_('a')
        """
        columns, n_rows = _convert.frame_columns(frame, STATEMENT_KEYS)
        if not columns:
            raise ValueError(f"the table has none of the columns {', '.join(STATEMENT_KEYS)}")
        return _built(
            lambda row: from_dict({key: values[row] for key, values in columns.items()}),
            range(n_rows),
            classes,
            task,
        )

    def to_frame(self) -> Any:
        """Return a pandas table with the columns of a JSONL file; needs pandas."""
        try:
            import pandas as pd
        except ImportError:
            raise ImportError(
                "to_frame() needs pandas, which is not installed: pip install pandas"
            ) from None
        rows = [label.to_dict() for label in self]
        used = [key for key in STATEMENT_KEYS if any(key in row for row in rows)] or ["label"]
        columns = {key: pd.Series([row.get(key) for row in rows], dtype=object) for key in used}
        return pd.DataFrame(columns)

    @classmethod
    def parse(
        cls,
        cells: Iterable[str],
        classes: Iterable[ClassName] | None = None,
        task: str | None = None,
    ) -> Labels:
        """Return labels from cells of the short form; see `Label.parse`.

        Examples
        --------
        >>> list(Labels.parse(["bug", "!bug|billing", "?"]))
        [exact('bug'), not_('billing', 'bug'), unknown]
        """
        return _built(parse, cells, classes, task)

    def format(self) -> list[str]:
        """Return the cells of the short form; a row that it cannot hold raises `RowError`.

        Examples
        --------
        >>> Labels.parse(["bug", "bug|install"]).format()
        ['bug', 'bug|install']
        """
        cells = []
        short = cache(Label.format)
        for row, label in enumerate(self):
            try:
                cells.append(short(label))
            except ValueError as error:
                raise RowError(row, str(error)) from None
        return cells


def _built(
    make: Callable[[Any], Label],
    rows: Iterable[Any],
    classes: Iterable[ClassName] | None,
    task: str | None,
) -> Labels:
    """Return `make(row)` of every row as labels; an error names the row."""
    builder = LabelsBuilder()
    for row, given in enumerate(rows):
        try:
            builder.append(make(given))
        except (ValueError, TypeError) as error:
            raise RowError(row, str(error)) from None
    return builder.build(classes, task)


def _union(parts: Sequence[Labels]) -> list[ClassName]:
    """Return the first class list if it covers all, else every class, sorted."""
    first = parts[0].classes
    extra = {name for part in parts for name in part.classes} - set(first)
    return sort_names({*first, *extra}) if extra else first


def _stratum(label: Label) -> str:
    try:
        return label.format() if label.parts else "unknown"
    except ValueError:
        return repr(label)
