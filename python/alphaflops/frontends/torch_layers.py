"""Rules for layers with weights: whole, with shapes of our own.

Arguments are named as torch names them. https://pytorch.org/docs/stable/nn.functional.html
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from alphaflops.frontends.torch_memory import as_matrix, format_of, in_order
from alphaflops.frontends.torch_trace import Trace, rule

Tensor = torch.Tensor


def each_axis(value: Any, axes: int) -> list[int]:
    """Return one size an axis."""
    if isinstance(value, int):
        return [value] * axes
    return list(value) * axes if len(value) == 1 else list(value)


def _sides(trace: Trace, padding: Any, kernel: Sequence[int], dilation: Sequence[int]) -> list[int]:
    """Return padding before and after every axis."""
    if padding == "valid":
        return [0] * (2 * len(kernel))
    if padding == "same":
        totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return [side for total in totals for side in (total // 2, total - total // 2)]
    return [side for size in each_axis(padding, len(kernel)) for side in (size, size)]


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
) -> Any:
    axes = weight.dim() - 2
    if x.dim() == axes + 1:  # without a batch
        batched = x.unsqueeze(0)
        trace.bind(
            batched, trace.graph.view(trace.node(x), batched.shape, trace.name("view", True))
        )
        y = _convolve(
            trace,
            batched,
            weight,
            bias,
            stride,
            padding,
            dilation,
            groups,
            transposed,
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
    kernel, stride, dilation = shape[2:], each_axis(stride, axes), each_axis(dilation, axes)
    pad, extra = _sides(trace, padding, kernel, dilation), each_axis(output_padding, axes)
    lies = format_of(x)
    if axes == 2 and format_of(weight) == torch.channels_last:
        lies = torch.channels_last
    node, name = in_order(trace, x, lies), trace.name("conv")

    def make(biased: bool) -> int:
        graph = trace.graph
        if axes == 2 and not transposed:
            return graph.conv2d(node, c_out, kernel, stride, pad, dilation, groups, biased, name)
        return graph.conv(
            node, c_out, kernel, stride, pad, dilation, groups, biased, transposed, extra, name
        )

    return trace.tensor(trace.layer(make, weight, bias), x.dtype, memory_format=lies)


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
) -> Any:
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
) -> Any:
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
) -> Any:
    return _convolve(
        trace, input, weight, bias, stride, padding, dilation, groups, transposed, output_padding
    )


@rule("linear")
def linear(trace: Trace, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Any:
    """Add a linear layer whose weight is [out_features, in_features]."""
    if not input.numel():
        return NotImplemented
    if weight.dim() == 1:
        weight = weight.unsqueeze(0)
    if not input.dim() or input.shape[-1] != weight.shape[-1]:
        raise trace.fail(
            f"the weight takes {weight.shape[-1]} features; the input has shape {list(input.shape)}"
        )
    return _linear(trace, input, weight.shape[0], weight, bias)


def _linear(trace: Trace, x: Tensor, features: int, weight: Tensor, bias: Tensor | None) -> Any:
    node, name = as_matrix(trace, x), trace.name("linear")

    def make(biased: bool) -> int:
        return trace.graph.linear(node, features, biased, name)

    return trace.tensor(trace.layer(make, weight, bias), x.dtype)


@rule("bilinear")
def _bilinear(
    trace: Trace, input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None
) -> Any:
    """Add two products, in the order of torch's: the first input's with the weight comes first."""
    features, first, second = weight.shape
    if input1.shape[-1] != first or input2.shape[-1] != second:
        raise trace.fail(
            f"the weight takes {first} and {second} features; the inputs have shapes "
            f"{list(input1.shape)} and {list(input2.shape)}"
        )
    if not input1.numel():
        return NotImplemented
    graph, lead = trace.graph, tuple(input1.shape[:-1])
    x, name = trace.node(input1), trace.name("bilinear")

    def make(biased: bool) -> int:
        return graph.linear(x, features * second, biased, name)

    product = trace.layer(make, weight, None)
    product = graph.view(product, (*lead, features, second), trace.name("view", True))
    column = graph.view(trace.node(input2), (*lead, second, 1), trace.name("view", True))
    product = graph.matmul(product, column, trace.name("matmul"))
    made = trace.tensor(
        graph.view(product, (*lead, features), trace.name("view", True)), input1.dtype
    )
    return made if bias is None else _add_product(trace, bias, made, 1)


@rule("matmul", "mm", "bmm", "mv", "dot", "vdot")
def matmul(trace: Trace, input: Tensor, other: Tensor) -> Any:
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
    if y.dim() == 2 and trace.key(y) is not None and not isinstance(x, torch.nn.Parameter):
        return _linear(trace, x, y.shape[1], y, None)
    a, b = as_matrix(trace, x), as_matrix(trace, y)
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
def _rmatmul(trace: Trace, input: Tensor, other: Tensor) -> Any:
    return matmul(trace, other, input)


@rule("addmm")
def _addmm(
    trace: Trace, input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1
) -> Any:
    if mat2.dim() == 2 and trace.key(mat2) is not None and trace.key(input) is not None:
        if mat1.shape[-1] != mat2.shape[0]:
            raise trace.fail(
                f"the weight takes {mat2.shape[0]} features; the input has shape {list(mat1.shape)}"
            )
        return _linear(trace, mat1, mat2.shape[1], mat2, input)
    return _add_product(trace, input, matmul(trace, mat1, mat2), beta)


@rule("baddbmm")
def _baddbmm(
    trace: Trace, input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1
) -> Any:
    return _add_product(trace, input, matmul(trace, batch1, batch2), beta)


@rule("addbmm")
def _addbmm(
    trace: Trace, input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1
) -> Any:
    """Add up the products of a batch: one product, of what all have beside each other."""
    count, rows, inner = batch1.shape
    beside = (rows, count * inner)
    below = (count * batch2.shape[1], batch2.shape[2])
    a = trace.graph.part(trace.node(batch1), beside, trace.name("part", True))
    b = trace.graph.part(trace.node(batch2), below, trace.name("part", True))
    node = trace.graph.matmul(a, b, trace.name("addbmm"))
    return _add_product(trace, input, trace.tensor(node, batch1.dtype), beta)


@rule("addmv")
def _addmv(
    trace: Trace, input: Tensor, mat: Tensor, vec: Tensor, *, beta: Any = 1, alpha: Any = 1
) -> Any:
    return _add_product(trace, input, matmul(trace, mat, vec), beta)


def _add_product(trace: Trace, input: Tensor, product: Tensor, beta: Any) -> Any:
    if beta == 0:
        return product
    inputs = [trace.node(product), trace.node(input)]
    node = trace.graph.element(inputs, "add", product.shape, trace.name("add"))
    return trace.tensor(node, product.dtype)


@rule("grouped_mm", "_grouped_mm")
def _grouped_mm(
    trace: Trace,
    mat_a: Tensor,
    mat_b: Tensor,
    offs: Tensor | None = None,
    bias: Tensor | None = None,
    out_dtype: torch.dtype | None = None,
) -> Any:
    """Add the products of a mixture of experts: rows of `mat_a`, some for each matrix of `mat_b`.

    How many rows an expert has depends on values, what all take does not. They are shared out
    evenly, to as many experts as there are rows at most.
    """
    if mat_a.dim() == 3 and mat_b.dim() == 3:
        return matmul(trace, mat_a, mat_b)
    if mat_a.dim() != 2 or mat_b.dim() != 3:
        return NotImplemented
    (rows, depth), (experts, _, columns) = mat_a.shape, mat_b.shape
    if mat_b.shape[1] != depth:
        raise trace.fail(
            f"the experts take {mat_b.shape[1]} features; the input has shape {list(mat_a.shape)}"
        )
    if not rows:
        return NotImplemented
    graph, x, weights = trace.graph, trace.node(mat_a), trace.node(mat_b)
    made = []
    share, left = divmod(rows, experts)
    for taking, count in ((share + 1, left), (share, experts - left)):
        if taking and count:
            a = graph.part(x, (count, taking, depth), trace.name("part", True))
            b = graph.part(weights, (count, depth, columns), trace.name("part", True))
            product = graph.matmul(a, b, trace.name("matmul"))
            made.append(graph.view(product, (count * taking, columns), trace.name("view", True)))
    node = made[0] if len(made) == 1 else graph.concat(made, trace.name("cat"), 0)
    return trace.tensor(node, out_dtype or mat_a.dtype)
