"""Steps of convolutions, pools, norms and elementwise operators."""

from __future__ import annotations

import math
from typing import Any

from alphaflops._cuda_plan import conv_plans
from alphaflops.measuring.cuda_step import (
    ITEM_BYTES,
    SUM_BYTES,
    Maker,
    Row,
    Step,
    key_of,
    no_plan,
    stream,
)

__all__ = ["LAYER_MAKERS", "product"]

_PADS = ("pad_top", "pad_bottom", "pad_left", "pad_right")


def _conv(row: Row) -> list[Step]:
    attributes = row.attributes
    batch, c_in, h_in, w_in = row.graph.shape(row.inputs[0])
    sizes = {"batch": batch, "c_in": c_in, "h_in": h_in, "w_in": w_in}
    sizes |= {"c_out": attributes["c_out"], **_window(attributes, ("k", "stride", "dilation"))}
    return [product(row, sizes | {"groups": attributes["groups"]}, bool(attributes["bias"]))]


def _conv_transpose(row: Row) -> list[Step]:
    """Make the gradient of the input of a convolution that goes the other way."""
    attributes = row.attributes
    batch, c_out, h_in, w_in = row.graph.shape(row.node)
    sizes = {"batch": batch, "c_in": c_out, "h_in": h_in, "w_in": w_in}
    sizes |= {"c_out": row.graph.shape(row.inputs[0])[1], "groups": attributes["groups"]}
    sizes |= _window(attributes, ("k", "stride", "dilation"))
    return [product(row, sizes, bool(attributes["bias"]), transposed=True)]


def _window(attributes: dict[str, Any], names: tuple[str, ...]) -> dict[str, int]:
    sizes = dict(zip(_PADS, attributes["padding"], strict=True))
    for name in names:
        values = attributes["kernel" if name == "k" else name]
        sizes[f"{name}_h"], sizes[f"{name}_w"] = values
    return sizes


def _linear(row: Row) -> list[Step]:
    graph = row.graph
    *rows, c_in = row.layouts.memory_shape(row.inputs[0])
    sizes = {"batch": math.prod(rows), "c_in": c_in, "c_out": graph.shape(row.node)[-1]}
    return [product(row, sizes, bool(row.attributes["bias"]))]


def product(row: Row, sizes: dict[str, int], has_bias: bool, *, transposed: bool = False) -> Step:
    """Return the step of a convolution or a linear layer that reads the operator's first input."""
    dtype = row.graph.dtype
    has_bias = has_bias or row.has_norm
    taps = sizes.get("k_h", 1) * sizes.get("k_w", 1)
    weights = sizes["c_out"] * taps * sizes["c_in"] // sizes.get("groups", 1)
    parameters = {"weights": weights * ITEM_BYTES[dtype]}
    if has_bias:
        parameters["bias"] = sizes["c_in" if transposed else "c_out"] * SUM_BYTES
    pass_ = "input_gradient" if transposed else "forward"
    return Step(
        name=row.graph.node_name(row.node),
        plans=conv_plans(sizes, row.target, dtype, pass_, row.function, has_bias, transposed),
        inputs={"input": row.inputs[0]},
        output=row.last,
        parameters=parameters,
        key=key_of("conv", sizes, dtype, row.function, has_bias, pass_),
        fan_in=weights // sizes["c_in" if transposed else "c_out"],
    )


def _pool(kind: str) -> Maker:
    def make(row: Row) -> list[Step]:
        attributes = row.attributes
        window = _window(attributes, ("k", "stride", "dilation"))
        sizes = row.layouts.sizes(row.inputs[0]) | window
        ceil_mode = bool(attributes.get("ceil_mode", False))
        counts_pad = bool(attributes.get("count_include_pad", True))
        return [stream(row, kind, sizes=sizes, ceil_mode=ceil_mode, count_include_pad=counts_pad)]

    return make


def _mean(row: Row) -> list[Step]:
    """Take the mean over the pixels of an image."""
    into, out = row.graph.shape(row.inputs[0]), row.graph.shape(row.node)
    if not row.layouts.is_image(row.inputs[0]) or math.prod(out) != math.prod(into[:2]):
        return no_plan(row)
    return [stream(row, "global_average_pool")]


def _norm(kind: str) -> Maker:
    def make(row: Row) -> list[Step]:
        return [stream(row, kind)] if row.attributes["axes"] == 1 else no_plan(row)

    return make


def _softmax(row: Row) -> list[Step]:
    return [stream(row, "softmax")]


def _binary(kind: str, swapped: str | None) -> Maker:
    """Return the maker of an operator of two tensors, or of one and a number.

    `swapped` is what it is with the second before the first, if there is such a kernel.
    """

    def make(row: Row) -> list[Step]:
        if len(row.inputs) == 1:
            return [stream(row, "activation")]
        graph, layouts = row.graph, row.layouts
        out = layouts.memory_shape(row.node)
        # The larger one first.
        first, second = sorted(row.inputs, key=lambda x: -math.prod(graph.shape(x)))
        is_whole = math.prod(out) == math.prod(graph.shape(first))
        of = kind if first == row.inputs[0] else swapped
        if of is None or layouts.memory_shape(first) != out or not is_whole:
            return no_plan(row)
        inputs = {"input": first, "second_input": second}
        if graph.shape(first) == graph.shape(second):
            return [stream(row, of, inputs=inputs)]
        shape = graph.shape(second)
        shape = (1,) * (len(out) - len(shape)) + tuple(shape)
        repetition = _repetition(out, layouts.memory_shape(row.node, shape))
        if repetition is None:
            return no_plan(row)
        return [stream(row, of, inputs=inputs, sizes=layouts.sizes(first) | repetition)]

    return make


def _power(row: Row) -> list[Step]:
    """Take a power by a number, which no graph has: as long as a copy."""
    return [stream(row, "activation")] if len(row.inputs) == 1 else no_plan(row)


def _repetition(shape: tuple[int, ...], second: tuple[int, ...]) -> dict[str, int] | None:
    """Return how a smaller operand repeats: over outer axes, and between two blocks of its own."""
    axes = [(a, b) for a, b in zip(shape, second, strict=True) if a > 1]
    if any(b not in (1, a) for a, b in axes):
        return None

    def take(*, repeated: bool) -> int:
        extent = 1
        while axes and (axes[-1][1] == 1) == repeated:
            extent *= axes.pop()[0]
        return extent

    length, repeats, blocks = take(repeated=False), take(repeated=True), take(repeated=False)
    if blocks == 1:  # what repeats all of it is not between its blocks
        repeats = 1
    if any(b > 1 for _, b in axes):
        return None
    return {"second_length": length, "second_repeats": repeats, "second_blocks": blocks}


LAYER_MAKERS: dict[str, Maker] = {
    "conv2d": _conv,
    "conv_transpose2d": _conv_transpose,
    "linear": _linear,
    "add": _binary("add", "add"),
    "sub": _binary("subtract", "subtract_from"),
    "mul": _binary("multiply", "multiply"),
    "div": _binary("divide", None),
    "pow": _power,
    "batch_norm": lambda row: [stream(row, "scale_shift")],
    "layer_norm": _norm("layer_norm"),
    "rms_norm": _norm("rms_norm"),
    "max_pool": _pool("max_pool"),
    "avg_pool": _pool("average_pool"),
    "global_avg_pool": lambda row: [stream(row, "global_average_pool")],
    "mean": _mean,
    "softmax": _softmax,
}
