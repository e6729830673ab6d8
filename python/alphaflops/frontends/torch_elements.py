"""Rules for what does a few operations an element: shapes by broadcasting, copies, reductions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from alphaflops.frontends import torch_names as names
from alphaflops.frontends.torch_memory import format_of, in_order, like_first
from alphaflops.frontends.torch_names import words
from alphaflops.frontends.torch_trace import EMPTY, RULES, Rule, Trace, rule, tensors_in

# Operators whose result has the broadcast shape of their operands.
_SHAPED = words("""
abs add ceil clamp clamp_max clamp_min cos div elu erf exp floor floor_divide fmod greater
greater_equal hardtanh leaky_relu less less_equal log log1p log2 log_sigmoid logsigmoid log_softmax
masked_fill maximum minimum mish mul neg pow rdiv reciprocal remainder round rpow rsqrt rsub selu
sigmoid sign sin softplus sqrt square sub eq ne lt le gt ge logical_and logical_or logical_not and
or xor invert bitwise_and bitwise_or bitwise_not celu expm1 tan
""")
_BOOLEAN = frozenset(
    words(
        "eq ne lt le gt ge greater greater_equal less less_equal logical_and logical_or logical_not"
    )
)
_FLOATING = frozenset(
    words("div rdiv cos sin exp log log1p log2 sqrt rsqrt reciprocal erf sigmoid")
)
_ACTIVATIONS = words("relu relu6 hardsigmoid hardswish sigmoid silu swish tanh")


def broadcast(trace: Trace, shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """Return the common shape, aligned at the last axis; sizes of 1 repeat."""
    result = list(max((len(shape), shape) for shape in shapes)[1])
    for shape in shapes:
        for axis in range(-len(shape), 0):
            if result[axis] == 1:
                result[axis] = shape[axis]
            elif shape[axis] not in (1, result[axis]):
                listed = ", ".join(str(list(s)) for s in shapes)
                raise trace.fail(
                    f"shapes {listed} do not broadcast; sizes must be equal or 1, from the last "
                    "axis on"
                )
    return tuple(result)


def _element(name: str, kind: str) -> Rule:
    def make(trace: Trace, *args: Any, **kwargs: Any) -> Any:
        operands = tensors_in([*args, *kwargs.values()])
        shapes = [tuple(t.shape) for t in operands]
        same = all(shape == shapes[0] for shape in shapes)
        shape = shapes[0] if same else broadcast(trace, shapes)
        if 0 in shape:
            return NotImplemented
        nodes = trace.inputs(operands)
        at = trace.name(name)
        node = None
        if len(nodes) == 2 and kind == "add" and same:
            node = trace.graph.add(nodes[0], nodes[1], at)
        elif len(nodes) == 2 and kind == "mul":
            if shapes[0] != shape:  # the smaller one may be a gate
                nodes, shapes = nodes[::-1], shapes[::-1]
            if shapes[0] == shape and (
                same or (len(shape) == 4 and shapes[1] == (*shape[:2], 1, 1))
            ):
                node = trace.graph.mul(nodes[0], nodes[1], at)
        if node is None:
            node = trace.graph.element(nodes, kind, shape, at)
        like = like_first(operands, shape)
        return trace.tensor(node, _dtype(name, operands, args), shape, like)

    return make


def _dtype(name: str, operands: Sequence[torch.Tensor], args: Sequence[Any]) -> torch.dtype:
    if name in _BOOLEAN:
        return torch.bool
    dtype = operands[0].dtype
    if name in ("masked_fill", "log_softmax"):
        return dtype
    if name == "abs":
        return dtype.to_real()
    for other in args[1:2]:
        if isinstance(other, (torch.Tensor, int, float)) and not isinstance(other, bool):
            dtype = torch.result_type(operands[0], other)
    if name in _FLOATING and not dtype.is_floating_point:
        return torch.get_default_dtype()
    return dtype


for _name in _SHAPED:
    if _name in names.ELEMENTS:
        RULES[_name] = _element(_name, names.ELEMENTS[_name])


def _activation(function: str) -> Rule:
    def make(trace: Trace, input: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if not input.numel():
            return NotImplemented
        node = trace.graph.activation(trace.node(input), function, trace.name(function))
        return trace.tensor(node, input.dtype, input.shape, like_first([input], input.shape))

    return make


for _name in _ACTIVATIONS:
    RULES[_name] = _activation("silu" if _name == "swish" else _name)


@rule("gelu")
def _gelu(trace: Trace, input: torch.Tensor, approximate: str = "none") -> Any:
    if approximate == "none":
        return RULES["_gelu_erf"](trace, input)
    return RULES["_gelu_tanh"](trace, input)


RULES["_gelu_erf"] = _activation("gelu")
RULES["_gelu_tanh"] = _element("gelu", "gelu_tanh")


@rule("hardtanh", "clamp", "clamp_min")
def _clamp(
    trace: Trace,
    input: torch.Tensor,
    min: Any = None,
    max: Any = None,
    inplace: bool = False,
    min_val: Any = -1.0,
    max_val: Any = 1.0,
) -> Any:
    if "Tensor" in (type(min).__name__, type(max).__name__):
        return _element("clamp", "clip")(trace, input, min, max)
    low, high = (min, max) if min is not None or max is not None else (min_val, max_val)
    if low == 0 and high in (6, None):
        return RULES["relu6" if high == 6 else "relu"](trace, input)
    return _element("clamp", "clip")(trace, input)


@rule("softmax", "softmin")
def _softmax(trace: Trace, input: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
    if not input.numel():
        return NotImplemented
    node = trace.graph.softmax(in_order(trace, input), trace.name("softmax"))
    dtype = kwargs.get("dtype") or next((a for a in args if isinstance(a, torch.dtype)), None)
    return trace.tensor(node, dtype or input.dtype, input.shape)


@rule("glu")
def _glu(trace: Trace, input: torch.Tensor, dim: int = -1) -> Any:
    halves = list(input.shape)
    halves[dim] //= 2
    parts = [trace.graph.part(trace.node(input), halves, trace.name("part", True)) for _ in "ab"]
    gate = trace.graph.activation(parts[1], "sigmoid", trace.name("sigmoid"))
    node = trace.graph.element([parts[0], gate], "mul", halves, trace.name("mul"))
    return trace.tensor(node, input.dtype, halves)


@rule("lerp", "addcmul", "addcdiv")
def _three(trace: Trace, input: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
    operands = [input, *tensors_in([*args, *kwargs.values()])]
    shape = broadcast(trace, [tuple(t.shape) for t in operands])
    flops = 3 * math.prod(shape)
    at = trace.name("lerp")
    node = trace.graph.custom(trace.inputs(operands), "lerp", shape or (1,), flops=flops, name=at)
    return trace.tensor(node, input.dtype, shape)


@rule("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_dropout")
@rule("feature_alpha_dropout")
def _dropout(
    trace: Trace,
    input: torch.Tensor,
    p: float = 0.5,
    training: bool | None = None,
    inplace: bool = False,
    train: bool | None = None,
) -> Any:
    if training is None:
        training = True if train is None else train
    if not training or p == 0:
        return input
    node = trace.graph.element([trace.node(input)], "dropout", input.shape, trace.name("dropout"))
    return trace.tensor(node, input.dtype, input.shape, like_first([input], input.shape))


@rule("max", "min")
def _max(trace: Trace, input: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
    operands = tensors_in([*args, *kwargs.values()])
    if not operands:
        return NotImplemented
    return RULES["maximum"](trace, input, *operands)


@rule("where")
def _where(trace: Trace, condition: Any, *values: Any, **kwargs: Any) -> Any:
    if not isinstance(condition, torch.Tensor) or not values:
        return NotImplemented
    if not isinstance(values[0], torch.Tensor) and not any(
        isinstance(v, torch.Tensor) for v in values
    ):  # x.where(condition, value)
        return NotImplemented
    operands = tensors_in([condition, *values, *kwargs.values()])
    shape = broadcast(trace, [tuple(t.shape) for t in operands])
    if 0 in shape or len(values) != 2:
        return NotImplemented
    node = trace.graph.element(trace.inputs(operands), "where", shape or (1,), trace.name("where"))
    return trace.tensor(node, torch.result_type(*values), shape, like_first(operands, shape))


@rule("cat")
def _cat(
    trace: Trace, tensors: Sequence[torch.Tensor], dim: int = 0, axis: int | None = None
) -> Any:
    at = dim if axis is None else axis
    given = [t for t in tensors if t.numel() or t.dim() > 1]
    axes = given[0].dim()
    shape = list(given[0].shape)
    shape[at] = sum(t.shape[at] for t in given)
    if any(t.dim() != axes for t in given) or 0 in shape:
        return NotImplemented
    node = trace.graph.concat(trace.inputs(given), trace.name("cat"), at)
    dtype = given[0].dtype
    for t in given[1:]:
        dtype = dtype if t.dtype == dtype else torch.promote_types(dtype, t.dtype)
    lies = {format_of(t) for t in given}
    memory_format = lies.pop() if len(lies) == 1 else torch.contiguous_format
    return trace.tensor(node, dtype, shape, memory_format=memory_format)


@rule("embedding")
def _embedding(
    trace: Trace, input: torch.Tensor, weight: torch.Tensor, *args: Any, **kwargs: Any
) -> Any:
    if isinstance(weight, torch.Tensor) and weight.dtype in (torch.int64, torch.int32):
        input, weight = weight, input  # as aten has them
    if not input.numel():
        return NotImplemented
    rows, features = weight.shape
    x = trace.node(input)

    def make(bias: bool) -> int:
        return trace.graph.embedding(x, rows, features, trace.name("embedding"))

    node = trace.layer(make, weight, None)
    return trace.tensor(node, weight.dtype, (*input.shape, features))


_BAGS = ("sum", "mean", "max")  # as aten numbers them


@rule("_embedding_bag", "_embedding_bag_forward_only")
def _embedding_bag(
    trace: Trace,
    weight: torch.Tensor,
    indices: torch.Tensor,
    offsets: torch.Tensor,
    scale_grad_by_freq: bool = False,
    mode: int = 0,
    sparse: bool = False,
    per_sample_weights: torch.Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int = -1,
) -> Any:
    if not indices.numel():
        return NotImplemented
    rows = _embedding(trace, indices, weight)
    if per_sample_weights is not None:
        scaled = trace.inputs([rows, per_sample_weights])
        rows = trace.tensor(
            trace.graph.element(scaled, "mul", rows.shape, trace.name("mul")), weight.dtype
        )
    shape = (offsets.shape[0] - include_last_offset, weight.shape[1])
    node = trace.graph.element([trace.node(rows)], _BAGS[mode], shape, trace.name("bag"))
    return (trace.tensor(node, weight.dtype), *_nothing(trace, 3))


def _nothing(trace: Trace, count: int) -> list[torch.Tensor]:
    """Return results that only a backward reads."""
    return [trace.bind(torch.empty(0, device="meta"), EMPTY) for _ in range(count)]


@rule("nll_loss_forward", "nll_loss2d_forward")
def _nll_loss(
    trace: Trace,
    input: torch.Tensor,
    target: torch.Tensor,
    weight: torch.Tensor | None = None,
    reduction: int = 1,
    ignore_index: int = -100,
) -> Any:
    """Read one log-probability a target, and add them up in the same launch."""
    if not target.numel():
        return NotImplemented
    shape = tuple(target.shape) or (1,)
    picked = trace.graph.part(trace.node(input), shape, trace.name("part", True))
    inputs = [picked, *trace.inputs([target, *([] if weight is None else [weight])])]
    kind = ("gather", "mean", "sum")[reduction]
    made = shape if reduction == 0 else (1,)
    node = trace.graph.element(inputs, kind, made, trace.name("nll_loss"))
    return trace.tensor(node, input.dtype, target.shape if reduction == 0 else ()), *_nothing(
        trace, 1
    )


@rule("getitem")
def _getitem(trace: Trace, input: torch.Tensor, index: Any) -> Any:
    each = index if isinstance(index, tuple) else (index,)
    masks = [i for i in tensors_in(each) if i.dtype in (torch.bool, torch.uint8)]
    if not masks:
        return NotImplemented
    places: list[Any] = []
    for i in each:
        value = trace.value(i) if any(i is mask for mask in masks) else None
        if value is None:
            places.append(i)
        else:
            places += value.nonzero(as_tuple=True) if value.dim() else [bool(value)]
    if any(i is mask for i in places for mask in masks):
        raise trace.fail(
            "a tensor is indexed by a mask, which makes a shape that depends on values; use "
            "torch.where or masked_fill, or give the mask as an input with its elements"
        )
    result = trace.shaped(torch.Tensor.__getitem__, (input, tuple(places)), {})

    def make(shape: tuple[int, ...]) -> int:
        operands = [input, *tensors_in(each)]
        return trace.graph.element(trace.inputs(operands), "gather", shape, trace.name("getitem"))

    return trace.record(result, [], make)


@rule("setitem")
def _setitem(trace: Trace, input: torch.Tensor, index: Any, value: Any) -> None:
    operands = tensors_in([value, index])
    region = input.to("meta") if not input.is_meta else input
    masked = any(i.dtype == torch.bool for i in tensors_in([index]))
    shape = tuple(region.shape) if masked else tuple(region[trace.on_meta(index)].shape)
    if 0 in shape:
        return
    written = trace.graph.element(
        trace.inputs(operands), "copy", shape or (1,), trace.name("setitem")
    )
    trace.bind(input, trace.graph.part(written, input.shape, trace.name("part", True)))


@rule("copy")
def _copy(trace: Trace, input: torch.Tensor, src: torch.Tensor, non_blocking: bool = False) -> Any:
    if not src.numel():
        return input
    at = trace.name("copy")
    node = trace.graph.element([trace.node(src)], "copy", tuple(input.shape) or (1,), at)
    return trace.tensor(node, input.dtype, input.shape)


@rule("interpolate", "upsample")
def _interpolate(trace: Trace, input: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
    function = torch.nn.functional.interpolate
    result = trace.shaped(function, (input, *args), kwargs)
    mode = kwargs.get("mode") or (args[2] if len(args) > 2 else "nearest")
    kind = mode.replace("-exact", "") if mode != "area" else "bilinear"
    at = trace.name("interpolate")

    def make(shape: tuple[int, ...]) -> int:
        return trace.graph.element([trace.node(input)], f"interpolate_{kind}", shape, at)

    return trace.record(result, [input], make)


@rule("grid_sampler_2d", "grid_sampler_3d", "cudnn_grid_sampler")
def _grid_sampler(
    trace: Trace, input: torch.Tensor, grid: torch.Tensor, mode: int = 0, *options: Any
) -> Any:
    shape = (*input.shape[:2], *grid.shape[1:-1])
    linear = "bilinear" if input.dim() == 4 else "trilinear"
    kind = (linear, "nearest", "bicubic")[mode]
    inputs = [trace.node(input), trace.node(grid)]
    at = trace.name("grid_sample")
    return trace.tensor(
        trace.graph.element(inputs, f"interpolate_{kind}", shape, at), input.dtype, shape
    )


@rule("cpu", "cuda", "pin_memory", "requires_grad", "share_memory", "retain_grad")
@rule("register_hook", "_assert_tensor_metadata", "_assert_async", "lift_fresh_copy")
@rule("data.__set__", "grad.__set__", "requires_grad.__set__")
def _as_it_is(trace: Trace, input: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
    return input
