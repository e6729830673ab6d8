"""What each ONNX operator is in a graph.

A handler gets the network and a node whose first input is a tensor of the graph, and returns the
tensor that the node makes: None where this use of the operator has no counterpart, which the
caller then lists as unknown. Attributes and their defaults: https://onnx.ai/onnx/operators.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from onnx import NodeProto, TensorProto, numpy_helper

if TYPE_CHECKING:
    from alphaflops.frontends.onnx_network import Network

Handler: TypeAlias = "Callable[[Network, NodeProto], int | None]"
_IMAGE_AXES = 4
_LARGEST = 2**31  # an attribute beyond it is no size of a window


def _ints(net: Network, node: NodeProto, name: str, default: Sequence[int]) -> list[int]:
    """Return an attribute of as many integers as its default has."""
    for attribute in node.attribute:
        if attribute.name == name:
            values = list(attribute.ints)
            if len(values) != len(default) or max(map(abs, values)) >= _LARGEST:
                raise net.fail(node, f"{name} is {values[:8]}; {len(default)} sizes are needed")
            return values
    return list(default)


def _int(node: NodeProto, name: str, default: int) -> int:
    return next((int(a.i) for a in node.attribute if a.name == name), default)


def _text(node: NodeProto, name: str, default: str) -> str:
    return next((a.s.decode("utf-8", "replace") for a in node.attribute if a.name == name), default)


def _has_input(node: NodeProto, i: int) -> bool:
    return len(node.input) > i and bool(node.input[i])


def _scalar(net: Network, node: NodeProto, name: str, i: int) -> float | None:
    """Return a bound that is an attribute or, in later opsets, input `i`; NaN where not known."""
    for attribute in node.attribute:
        if attribute.name == name:
            return float(attribute.f)
    if not _has_input(node, i):
        return None
    values = _elements(net.constant(node.input[i]))
    return values[0] if values and len(values) == 1 else float("nan")


def _elements(tensor: TensorProto | None) -> list[float] | None:
    if tensor is None or tensor.data_location == TensorProto.EXTERNAL:
        return None
    try:
        return [float(x) for x in numpy_helper.to_array(tensor).reshape(-1)]
    except (ValueError, TypeError, OSError, KeyError):
        return None


def _padding(
    net: Network, node: NodeProto, kernel: list[int], stride: list[int], dilation: list[int]
) -> tuple[int, int, int, int]:
    """Return top, bottom, left, right."""
    auto = _text(node, "auto_pad", "NOTSET")
    if auto in ("NOTSET", ""):
        top, left, bottom, right = _ints(net, node, "pads", [0, 0, 0, 0])
        return top, bottom, left, right
    if auto == "VALID":
        return 0, 0, 0, 0
    if auto not in ("SAME_UPPER", "SAME_LOWER"):
        raise net.fail(node, f"auto_pad is '{auto}'; NOTSET, VALID or SAME_* is right")
    if min(stride) < 1:
        raise net.fail(node, f"strides are {stride}; they must be at least 1")
    pads: list[int] = []
    for axis, size in enumerate(net.graph.shape(net.tensors[node.input[0]])[2:]):
        # As many outputs as ceil(size / stride); the odd element goes after (UPPER) or before.
        reach = (kernel[axis] - 1) * dilation[axis] + 1
        total = max((-(-size // stride[axis]) - 1) * stride[axis] + reach - size, 0)
        less, more = total // 2, total - total // 2
        pads += [less, more] if auto == "SAME_UPPER" else [more, less]
    return pads[0], pads[1], pads[2], pads[3]


def _is_image(net: Network, x: int) -> bool:
    return len(net.graph.shape(x)) == _IMAGE_AXES


def _conv(net: Network, node: NodeProto) -> int | None:
    x = net.tensors[node.input[0]]
    if not _has_input(node, 1) or not net.is_constant(node.input[1]) or not _is_image(net, x):
        return None
    weight = net.shape(node.input[1])
    if len(weight) != _IMAGE_AXES:
        raise net.fail(node, f"the weight has shape {list(weight)}; four axes are needed")
    c_out, c_in, *kernel = weight
    groups = _int(node, "group", 1)
    channels = net.graph.shape(x)[1]
    if c_in * groups != channels:
        raise net.fail(
            node, f"the weight takes {c_in} channels in {groups} groups; the input has {channels}"
        )
    kernel = _ints(net, node, "kernel_shape", kernel)
    stride = _ints(net, node, "strides", [1, 1])
    dilation = _ints(net, node, "dilations", [1, 1])
    bias = _has_input(node, 2) or net.fold_bias(node.output[0], [(c_out, 1, 1), (1, c_out, 1, 1)])
    padding = _padding(net, node, kernel, stride, dilation)
    return net.graph.conv2d(
        x, c_out, kernel, stride, padding, dilation, groups, bias, net.name_of(node)
    )


def _linear(net: Network, node: NodeProto, inputs: int, outputs: int, bias: bool) -> int:
    x = net.tensors[node.input[0]]
    shape = net.graph.shape(x)
    if not shape or shape[-1] != inputs:
        raise net.fail(node, f"the weight takes {inputs} features; the input is {list(shape)}")
    return net.graph.linear(x, outputs, bias, net.name_of(node))


def _gemm(net: Network, node: NodeProto) -> int | None:
    if not _has_input(node, 1) or not net.is_constant(node.input[1]) or _int(node, "transA", 0):
        return None
    weight = net.shape(node.input[1])
    if len(weight) != 2:  # noqa: PLR2004
        raise net.fail(node, f"the weight has shape {list(weight)}; two axes are needed")
    inputs, outputs = reversed(weight) if _int(node, "transB", 0) else weight
    shapes = [(outputs,), (1, outputs)]
    bias = _has_input(node, 2)
    if bias and (not net.is_constant(node.input[2]) or net.shape(node.input[2]) not in shapes):
        return None
    return _linear(net, node, inputs, outputs, bias or net.fold_bias(node.output[0], shapes))


def _matmul(net: Network, node: NodeProto) -> int | None:
    if not _has_input(node, 1) or not net.is_constant(node.input[1]):
        return None
    weight = net.shape(node.input[1])
    if len(weight) != 2:  # noqa: PLR2004
        return None
    axes = len(net.graph.shape(net.tensors[node.input[0]]))
    shapes = [(1,) * ones + (weight[1],) for ones in range(max(axes, 1))]
    return _linear(net, node, *weight, net.fold_bias(node.output[0], shapes))


def _batch_norm(net: Network, node: NodeProto) -> int | None:
    return net.graph.batch_norm(net.tensors[node.input[0]], net.name_of(node))


def _activation(function: str) -> Handler:
    def handle(net: Network, node: NodeProto) -> int | None:
        return net.graph.activation(net.tensors[node.input[0]], function, net.name_of(node))

    return handle


def _clip(net: Network, node: NodeProto) -> int | None:
    low, high = _scalar(net, node, "min", 1), _scalar(net, node, "max", 2)
    if low != 0 or high not in (6, None, float("inf")):
        return None
    return _activation("relu6" if high == 6 else "relu")(net, node)  # noqa: PLR2004


def _gelu(net: Network, node: NodeProto) -> int | None:
    exact = _text(node, "approximate", "none") == "none"
    return _activation("gelu")(net, node) if exact else None


def _pool(net: Network, node: NodeProto) -> int | None:
    x = net.tensors[node.input[0]]
    if not _is_image(net, x):
        return None
    kernel = _ints(net, node, "kernel_shape", [0, 0])
    stride = _ints(net, node, "strides", [1, 1])
    dilation = _ints(net, node, "dilations", [1, 1])
    padding = _padding(net, node, kernel, stride, dilation)
    ceil = bool(_int(node, "ceil_mode", 0))
    name = net.name_of(node)
    if node.op_type == "MaxPool":
        return net.graph.max_pool(x, kernel, stride, padding, dilation, ceil, name)
    if dilation != [1, 1]:
        return None
    with_pad = bool(_int(node, "count_include_pad", 0))
    return net.graph.avg_pool(x, kernel, stride, padding, ceil, with_pad, name)


def _global_pool(net: Network, node: NodeProto) -> int | None:
    x = net.tensors[node.input[0]]
    return net.graph.global_avg_pool(x, net.name_of(node)) if _is_image(net, x) else None


def _reduce_mean(net: Network, node: NodeProto) -> int | None:
    x = net.tensors[node.input[0]]
    given = next((list(a.ints) for a in node.attribute if a.name == "axes"), None)
    axes = given or (_elements(net.constant(node.input[1])) if _has_input(node, 1) else None)
    if not _is_image(net, x) or not axes or sorted(a % _IMAGE_AXES for a in axes) != [2, 3]:
        return None
    pooled = net.graph.global_avg_pool(x, net.name_of(node))
    keeps = _int(node, "keepdims", 1)
    return pooled if keeps else net.graph.flatten(pooled, f"{net.name_of(node)}.flatten")


def _operands(net: Network, node: NodeProto) -> list[int] | None:
    """Return the inputs, where all are tensors of the graph."""
    if not all(name in net.tensors for name in node.input):
        return None
    return [net.tensors[name] for name in node.input]


def _add(net: Network, node: NodeProto) -> int | None:
    x = _operands(net, node)
    if x is None or len(x) != 2 or net.graph.shape(x[0]) != net.graph.shape(x[1]):  # noqa: PLR2004
        return None
    return net.graph.add(x[0], x[1], net.name_of(node))


def _mul(net: Network, node: NodeProto) -> int | None:
    x = _operands(net, node)
    if x is None or len(x) != 2:  # noqa: PLR2004
        return None
    for a, b in (x, x[::-1]):
        image, gate = net.graph.shape(a), net.graph.shape(b)
        if image == gate or (len(image) == _IMAGE_AXES and gate == (*image[:2], 1, 1)):
            return net.graph.mul(a, b, net.name_of(node))
    return None


def _concat(net: Network, node: NodeProto) -> int | None:
    x = _operands(net, node)
    axes = len(net.graph.shape(net.tensors[node.input[0]]))
    if x is None or _int(node, "axis", 0) not in (1, 1 - axes):
        return None
    return net.graph.concat(x, net.name_of(node))


def _softmax(net: Network, node: NodeProto) -> int | None:
    return net.graph.softmax(net.tensors[node.input[0]], net.name_of(node))


def _view(net: Network, node: NodeProto) -> int | None:
    x = net.tensors[node.input[0]]
    shape = net.shape(node.output[0])
    if shape == net.graph.shape(x):
        return x
    return net.graph.view(x, shape, net.name_of(node))


def _same(net: Network, node: NodeProto) -> int | None:
    return net.tensors[node.input[0]]


HANDLERS: dict[str, Handler] = {
    "Add": _add,
    "AveragePool": _pool,
    "BatchNormalization": _batch_norm,
    "Cast": _same,
    "Clip": _clip,
    "Concat": _concat,
    "Conv": _conv,
    "Dropout": _same,
    "Flatten": _view,
    "Gelu": _gelu,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_pool,
    "HardSigmoid": _activation("hardsigmoid"),
    "HardSwish": _activation("hardswish"),
    "Identity": _same,
    "MatMul": _matmul,
    "MaxPool": _pool,
    "Mul": _mul,
    "ReduceMean": _reduce_mean,
    "Relu": _activation("relu"),
    "Reshape": _view,
    "Sigmoid": _activation("sigmoid"),
    "Softmax": _softmax,
    "Squeeze": _view,
    "Sum": _add,
    "Swish": _activation("silu"),
    "Tanh": _activation("tanh"),
    "Unsqueeze": _view,
}
