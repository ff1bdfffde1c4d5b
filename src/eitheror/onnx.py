"""ONNX: the numeric part of a model, from features to logits and probabilities.

In: a model. Out: a file that any ONNX runtime reads, without Python. How texts become features is
not part of it: the three arrays that `model.featurizer.transform` gives are its inputs. Weights
that are mostly 0 stay sparse, and codes stay codes that are looked up. Needs `onnx`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import eitheror
from eitheror.decide import Calibration
from eitheror.losses import LOSSES
from eitheror.model import (
    CodedEmbeddingParameters,
    CodedHuffmanParameters,
    CodedLinearParameters,
    CodedRows,
    CodedWeight,
    HuffmanParameters,
    LinearParameters,
    Model,
    SparseWeight,
)

__all__ = ["export_onnx"]

_OPSET = 18
_IR = 10  # what onnxruntime 1.18 and later read
_FULL = 0.15  # share of weights that are not 0 from which they are written whole
_LARGEST = 2**28  # weights: 1 GiB
_LIMIT = 2**31 - 2**20  # bytes of an ONNX file


def export_onnx(model: Model, path: str | os.PathLike[str]) -> None:
    """Write the numeric part of a model as an ONNX file.

    A model of numbers has the input ``X``, float64 of shape (n_samples, n_features). A model of
    texts has the three arrays of the `Rows` that its featurizer makes: ``indptr``, int64 of shape
    (n_samples + 1,), ``indices``, int32, and ``values``, float32, both of shape (nnz,). The outputs
    are ``logits`` and ``proba``, (n_samples, n_classes), which are what `decision_function` and
    `predict_proba` give, the calibration included; the decision rule is not part of the file. The
    metadata hold ``classes`` (JSON), ``task``, ``loss``, ``proba_meaning`` and ``eitheror``, the
    version.

    Parameters
    ----------
    model : Model
        Linear, of embeddings, or with a tree over its classes; shrunk or not.
    path : str or path
        A file that is there is replaced.

    Raises
    ------
    ImportError
        If `onnx` is not installed.
    ValueError
        If the model is larger than an ONNX file can be.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> parameters = LinearParameters(np.float32([[2.0, 0.0]]), np.float32([0.0, 0.0]))
    >>> model = Model("multiclass", ["no", "yes"], {}, "softmax", None, parameters)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     export_onnx(model, f"{folder}/model.onnx")  # doctest: +SKIP
    """
    try:
        from onnx import helper
    except ImportError:
        raise ImportError("ONNX needs one more package: pip install 'eitheror[onnx]'") from None
    graph = _Graph()
    logits = _logits(graph, model)
    proba = _proba(graph, model, logits)
    kind = helper.make_tensor_value_info
    outputs = [kind("logits", _FLOAT, ["n", len(model.classes)])]
    outputs += [kind("proba", _FLOAT, ["n", len(model.classes)])]
    graph.add("Identity", [logits], output="logits")
    graph.add("Identity", [proba], output="proba")
    if sum(array.nbytes for array in graph.arrays.values()) > _LIMIT:
        raise ValueError("the model is larger than the 2 GB that an ONNX file holds; shrink it")
    made = helper.make_model(
        helper.make_graph(
            graph.nodes, "eitheror", _inputs(model), outputs, initializer=graph.tensors()
        ),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR,
        producer_name="eitheror",
        producer_version=eitheror.__version__,
    )
    helper.set_model_props(made, _metadata(model))
    _write(path, made.SerializeToString(deterministic=True))


_FLOAT, _INT32, _INT64, _DOUBLE = 1, 6, 7, 11  # of onnx.TensorProto


class _Graph:
    """Nodes and constants under construction; values are called by their names."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.arrays: dict[str, NDArray[Any]] = {}

    def add(self, kind: str, inputs: Sequence[str], *, output: str = "", **settings: Any) -> str:
        """Add an operation and return the name of what it gives."""
        from onnx import helper

        name = output or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **settings))
        return name

    def keep(self, array: Any, dtype: Any = None) -> str:
        """Add a constant and return its name."""
        found = np.asarray(array, dtype=dtype)
        for name, known in self.arrays.items():
            if known.size < 3 and known.dtype == found.dtype and np.array_equal(known, found):
                return name
        name = f"constant_{len(self.arrays)}"
        self.arrays[name] = np.ascontiguousarray(found) if found.ndim else found
        return name

    def ints(self, *numbers: int) -> str:
        """Add a one-dimensional constant of whole numbers."""
        return self.keep(list(numbers), np.int64)

    def cast(self, value: str, to: int) -> str:
        """Change the type."""
        return self.add("Cast", [value], to=to)

    def taken(self, array: NDArray[np.integer], places: str) -> str:
        """Return numbers of a constant as int64; the file holds them as narrow as they fit."""
        least = np.min_scalar_type(array.max(initial=0))
        narrow = array.astype(least if least.itemsize < 4 else np.int32, copy=False)
        wide = array if array.max(initial=0) >= 2**31 else narrow
        return self.cast(self.add("Gather", [self.keep(wide), places]), _INT64)

    def length(self, value: str) -> str:
        """Size of the first axis, of shape (1,)."""
        return self.add("Shape", [value], start=0, end=1)

    def joined(self, *values: str) -> str:
        """One array after the other."""
        return self.add("Concat", values, axis=0)

    def filled(self, shape: str, value: Any) -> str:
        """Array of a shape that is known when it runs; `value` is a NumPy array of one number."""
        from onnx import numpy_helper

        return self.add("ConstantOfShape", [shape], value=numpy_helper.from_array(value))

    def owners(self, ends: str, total: str) -> str:
        """Return the run that each of `total` places lies in, where runs end at `ends`, int64.

        Each end but those at `total` adds one to all places from there on.
        """
        one = self.ints(1)
        zeros = self.filled(self.add("Add", [total, one]), np.zeros(1, np.int64))
        ones = self.filled(self.length(ends), np.ones(1, np.int64))
        steps = self.add("ScatterElements", [zeros, ends, ones], axis=0, reduction="add")
        counted = self.add("CumSum", [steps, self.keep(0, np.int64)])
        return self.add("Slice", [counted, self.ints(0), total, self.ints(0)])

    def summed(self, terms: str, places: str, shape: str) -> str:
        """Add terms, (m, k) or (m,), to the rows or places of zeros of a shape; `places` (m,)."""
        zeros = self.filled(shape, np.zeros(1, np.float32))
        last = self.add("Unsqueeze", [places, self.ints(-1)])
        return self.add("ScatterND", [zeros, last, terms], reduction="add")

    def tensors(self) -> list[Any]:
        """Return the constants as ONNX has them."""
        from onnx import numpy_helper

        return [numpy_helper.from_array(array, name) for name, array in self.arrays.items()]


def _inputs(model: Model) -> list[Any]:
    from onnx import helper

    kind = helper.make_tensor_value_info
    if model.featurizer is None:
        return [kind("X", _DOUBLE, ["n", model.parameters.n_features])]
    return [
        kind("indptr", _INT64, ["n_plus_1"]),
        kind("indices", _INT32, ["nnz"]),
        kind("values", _FLOAT, ["nnz"]),
    ]


def _logits(graph: _Graph, model: Model) -> str:
    parameters = model.parameters
    if isinstance(parameters, LinearParameters | CodedLinearParameters):
        if model.featurizer is None:
            assert isinstance(parameters, LinearParameters)
            product = _numbers_product(graph, parameters)
        else:
            product = _rows_product(graph, parameters.weight)
    elif isinstance(parameters, HuffmanParameters | CodedHuffmanParameters):
        nodes = parameters if isinstance(parameters, HuffmanParameters) else parameters.tree
        return _down_the_tree(graph, nodes, _rows_product(graph, parameters.embedding))
    else:
        if isinstance(parameters, CodedEmbeddingParameters):
            output = parameters.output
        else:
            output = parameters.weight
        hidden = _rows_product(graph, parameters.embedding)
        product = graph.add("MatMul", [hidden, graph.keep(output.T)])
    return graph.add("Add", [product, graph.keep(parameters.bias)])


def _down_the_tree(graph: _Graph, tree: HuffmanParameters, hidden: str) -> str:
    """Log-probabilities of the classes, level by level, from the hidden vectors."""
    n_classes = tree.n_classes
    margins = graph.add("MatMul", [hidden, graph.keep(tree.weight.T)])
    if tree.bias is not None:
        margins = graph.add("Add", [margins, graph.keep(tree.bias)])
    # log(1 - sigma(m)) = -softplus(m) to the left, log sigma(m) = -softplus(-m) to the right
    opposite = graph.add("Neg", [margins])
    turns = [graph.add("Neg", [graph.add("Softplus", [m])]) for m in (margins, opposite)]
    scores = graph.filled(graph.joined(graph.length(hidden), graph.ints(1)), np.zeros(1, "f4"))
    nodes = np.array([2 * n_classes - 2])
    levels, reached = [scores], [nodes]
    while (nodes >= n_classes).any():
        inner = np.flatnonzero(nodes >= n_classes)
        below = nodes[inner] - n_classes
        above = _columns(graph, scores, inner)
        sides = [graph.add("Add", [above, _columns(graph, turn, below)]) for turn in turns]
        scores = graph.add("Concat", sides, axis=1)
        nodes = tree.children[below].T.ravel()
        levels.append(scores)
        reached.append(nodes)
    place = np.empty(2 * n_classes - 1, np.int64)
    place[np.concatenate(reached)] = np.arange(len(place))
    return _columns(graph, graph.add("Concat", levels, axis=1), place[:n_classes])


def _columns(graph: _Graph, values: str, which: NDArray[np.integer]) -> str:
    return graph.add("Gather", [values, graph.keep(which, np.int64)], axis=1)


def _numbers_product(graph: _Graph, parameters: LinearParameters) -> str:
    value = "X"
    if parameters.mean is not None:
        value = graph.add("Sub", [value, graph.keep(parameters.mean)])
    if parameters.scale is not None:
        value = graph.add("Div", [value, graph.keep(parameters.scale)])
    if parameters.unit_rows:
        value = _unit_rows(graph, value)
    weight = parameters.weight
    dense = weight.to_dense() if isinstance(weight, SparseWeight) else weight
    return graph.add("MatMul", [graph.cast(value, _FLOAT), graph.keep(dense)])


def _unit_rows(graph: _Graph, value: str) -> str:
    """Each row divided by its length; rows of zeros as they are."""
    squares = graph.add("ReduceSum", [graph.add("Mul", [value, value]), graph.ints(1)], keepdims=1)
    length = graph.add("Sqrt", [squares])
    above = graph.add("Greater", [length, graph.keep(0, np.float64)])
    return graph.add("Div", [value, graph.add("Where", [above, length, graph.keep(1, np.float64)])])


def _rows_product(
    graph: _Graph, weight: NDArray[np.float32] | SparseWeight | CodedWeight | CodedRows
) -> str:
    """Sum of the weights of a row's features, (n_samples, columns)."""
    n = graph.add("Sub", [graph.length("indptr"), graph.ints(1)])
    ends = graph.add("Slice", ["indptr", graph.ints(1), graph.ints(2**62), graph.ints(0)])
    features = graph.cast("indices", _INT64)
    row = graph.owners(ends, graph.length("indices"))
    if isinstance(weight, SparseWeight) and _is_full(weight):
        weight = weight.to_dense()
    if isinstance(weight, SparseWeight | CodedWeight):
        return _sparse_product(graph, weight, features, row, n)
    if isinstance(weight, CodedRows):
        found = _coded_rows(graph, weight, features)
    else:
        found = graph.add("Gather", [graph.keep(weight), features])
    values = graph.add("Unsqueeze", ["values", graph.ints(1)])
    terms = graph.add("Mul", [found, values])
    return graph.summed(terms, row, graph.joined(n, graph.ints(weight.shape[1])))


def _is_full(weight: SparseWeight) -> bool:
    """Whether whole rows are read much faster, in a file at most a few times larger."""
    size = weight.shape[0] * weight.shape[1]
    return len(weight.values) >= _FULL * size and size <= _LARGEST


def _sparse_product(
    graph: _Graph, weight: SparseWeight | CodedWeight, features: str, row: str, n: str
) -> str:
    """Each feature's entries, one after the other, added to row * n_classes + class."""
    starts = graph.taken(weight.indptr[:-1], features)
    lengths = graph.taken(np.diff(weight.indptr), features)
    ends = graph.add("CumSum", [lengths, graph.keep(0, np.int64)])
    total = graph.add("ReduceSum", [lengths], keepdims=1)
    owner = graph.owners(ends, total)
    # entry i of a feature lies at its start + i, and i is the place less where the feature begins
    shift = graph.add("Sub", [starts, graph.add("Sub", [ends, lengths])])
    flat = graph.add("Squeeze", [total, graph.ints(0)])
    count = graph.add("Range", [graph.keep(0, np.int64), flat, graph.keep(1, np.int64)])
    places = graph.add("Add", [count, graph.add("Gather", [shift, owner])])
    if isinstance(weight, CodedWeight):
        codes = graph.taken(weight.codes, places)
        numbers = graph.add("Gather", [graph.keep(weight.codebook), codes])
    else:
        numbers = graph.add("Gather", [graph.keep(weight.values), places])
    terms = graph.add("Mul", [numbers, graph.add("Gather", ["values", owner])])
    n_classes = graph.ints(weight.n_classes)
    column = graph.taken(weight.indices, places)
    first = graph.add("Mul", [graph.add("Gather", [row, owner]), n_classes])
    sums = graph.summed(terms, graph.add("Add", [first, column]), graph.add("Mul", [n, n_classes]))
    return graph.add("Reshape", [sums, graph.joined(n, n_classes)])


def _coded_rows(graph: _Graph, rows: CodedRows, features: str) -> str:
    """Rows by number, put together from their parts; the first ones are looked up."""
    n_exact, dim = rows.exact.shape
    if not len(rows.codes):
        return graph.add("Gather", [graph.keep(rows.exact), features])
    n_parts, n_centroids, width = rows.centroids.shape
    last = graph.keep(len(rows.codes) - 1, np.int64)
    zero = graph.keep(0, np.int64)
    place = graph.add("Sub", [features, graph.keep(n_exact, np.int64)])
    coded = graph.add("Min", [graph.add("Max", [place, zero]), last])
    codes = graph.taken(rows.codes, coded)
    which = graph.add("Add", [codes, graph.keep(np.arange(n_parts) * n_centroids, np.int64)])
    table = graph.keep(rows.centroids.reshape(n_parts * n_centroids, width))
    parts = graph.add("Gather", [table, which])
    flat = graph.add("Reshape", [parts, graph.ints(-1, n_parts * width)])
    cut = graph.add("Slice", [flat, graph.ints(0), graph.ints(dim), graph.ints(1)])
    scale = graph.add("Gather", [graph.keep(rows.scale[:, None]), coded])
    found = graph.add("Mul", [cut, scale])
    if not n_exact:
        return found
    first = graph.add("Less", [features, graph.keep(n_exact, np.int64)])
    near = graph.add("Min", [features, graph.keep(n_exact - 1, np.int64)])
    exact = graph.add("Gather", [graph.keep(rows.exact), near])
    return graph.add("Where", [graph.add("Unsqueeze", [first, graph.ints(1)]), exact, found])


def _proba(graph: _Graph, model: Model, logits: str) -> str:
    if LOSSES[model.loss].proba == "softmax":
        proba = graph.add("Softmax", [logits], axis=1)
    else:
        proba = _sigmoid(graph, logits, np.float32)
    if model.calibration is None:
        return proba
    return _calibrated(graph, Calibration.from_config(model.calibration), proba)


def _sigmoid(graph: _Graph, logits: str, dtype: Any) -> str:
    """Like `eitheror.decide.calibration.sigmoid`, which is accurate for any size."""
    one = graph.keep(1, dtype)
    small = graph.add("Exp", [graph.add("Neg", [graph.add("Abs", [logits])])])
    above = graph.add("GreaterOrEqual", [logits, graph.keep(0, dtype)])
    top = graph.add("Where", [above, one, small])
    return graph.add("Div", [top, graph.add("Add", [one, small])])


def _calibrated(graph: _Graph, calibration: Calibration, proba: str) -> str:
    """Calibrate as `Calibration` does, in 64 bits."""
    a, b, c, d, e = calibration.coefficients_
    limits = np.finfo(np.float32)
    wide = graph.cast(proba, _DOUBLE)
    rest = graph.add("Sub", [graph.keep(1, np.float64), wide])
    least = graph.add("Max", [wide, graph.keep(limits.tiny, np.float64)])
    most = graph.add("Max", [rest, graph.keep(limits.epsneg / 2, np.float64)])
    odds = graph.add("Sub", [graph.add("Log", [least]), graph.add("Log", [most])])
    bend = graph.add("Mul", [graph.add("Abs", [odds]), graph.keep(e, np.float64)])
    slope = graph.add("Add", [bend, graph.keep(b, np.float64)])
    level = graph.keep(a + c * calibration.log_counts_, np.float64)
    raised = graph.add("Add", [graph.add("Mul", [slope, odds]), level])
    top = graph.add("ReduceMax", [odds, graph.ints(1)], keepdims=1)
    raised = graph.add("Add", [raised, graph.add("Mul", [top, graph.keep(d, np.float64)])])
    known = graph.add("Greater", [wide, graph.keep(0, np.float64)])
    found = _sigmoid(graph, raised, np.float64)
    return graph.cast(graph.add("Where", [known, found, graph.keep(0, np.float64)]), _FLOAT)


def _metadata(model: Model) -> dict[str, str]:
    return {
        "classes": json.dumps(model.classes, ensure_ascii=False),
        "task": model.task,
        "loss": model.loss,
        "proba_meaning": model.proba_meaning,
        "eitheror": eitheror.__version__,
    }


def _write(path: str | os.PathLike[str], data: bytes) -> None:
    """Write under a temporary name, then rename."""
    target = Path(path)
    if target.is_dir():
        raise IsADirectoryError(f"{target}: this is a folder; name a file, such as model.onnx")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {target.parent}; make it first")
    new = target.with_name(f"{target.name}.new")
    try:
        new.write_bytes(data)
        os.replace(new, target)
    finally:
        new.unlink(missing_ok=True)
