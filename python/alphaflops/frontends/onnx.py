"""ONNX models as graphs.

The inputs' sizes are bound first; from there on every size is known. Layers are named by their
nodes. What only prepares constants (shape arithmetic, weights in another layout) costs nothing and
makes no node. An operator without a counterpart in `Graph` becomes an unknown node that reports
list.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

try:
    import onnx
    import onnx.inliner
except ImportError as error:
    from alphaflops.errors import MissingExtraError

    raise MissingExtraError(
        'reading .onnx files needs the package onnx; pip install "alphaflops[onnx]"'
    ) from error

from alphaflops._core import Graph
from alphaflops.errors import ModelError, ShapeError, UnsupportedError
from alphaflops.frontends.onnx_bind import bound_shapes, unstored_inputs
from alphaflops.frontends.onnx_file import read_model
from alphaflops.frontends.onnx_network import Network

__all__ = ["inputs_of", "load_onnx"]


def load_onnx(
    path: str | os.PathLike[str],
    batch: int | None = None,
    strict: bool = False,
    inputs: Mapping[str, Sequence[int]] | None = None,
    causal: bool = False,
) -> Graph:
    """Read an ONNX model as a graph, without its weights.

    Parameters
    ----------
    path
        The ``.onnx`` file. Weights beside it (external data) need not be there.
    batch
        Images a call; needed where the file's batch dimension is symbolic.
    strict
        Raise instead of keeping operators that cannot be counted as unknown nodes.
    inputs
        Sizes of inputs by their names, where they are symbolic or others than in the file. A
        symbol that they bind is bound in every input.
    causal
        Count only the scores that are not masked, where an operator says that it is causal.

    Raises
    ------
    ModelError
        The file is missing or malformed, or a size that a cost depends on is not in it.
    ShapeError
        A layer has sizes that no layer can have.
    UnsupportedError
        Under `strict`, the operators that cannot be counted; always, an element type that has no
        cost model.
    """
    if batch is not None and batch < 1:
        raise ShapeError(f"batch is {batch}; it must be at least 1")
    where = os.fspath(path)
    model = read_model(where)
    bound = bound_shapes(where, model.graph, batch, inputs or {})
    if model.functions:
        model = _inlined(where, model)
    network = Network(where, model, bound.shapes, bound.symbols, causal)
    try:
        graph = network.build()
    except (ModelError, ShapeError) as error:
        if not bound.resized:
            raise
        raise type(error)(
            f"{error}; the file states other sizes of {', '.join(bound.resized)}, which may stand "
            "in its constants too: export it with dynamic axes, or at these sizes"
        ) from error
    if strict:
        _raise_on_unknown(where, network)
    if batch is not None and not bound.has_batch and graph.batch != batch:
        return graph.with_batch(batch)
    return graph


def inputs_of(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Return the names of a model's inputs, stored weights not among them.

    Raises
    ------
    ModelError
        The file is missing or malformed.
    """
    return tuple(unstored_inputs(os.fspath(path), read_model(os.fspath(path)).graph))


def _inlined(where: str, model: onnx.ModelProto) -> onnx.ModelProto:
    try:
        return onnx.inliner.inline_local_functions(model)
    except (RuntimeError, ValueError, TypeError) as error:
        raise ModelError(
            f"{where}: the functions of this model cannot be put in place ({error}); check it with "
            "onnx.checker, or export it again"
        ) from error


def _raise_on_unknown(where: str, network: Network) -> None:
    if not network.unknown:
        return
    tensors = sum(network.graph.node_op(i) != "input" for i in range(len(network.graph)))
    count = network.unknown.total()
    kinds = ", ".join(f"{op} ({n})" for op, n in network.unknown.most_common())
    raise UnsupportedError(
        f"{where}: {count} of {tensors} tensors ({count / tensors:.1%}) come from operators that "
        f"cannot be counted: {kinds}; without strict they are listed and the rest is counted"
    )
