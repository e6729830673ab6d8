"""What a GPU runs for the rows of a work table: every plan of each, and its memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from alphaflops._core import Graph, lower
from alphaflops._cuda_plan import Plan, Target, conv_plans, stream_plans
from alphaflops.errors import UnsupportedError

__all__ = ["Step", "steps_of", "tensor_bytes", "views_of"]

_ITEM_BYTES = {"fp32": 4, "tf32": 4, "fp16": 2, "bf16": 2, "int8": 1}
_SUM_BYTES = 4  # of biases, scales and what int8 adds up to
_IN_EPILOGUE = {"none", "relu", "relu6"}
_ACTIVATIONS = {
    *("relu", "relu6", "sigmoid", "silu", "hardsigmoid", "hardswish", "gelu", "tanh"),
}
_NORMS = {"batch_norm"}
_IMAGE = 4  # axes


@dataclass(frozen=True)
class Step:
    """One operator: every plan that does it, and its memory."""

    name: str
    plans: list[Plan]
    inputs: dict[str, int]  # the tensor of each buffer that is read
    output: int  # the tensor that is written
    parameters: dict[str, int] = field(default_factory=dict)  # bytes of each buffer of weights
    key: str = ""  # steps of one key are the same work


def tensor_bytes(graph: Graph, tensor: int) -> int:
    """Return what a tensor takes; sums of int8 are of four bytes."""
    is_sum = graph.dtype == "int8" and graph.node_op(tensor) in ("conv2d", "linear")
    item = _SUM_BYTES if is_sum else _ITEM_BYTES[graph.dtype]
    return math.prod(graph.shape(tensor)) * item


def views_of(graph: Graph) -> dict[int, int]:
    """Return the tensor in whose memory each tensor lies: itself, but for views of another."""
    owner: dict[int, int] = {}
    for node in range(len(graph)):
        inputs = graph.node_inputs(node)
        is_view = graph.node_op(node) in ("flatten", "view", "dropout", "identity")
        owner[node] = owner[inputs[0]] if is_view and inputs else node
    return owner


def steps_of(graph: Graph, target: Target) -> list[Step]:
    """Return the launches of a graph, norms and activations folded where a kernel can do so.

    Raises
    ------
    UnsupportedError
        An operator without a kernel; the message names the layer.
    """
    work = lower(graph, "fused")
    steps: list[Step] = []
    done: set[int] = set()
    for node, folded in zip(work.node.tolist(), work.folded, strict=True):
        if node in done:  # a second row of the same operator
            continue
        done |= {node, *folded}
        steps += _row(graph, node, folded, target)
    return steps


def _row(graph: Graph, node: int, folded: Sequence[int], target: Target) -> list[Step]:
    """Return the steps of one row: its operator, and what its epilogue cannot take over."""
    ops = [graph.node_op(each) for each in folded]
    function = next((op for op in ops if op in _ACTIVATIONS), "none")
    op = graph.node_op(node)
    if op in _ACTIVATIONS:
        return [_stream(graph, node, target, "activation", function=op)]
    if op not in _MAKERS:
        raise _unknown(graph, node, op)
    in_launch = function if function in _IN_EPILOGUE or op in ("add", "mul", *_NORMS) else "none"
    has_norm = any(each in _NORMS for each in ops)
    last = folded[-1] if folded else node
    steps = _MAKERS[op](_Row(graph, node, target, in_launch, has_norm, last))
    if in_launch != function:
        x = last
        steps.append(_stream(graph, x, target, "activation", function=function, reads=x))
    for step in steps:
        if not step.plans:
            raise _unknown(graph, node, op)
    return steps


def _unknown(graph: Graph, node: int, op: str) -> UnsupportedError:
    return UnsupportedError(
        f"{graph.node_name(node)}: no kernel of the cuda backend does '{op}' of "
        f"{[graph.shape(i) for i in graph.node_inputs(node)]} in {graph.dtype} on this GPU; the "
        "torch backend may (--backend torch --on cuda)"
    )


@dataclass(frozen=True)
class _Row:
    graph: Graph
    node: int
    target: Target
    function: str  # in the epilogue
    has_norm: bool  # whose shift becomes a bias
    last: int  # the tensor that is written

    @property
    def inputs(self) -> list[int]:
        return self.graph.node_inputs(self.node)


def _image_sizes(shape: Sequence[int]) -> dict[str, int]:
    """Sizes of a tensor whose channels lie side by side in memory."""
    if len(shape) == _IMAGE:
        batch, channels, height, width = shape
        return {"batch": batch, "channels": channels, "h_in": height, "w_in": width}
    *rows, channels = shape
    return {"batch": math.prod(rows), "channels": channels, "h_in": 1, "w_in": 1}


def _stream(
    graph: Graph,
    node: int,
    target: Target,
    stream: str,
    *,
    function: str = "none",
    reads: int | None = None,
    sizes: dict[str, int] | None = None,
    output: int | None = None,
    **options: Any,
) -> Step:
    inputs = graph.node_inputs(node) if reads is None else [reads]
    sizes = sizes or _image_sizes(graph.shape(inputs[0]))
    dtype = "fp32" if graph.dtype == "tf32" else graph.dtype
    plans = stream_plans(stream, sizes, target, dtype, function, **options)
    channels = sizes["channels"] * _SUM_BYTES
    has_weights = stream in ("scale_shift", "layer_norm")
    return Step(
        name=graph.node_name(node),
        plans=plans,
        inputs=dict(zip(("input", "second_input"), inputs, strict=False)),
        output=node if output is None else output,
        parameters={"weights": channels, "bias": channels} if has_weights else {},
        key=f"{stream} {sorted(sizes.items())} {dtype} {function} {sorted(options.items())}",
    )


def _conv(row: _Row) -> list[Step]:
    graph, node = row.graph, row.node
    attributes = graph.node_attributes(node)
    batch, c_in, h_in, w_in = graph.shape(row.inputs[0])
    names = ("pad_top", "pad_bottom", "pad_left", "pad_right")
    sizes = {
        "batch": batch,
        "c_in": c_in,
        "h_in": h_in,
        "w_in": w_in,
        "c_out": attributes["c_out"],
        "groups": attributes["groups"],
        **dict(zip(names, attributes["padding"], strict=True)),
    }
    for name, attribute in (("k", "kernel"), ("stride", "stride"), ("dilation", "dilation")):
        sizes[f"{name}_h"], sizes[f"{name}_w"] = attributes[attribute]
    return [_product(row, sizes, bool(attributes["bias"]))]


def _linear(row: _Row) -> list[Step]:
    graph = row.graph
    *rows, c_in = graph.shape(row.inputs[0])
    sizes = {"batch": math.prod(rows), "c_in": c_in, "c_out": graph.shape(row.node)[-1]}
    return [_product(row, sizes, bool(graph.node_attributes(row.node)["bias"]))]


def _product(row: _Row, sizes: dict[str, int], has_bias: bool) -> Step:
    graph = row.graph
    has_bias = has_bias or row.has_norm
    taps = sizes.get("k_h", 1) * sizes.get("k_w", 1)
    weights = sizes["c_out"] * taps * sizes["c_in"] // sizes.get("groups", 1)
    parameters = {"weights": weights * _ITEM_BYTES[graph.dtype]}
    if has_bias:
        parameters["bias"] = sizes["c_out"] * _SUM_BYTES
    return Step(
        name=graph.node_name(row.node),
        plans=conv_plans(sizes, row.target, graph.dtype, "forward", row.function, has_bias),
        inputs={"input": row.inputs[0]},
        output=row.last,
        parameters=parameters,
        key=f"conv {sorted(sizes.items())} {graph.dtype} {row.function} {has_bias}",
    )


def _binary(stream: str) -> Callable[[_Row], list[Step]]:
    def make(row: _Row) -> list[Step]:
        graph = row.graph
        shapes = {graph.shape(tensor) for tensor in row.inputs}
        if len(shapes) > 1:  # a gate: no kernel of its own
            return [Step(graph.node_name(row.node), [], {}, row.last)]
        return [_of_row(row, stream)]

    return make


def _of_row(row: _Row, stream: str, **options: Any) -> Step:
    return _stream(
        *(row.graph, row.node, row.target, stream),
        function=row.function,
        output=row.last,
        **options,
    )


def _batch_norm(row: _Row) -> list[Step]:
    return [_of_row(row, "scale_shift")]


def _layer_norm(row: _Row) -> list[Step]:
    if row.graph.node_attributes(row.node)["axes"] != 1:
        return [Step(row.graph.node_name(row.node), [], {}, row.last)]
    return [_of_row(row, "layer_norm")]


def _pool(stream: str) -> Callable[[_Row], list[Step]]:
    def make(row: _Row) -> list[Step]:
        attributes = row.graph.node_attributes(row.node)
        if tuple(attributes.get("dilation", (1, 1))) != (1, 1):
            return [Step(row.graph.node_name(row.node), [], {}, row.last)]
        names = ("pad_top", "pad_bottom", "pad_left", "pad_right")
        sizes = _image_sizes(row.graph.shape(row.inputs[0]))
        sizes |= dict(zip(names, attributes["padding"], strict=True))
        for name, attribute in (("k", "kernel"), ("stride", "stride")):
            sizes[f"{name}_h"], sizes[f"{name}_w"] = attributes[attribute]
        return [
            _of_row(
                row,
                stream,
                sizes=sizes,
                ceil_mode=bool(attributes.get("ceil_mode", False)),
                count_include_pad=bool(attributes.get("count_include_pad", True)),
            )
        ]

    return make


def _concat(row: _Row) -> list[Step]:
    """One copy an input, into its columns of the output."""
    graph = row.graph
    shape = graph.shape(row.node)
    axis = graph.node_attributes(row.node).get("axis", 1)
    innermost = 1 if len(shape) == _IMAGE else len(shape) - 1
    if axis % len(shape) != innermost:
        return [Step(graph.node_name(row.node), [], {}, row.last)]
    steps, first = [], 0
    for tensor in row.inputs:
        sizes = _image_sizes(graph.shape(tensor))
        sizes |= {"out_channels": shape[innermost], "out_channel": first}
        first += sizes["channels"]
        steps.append(
            _stream(
                *(graph, row.node, row.target, "copy_channels"),
                reads=tensor,
                sizes=sizes,
                output=row.last,
            )
        )
    return steps


_MAKERS: dict[str, Callable[[_Row], list[Step]]] = {
    "conv2d": _conv,
    "linear": _linear,
    "add": _binary("add"),
    "mul": _binary("multiply"),
    "batch_norm": _batch_norm,
    "layer_norm": _layer_norm,
    "max_pool": _pool("max_pool"),
    "avg_pool": _pool("average_pool"),
    "global_avg_pool": lambda row: [_of_row(row, "global_average_pool")],
    "softmax": lambda row: [_of_row(row, "softmax")],
    "concat": _concat,
}
