"""A model and a file together: rows read as the model's task, classes and features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eitheror.cli._options import FileOptions
    from eitheror.files import Row, Table
    from eitheror.model import Model

__all__ = ["input_of", "keywords_for", "read_for_model"]


def keywords_for(model: Model, layout: FileOptions) -> dict[str, Any]:
    """Return the layout, with the names of the model's features."""
    keywords = layout.keywords()
    if model.feature_names is not None:
        keywords["feature_names"] = model.feature_names
    return keywords


def read_for_model(model: Model, file: str, layout: FileOptions) -> Table:
    """Read labelled rows; classes that the model does not know are added behind its own."""
    from eitheror import files
    from eitheror.labels import DataError

    keywords = keywords_for(model, layout)
    if "classes_file" not in keywords:
        keywords["classes"], keywords["new_classes"] = model.classes, True
    table = files.read_table(file, task=model.task, need_labels=False, **keywords)
    if not len(table):
        raise DataError("stdin" if file == "-" else file, "there is no row left to work on")
    _check_kind(model, isinstance(table.inputs, list), table.where(0))
    return table


def input_of(model: Model, row: Row) -> str | list[float]:
    """Return what the model predicts from: a text, or numbers in the order it was trained on."""
    if row.error is not None:
        raise row.error
    _check_kind(model, isinstance(row.input, str), row.where)
    return row.input if isinstance(row.input, str) else _numbers(model, row)


def _numbers(model: Model, row: Row) -> list[float]:
    from eitheror.labels import DataError, suggest

    width = model.parameters.n_features
    if isinstance(row.input, dict):
        names = model.feature_names
        if names is None:
            raise DataError(row.where, "features by name, but the model was trained on lists")
        for name in row.input.keys() - set(names):
            raise DataError(row.where, f'unknown feature "{name}"{suggest(name, names)}')
        return [row.input.get(name, 0.0) for name in names]
    found = row.input if isinstance(row.input, list) else []
    if len(found) != width:
        raise DataError(row.where, f"{len(found)} features; the model was trained on {width}")
    return found


def _check_kind(model: Model, is_text: bool, where: str) -> None:
    from eitheror.labels import DataError

    wanted, came = ("texts", "numbers") if model.featurizer is not None else ("numbers", "a text")
    if is_text == (model.featurizer is None):
        raise DataError(where, f"{came} came, and the model was trained on {wanted}")
