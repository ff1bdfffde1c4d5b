"""A model and a file together: rows read as the model's task, classes and features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eitheror.cli._options import FileOptions
    from eitheror.files import Row, Table
    from eitheror.model import Model

__all__ = ["input_of", "inputs_of", "keywords_for", "name_of", "read_for_model"]


def keywords_for(model: Model, layout: Mapping[str, Any]) -> dict[str, Any]:
    """Return the layout of a file, with the names of the model's features."""
    keywords = dict(layout)
    if model.feature_names is not None:
        keywords["feature_names"] = model.feature_names
    return keywords


def name_of(file: str | list[str]) -> str:
    """Return one or several files as a message names them.

    >>> name_of("-"), name_of(["a.csv", "b.csv"])
    ('stdin', 'a.csv, b.csv')
    """
    if isinstance(file, str):
        return "stdin" if file == "-" else file
    return ", ".join(map(name_of, file))


def read_for_model(model: Model, file: str | list[str], layout: FileOptions) -> Table:
    """Read labelled rows; classes that the model does not know are added behind its own.

    `file` is one file or a list of files that are read as one.
    """
    from eitheror import files
    from eitheror.labels import DataError
    from eitheror.text import Texts

    keywords = keywords_for(model, layout.keywords())
    if "classes_file" not in keywords:
        keywords["classes"], keywords["new_classes"] = model.classes, True
    table = files.read_table(file, task=model.task, need_labels=False, **keywords)
    if not len(table):
        raise DataError(name_of(file), "there is no row left to work on")
    _check_kind(model, isinstance(table.inputs, Texts), table.where(0))
    return table


def input_of(model: Model, row: Row) -> Any:
    """Return what the model can predict from: a text, or its features as a list or by name."""
    if row.error is not None:
        raise row.error
    _check_kind(model, isinstance(row.input, str), row.where)
    if not isinstance(row.input, str):
        _check_features(model, row)
    return row.input


def inputs_of(model: Model, found: Sequence[Any]) -> Any:
    """Return what `input_of` found as texts, or as an array of shape (n_samples, n_features).

    Rows by name give a sparse array where they leave features out.
    """
    if model.featurizer is not None:
        return found
    from eitheror.files._features import FeatureStack

    stack = FeatureStack(model.feature_names)
    by_name = any(isinstance(row, dict) for row in found)
    for row in found:
        is_list = by_name and isinstance(row, list)
        stack.add(dict(zip(model.feature_names or (), row, strict=True)) if is_list else row)
    return stack.matrix()


def _check_features(model: Model, row: Row) -> None:
    from eitheror.labels import DataError, suggest

    width = model.parameters.n_features
    if isinstance(row.input, dict):
        names = model.feature_names
        if names is None:
            raise DataError(row.where, "features by name, but the model was trained on lists")
        for name in row.input.keys() - set(names):
            raise DataError(row.where, f'unknown feature "{name}"{suggest(name, names)}')
        return
    found = row.input or ()
    if len(found) != width:
        raise DataError(row.where, f"{len(found)} features; the model was trained on {width}")


def _check_kind(model: Model, is_text: bool, where: str) -> None:
    from eitheror.labels import DataError

    wanted, came = ("texts", "numbers") if model.featurizer is not None else ("numbers", "a text")
    if is_text == (model.featurizer is None):
        raise DataError(where, f"{came} came, and the model was trained on {wanted}")
