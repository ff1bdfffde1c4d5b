"""The featurizer of a stored model, whichever of the two it is.

In: the config and the arrays that `config()` and `tensors()` gave. Out: the featurizer, checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eitheror.text.fasttext import FastTextFeaturizer
from eitheror.text.featurizer import Featurizer
from eitheror.text.options import TextOptions

__all__ = ["check_featurizer_config", "featurizer_from_parts"]


def featurizer_from_parts(
    config: Mapping[str, Any], tensors: Mapping[str, Any]
) -> Featurizer | FastTextFeaturizer:
    """Make the featurizer of a stored model.

    Parameters
    ----------
    config : mapping
        With "kind": "fasttext" for a model that fastText trained.
    tensors : mapping of str to array

    Returns
    -------
    Featurizer or FastTextFeaturizer

    Raises
    ------
    ValueError
        If a key or an array is missing, or holds what no featurizer can have.

    Examples
    --------
    >>> made, _ = Featurizer.fit(["one text"], TextOptions())
    >>> featurizer_from_parts(made.config(), made.tensors()).words()
    ['one', 'text']
    """
    if config.get("kind") == "fasttext":
        return FastTextFeaturizer.from_parts(config, tensors)
    return Featurizer.from_parts(config, tensors)


def check_featurizer_config(config: Mapping[str, Any]) -> None:
    """Raise ValueError or TypeError unless the config is one of a featurizer.

    Parameters
    ----------
    config : mapping

    Raises
    ------
    ValueError, TypeError
        Naming the key and what was expected.
    """
    if config.get("kind") == "fasttext":
        FastTextFeaturizer.check_config(config)
        return
    TextOptions.from_config({key: value for key, value in config.items() if key != "packed"})
