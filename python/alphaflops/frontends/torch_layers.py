"""Rules for layers with weights, norms and pools: whole, with shapes of our own.

Arguments are named as torch names them. https://pytorch.org/docs/stable/nn.functional.html
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from alphaflops.frontends.torch_trace import EMPTY, RULES, Rule, Trace, rule

Tensor = torch.Tensor
_IMAGE = 4  # axes of [batch, channels, height, width]


def _each(value: Any, axes: int) -> list[int]:
    if isinstance(value, int):
        return [value] * axes
    return list(value) * axes if len(value) == 1 else list(value)


def _sides(
    trace: Trace, padding: Any, kernel: Sequence[int], dilation: Sequence[int]
) -> list[int]:
    """Return padding before and after every axis."""
    if padding == "valid":
        return [0] * (2 * len(kernel))
    if padding == "same":
        totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return [side for total in totals for side in (total // 2, total - total // 2)]
    return [side for size in _each(padding, len(kernel)) for side in (size, size)]


def _convolve(
    trace: Trace,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
    transposed: bool = False,
    output_padding: Any = 0,
) -> Tensor:
    axes = weight.dim() - 2
    if x.dim() == axes + 1:  # without a batch
        batched = x.unsqueeze(0)
        trace.bind(batched, trace.graph.view(trace.node(x), batched.shape, trace.name("view", True)))
        y = _convolve(
            trace, batched, weight, bias, stride, padding, dilation, groups, transposed,
            output_padding,
        )
        node = trace.graph.view(trace.node(y), y.shape[1:], trace.name("view", True))
        return trace.tensor(node, x.dtype, y.shape[1:])
    shape = list(weight.shape)
    channels = shape[0] if transposed else shape[1] * groups
    c_out = shape[1] * groups if transposed else shape[0]
    if x.dim() != axes + 2 or x.shape[1] != channels:
        raise trace.fail(
            f"the weight takes {channels} channels and {axes} axes behind them; the input has "
            f"shape {list(x.shape)}"
        )
    kernel, stride, dilation = shape[2:], _each(stride, axes), _each(dilation, axes)
    pad, extra = _sides(trace, padding, kernel, dilation), _each(output_padding, axes)
    node, name = trace.node(x), trace.name("conv")

    def make(biased: bool) -> int:
        graph = trace.graph
        if axes == 2 and not transposed:  # noqa: PLR2004
            return graph.conv2d(node, c_out, kernel, stride, pad, dilation, groups, biased, name)
        return graph.conv(
            node, c_out, kernel, stride, pad, dilation, groups, biased, transposed, extra, name
        )

    return trace.tensor(trace.layer(make, weight, bias), x.dtype)


@rule("conv1d", "conv2d", "conv3d")
def _conv(
    trace: Trace,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    return _convolve(trace, input, weight, bias, stride, padding, dilation, groups)


@rule("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def _conv_transpose(
    trace: Trace,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    return _convolve(
        trace, input, weight, bias, stride, padding, dilation, groups, True, output_padding
    )


@rule("convolution", "_convolution")
def _convolution(
    trace: Trace,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    output_padding: Any,
    groups: int,
    *flags: bool,
) -> Tensor:
    return _convolve(
        trace, input, weight, bias, stride, padding, dilation, groups, transposed, output_padding
    )


@rule("linear")
def linear(trace: Trace, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Add a linear layer whose weight is [out_features, in_features]."""
    if not input.numel():
        return NotImplemented
    if weight.dim() == 1:
        weight = weight.unsqueeze(0)
    if not input.dim() or input.shape[-1] != weight.shape[-1]:
        raise trace.fail(
            f"the weight takes {weight.shape[-1]} features; the input has shape "
            f"{list(input.shape)}"
        )
    return _linear(trace, input, weight.shape[0], weight, bias)


def _linear(
    trace: Trace, x: Tensor, features: int, weight: Tensor, bias: Tensor | None
) -> Tensor:
    node, name = trace.node(x), trace.name("linear")

    def make(biased: bool) -> int:
        return trace.graph.linear(node, features, biased, name)

    return trace.tensor(trace.layer(make, weight, bias), x.dtype)


@rule("matmul", "mm", "bmm", "mv", "dot", "inner_matmul")
def matmul(trace: Trace, input: Tensor, other: Tensor) -> Tensor:
    """Add a product; with a parameter on the right it is a linear layer."""
    x, y = input, other
    if not x.dim() or not y.dim():
        raise trace.fail("matmul needs at least one axis of both operands")
    reads, depth = x.shape[-1], y.shape[-2 if y.dim() > 1 else 0]
    if reads != depth:
        raise trace.fail(
            f"the product of shapes {list(x.shape)} and {list(y.shape)} needs as many columns of "
            "the first as rows of the second"
        )
    if not x.numel() or not y.numel():
        return NotImplemented
    if y.dim() == 2 and trace.key(y) is not None and not isinstance(x, torch.nn.Parameter):  # noqa: PLR2004
        return _linear(trace, x, y.shape[1], y, None)
    a, b = trace.node(x), trace.node(y)
    if x.dim() == 1:
        a = trace.graph.view(a, (1, *x.shape), trace.name("view", True))
    if y.dim() == 1:
        b = trace.graph.view(b, (*y.shape, 1), trace.name("view", True))
    node = trace.graph.matmul(a, b, trace.name("matmul"))
    made = trace.graph.shape(node)
    shape = made[:-2] + (made[-2:-1] if x.dim() > 1 else ()) + (made[-1:] if y.dim() > 1 else ())
    if shape != made:
        node = trace.graph.part(node, shape, trace.name("view", True))
    made_here = torch.empty(shape, dtype=torch.result_type(x, y), device="meta")
    return trace.bind(made_here, node)


@rule("rmatmul")
def _rmatmul(trace: Trace, input: Tensor, other: Tensor) -> Tensor:
    return matmul(trace, other, input)


@rule("addmm", "baddbmm", "addbmm", "addmv")
def _addmm(
    trace: Trace, input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1
) -> Tensor:
    if mat2.dim() == 2 and trace.key(mat2) is not None and trace.key(input) is not None:  # noqa: PLR2004
        if mat1.shape[-1] != mat2.shape[0]:
            raise trace.fail(
                f"the weight takes {mat2.shape[0]} features; the input has shape "
                f"{list(mat1.shape)}"
            )
        return _linear(trace, mat1, mat2.shape[1], mat2, input)
    product = matmul(trace, mat1, mat2)
    if beta == 0:
        return product
    inputs = [trace.node(product), trace.node(input)]
    node = trace.graph.element(inputs, "add", product.shape, trace.name("add"))
    return trace.tensor(node, product.dtype)


def _check_channels(trace: Trace, x: Tensor, *weights: Tensor | None) -> None:
    for weight in weights:
        if weight is not None and (x.dim() < 2 or weight.numel() != x.shape[1]):  # noqa: PLR2004
            raise trace.fail(
                f"the norm is over {weight.numel()} channels; the input has shape {list(x.shape)}"
            )


@rule("batch_norm")
def _batch_norm(
    trace: Trace,
    input: Tensor,
    *given: Any,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    **options: Any,
) -> Any:
    # torch.nn.functional has mean, variance, weight, bias; torch.batch_norm has the last two first.
    keyed = [t for t in given[:4] if isinstance(t, Tensor) and trace.key(t) is not None]
    if keyed:
        weight, bias = keyed[0], (keyed[1] if len(keyed) > 1 else None)
    buffers = [t for t in given[:4] if isinstance(t, Tensor) and trace.key(t) is None]
    if running_mean is None and buffers:
        running_mean = buffers[0]
    _check_channels(trace, input, weight, bias, running_mean, running_var)
    node, name = trace.node(input), trace.name("batch_norm")

    def make(biased: bool) -> int:
        return trace.graph.batch_norm(node, name)

    if weight is None:
        # Without scale and shift it reads as much, and has no parameters.
        constant = trace.graph.constant((2, input.shape[1]), False, trace.name("constant", True))
        made = make(True)
        trace.graph.tie(made, constant)
    else:
        made = trace.layer(make, weight, bias)
    return trace.tensor(made, input.dtype)


def _norm(
    trace: Trace, x: Tensor, kind: str, axes: int, weight: Tensor | None, bias: Tensor | None
) -> Tensor:
    node, name = trace.node(x), trace.name(f"{kind}_norm")

    def make(shift: bool) -> int:
        return trace.graph.norm(node, kind, axes, weight is not None, shift, name)

    return trace.tensor(trace.layer(make, weight, bias), x.dtype)


@rule("layer_norm")
def _layer_norm(
    trace: Trace,
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Any = None,
    eps: float | None = None,
    cudnn_enable: bool = True,
) -> Tensor:
    return _over_last(trace, input, normalized_shape, weight, bias, "layer")


def _over_last(
    trace: Trace, x: Tensor, over: Any, weight: Tensor | None, bias: Tensor | None, kind: str
) -> Tensor:
    sizes = (over,) if isinstance(over, int) else tuple(over)
    if tuple(x.shape[x.dim() - len(sizes) :]) != sizes:
        raise trace.fail(f"the norm is over {list(sizes)}; the input has shape {list(x.shape)}")
    if not x.numel():
        return NotImplemented
    return _norm(trace, x, kind, len(sizes), weight, bias)


@rule("rms_norm")
def _rms_norm(
    trace: Trace,
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    return _over_last(trace, input, normalized_shape, weight, None, "rms")


@rule("group_norm")
def _group_norm(
    trace: Trace,
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    *flags: Any,
    **options: Any,
) -> Tensor:
    _check_channels(trace, input, weight, bias)
    return _norm(trace, input, "group", 1, weight, bias)


@rule("_native_group")
def _native_group_norm(
    trace: Trace, input: Tensor, weight: Tensor | None, bias: Tensor | None, *sizes: Any
) -> Tensor:
    return _norm(trace, input, "group", 1, weight, bias)


@rule("instance_norm")
def _instance_norm(
    trace: Trace,
    input: Tensor,
    *given: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    **options: Any,
) -> Tensor:
    keyed = [t for t in given[:4] if isinstance(t, Tensor) and trace.key(t) is not None]
    if keyed:
        weight, bias = keyed[0], (keyed[1] if len(keyed) > 1 else None)
    _check_channels(trace, input, weight, bias)
    return _norm(trace, input, "instance", 1, weight, bias)


def _with_statistics(whole: str, count: int) -> None:
    """The operators that exported programs have return what a backward needs as well."""

    def make(trace: Trace, input: Tensor, *args: Any, **kwargs: Any) -> Any:
        y = RULES[whole](trace, input, *args, **kwargs)
        empty = [trace.bind(torch.empty(0, device="meta"), EMPTY) for _ in range(count)]
        return (y, *empty)

    rule(*_NATIVE[whole])(make)


_NATIVE = {
    "batch_norm": ["native_batch_norm", "_native_batch_norm_legit_no_training"],
    "layer_norm": ["native_layer_norm"],
    "rms_norm": ["_fused_rms_norm"],
    "_native_group": ["native_group_norm"],
}
for _whole in _NATIVE:
    _with_statistics(_whole, 1 if _whole == "rms_norm" else 2)


def _pool(kind: str, axes: int) -> Rule:
    def make(
        trace: Trace,
        input: Tensor,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        *given: Any,
        dilation: Any = 1,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        return_indices: bool = False,
        divisor_override: Any = None,
    ) -> Any:
        if input.dim() != axes + 2 or return_indices:
            return NotImplemented
        if kind == "max":
            dilation, ceil_mode = (*given, *(dilation, ceil_mode)[len(given) :])[:2]
        elif given:
            ceil_mode = given[0]
            count_include_pad = given[1] if len(given) > 1 else count_include_pad
        kernel = _each(kernel_size, axes)
        step = kernel if stride is None or stride == [] else _each(stride, axes)
        pad, wide = _each(padding, axes), _each(dilation, axes)
        graph, node, name = trace.graph, trace.node(input), trace.name(f"{kind}_pool")
        if axes != 2:  # noqa: PLR2004
            made = graph.pool(node, kind, kernel, step, pad, wide, ceil_mode, name)
        elif kind == "max":
            made = graph.max_pool(node, kernel, step, pad, wide, ceil_mode, name)
        else:
            made = graph.avg_pool(node, kernel, step, pad, ceil_mode, count_include_pad, name)
        return trace.tensor(made, input.dtype)

    return make


for _axes in (1, 2, 3):
    rule(f"max_pool{_axes}d")(_pool("max", _axes))
    rule(f"avg_pool{_axes}d")(_pool("avg", _axes))


def _adaptive_pool(kind: str, axes: int) -> Rule:
    def make(trace: Trace, input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
        if input.dim() != axes + 2 or return_indices:
            return NotImplemented
        sizes = zip(_each(output_size, axes), input.shape[2:], strict=True)
        extent = [own if wanted is None else wanted for wanted, own in sizes]
        name = trace.name("adaptive_pool")
        if kind == "avg" and axes + 2 == _IMAGE and extent == [1, 1]:
            node = trace.graph.global_avg_pool(trace.node(input), name)
        else:
            node = trace.graph.adaptive_pool(trace.node(input), kind, extent, name)
        return trace.tensor(node, input.dtype)

    return make


for _axes in (1, 2, 3):
    rule(f"adaptive_max_pool{_axes}d")(_adaptive_pool("max", _axes))
    rule(f"adaptive_avg_pool{_axes}d")(_adaptive_pool("avg", _axes))


@rule("max_pool1d_with_indices", "max_pool2d_with_indices", "max_pool3d_with_indices")
def _max_pool_with_indices(trace: Trace, input: Tensor, *args: Any, **kwargs: Any) -> Any:
    kwargs.pop("return_indices", None)
    values = _pool("max", input.dim() - 2)(trace, input, *args, **kwargs)
    node = trace.graph.part(trace.node(values), values.shape, trace.name("indices", True))
    return values, trace.tensor(node, torch.int64)
