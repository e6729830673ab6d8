"""ONNX models as graphs.

Shapes come from ``onnx.shape_inference`` with the batch bound; layers are named by their nodes.
What only prepares constants (shape arithmetic, weights in another layout) costs nothing and makes
no node. An operator without a counterpart in `Graph` becomes an unknown node that reports list.
"""

from __future__ import annotations

import os

try:
    import onnx
    import onnx.inliner
    import onnx.shape_inference
except ImportError as error:
    from alphaflops.errors import MissingExtraError

    raise MissingExtraError(
        'reading .onnx files needs the package onnx; pip install "alphaflops[onnx]"'
    ) from error

from alphaflops._core import Graph
from alphaflops.errors import ModelError, ShapeError, UnsupportedError
from alphaflops.frontends.onnx_file import read_model
from alphaflops.frontends.onnx_network import Network

__all__ = ["load_onnx"]


def load_onnx(
    path: str | os.PathLike[str], batch: int | None = None, strict: bool = False
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
    bound = _bind_batch(where, model.graph, batch)
    network = Network(where, _infer_shapes(where, model))
    graph = network.build()
    if strict:
        _raise_on_unknown(where, network)
    if batch is not None and not bound and graph.batch != batch:
        return graph.with_batch(batch)
    return graph


def _bind_batch(where: str, graph: onnx.GraphProto, batch: int | None) -> bool:
    """Put `batch` for the symbolic leading dimension of the inputs; whether there was one."""
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    symbols: set[str] = set()
    bound = False
    for value in inputs:
        sizes = value.type.tensor_type.shape.dim
        if not sizes or sizes[0].dim_value > 0:
            continue
        if batch is None:
            raise ModelError(
                f"{where}: input '{value.name}' has the symbolic batch dimension "
                f"'{sizes[0].dim_param or '?'}'; give batch (--batch 1)"
            )
        symbols.add(sizes[0].dim_param)
        sizes[0].dim_value = batch
        bound = True
    symbols.discard("")
    for value in [*inputs, *graph.output, *graph.value_info]:
        for size in value.type.tensor_type.shape.dim:
            if batch is not None and size.dim_param in symbols:
                size.dim_value = batch
    for value in inputs:
        sizes = value.type.tensor_type.shape.dim
        free = [size.dim_param or "?" for size in sizes if size.dim_value < 1]
        if free:
            raise ModelError(
                f"{where}: input '{value.name}' has symbolic dimensions {', '.join(free)} besides "
                "the batch; export the model with fixed sizes for them"
            )
    return bound


def _infer_shapes(where: str, model: onnx.ModelProto) -> onnx.ModelProto:
    try:
        if model.functions:
            model = onnx.inliner.inline_local_functions(model)
        return onnx.shape_inference.infer_shapes(model, data_prop=True)
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError, TypeError) as error:
        raise ModelError(
            f"{where}: the shapes of this model cannot be inferred ({error}); "
            "check it with onnx.checker, or export it again"
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
