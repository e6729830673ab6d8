"""Operators of a graph as PyTorch runs them eagerly: a callable a node."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from functools import partial
from typing import Any

from alphaflops._core import Graph
from alphaflops.errors import MissingExtraError, UnsupportedError
from alphaflops.measuring.torch_recurrences import recurrence
from alphaflops.measuring.torch_views import part_of, view_of

__all__ = [
    "CHANNELS_LAST",
    "IN_PLACE",
    "LAYOUTS",
    "MATRIX_OPS",
    "NCHW",
    "Operator",
    "import_torch",
    "lay_out",
    "operator_of",
    "tensor_of",
]

#: PyTorch's own tensors and modules are Any here: it is optional, also where types are checked.
Operator = Callable[..., Any]

CHANNELS_LAST = "channels_last"
NCHW = "nchw"
LAYOUTS = (NCHW, CHANNELS_LAST)
_IMAGE = 4  # axes
_GROUPS = 32  # of a group norm, which a graph does not say
#: Whose tensors of four axes are no images.
MATRIX_OPS = {"matmul", "attention"}

_ACTIVATIONS = {
    "relu": "ReLU",
    "relu6": "ReLU6",
    "sigmoid": "Sigmoid",
    "silu": "SiLU",
    "hardsigmoid": "Hardsigmoid",
    "hardswish": "Hardswish",
    "gelu": "GELU",
    "tanh": "Tanh",
    "leaky_relu": "LeakyReLU",
    "elu": "ELU",
    "mish": "Mish",
    "softplus": "Softplus",
}
#: Which of them can write over their input.
IN_PLACE = {"relu", "relu6", "silu", "hardsigmoid", "hardswish", "leaky_relu", "elu", "mish"}


def import_torch() -> Any:
    """Return the module ``torch``.

    Raises
    ------
    MissingExtraError
        PyTorch is not installed.
    """
    try:
        return importlib.import_module("torch")
    except ImportError as error:
        raise MissingExtraError(
            'the torch backend needs PyTorch: pip install "alphaflops[torch]"'
        ) from error


def tensor_of(flat: Any, shape: tuple[int, ...], layout: str) -> Any:
    """View the first elements of `flat` as a tensor; images are laid out as `layout` says."""
    used = flat[: math.prod(shape)]
    if len(shape) != _IMAGE or layout != CHANNELS_LAST:
        return used.view(shape)
    batch, channels, height, width = shape
    return used.view(batch, height, width, channels).permute(0, 3, 1, 2)


def lay_out(module: Any, layout: str) -> None:
    """Lay out the weights of a module: as images are, where they have as many axes."""
    order = import_torch().channels_last
    if layout == CHANNELS_LAST:
        module._apply(lambda t: t.contiguous(memory_format=order) if t.dim() == _IMAGE else t)


def operator_of(graph: Graph, node: int, *, is_only_reader: bool) -> Operator:
    """Make the callable that PyTorch users would write for a node; weights are not filled.

    Parameters
    ----------
    is_only_reader
        Nothing else reads the node's input: an activation then works in place, as those of
        published networks do.

    Raises
    ------
    UnsupportedError
        An operator without a counterpart; the message names the layer.
    """
    op = graph.node_op(node)
    if op in _ACTIVATIONS:
        in_place = {"inplace": True} if op in IN_PLACE and is_only_reader else {}
        return _ready(getattr(import_torch().nn, _ACTIVATIONS[op])(**in_place))
    if op not in _MAKERS:
        raise UnsupportedError(
            f"{graph.node_name(node)}: operator '{op}' is not known to the torch backend"
        )
    return _ready(_MAKERS[op](graph, node))


def _ready(made: Any) -> Operator:
    ready: Operator = made.eval() if hasattr(made, "eval") else made
    return ready


def _ends(graph: Graph, node: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return graph.shape(graph.node_inputs(node)[0]), graph.shape(node)


def _conv(graph: Graph, node: int) -> Any:
    nn = import_torch().nn
    into, out = _ends(graph, node)
    attributes = graph.node_attributes(node)
    before, attributes = _split_padding(attributes)
    kernel, _ = attributes.pop("kernel"), attributes.pop("c_out")
    conv = nn.utils.skip_init(nn.Conv2d, into[1], out[1], kernel_size=kernel, **attributes)
    return nn.Sequential(nn.ZeroPad2d(before), conv) if before else conv


def _conv3d(graph: Graph, node: int) -> Any:
    nn = import_torch().nn
    into, out = _ends(graph, node)
    attributes = graph.node_attributes(node)
    before, after = attributes["padding"][::2], attributes["padding"][1::2]
    if before != after:
        raise UnsupportedError(
            f"{graph.node_name(node)}: a convolution of volumes with uneven padding is not known "
            "to the torch backend"
        )
    named = {name: attributes[name] for name in ("stride", "dilation", "groups", "bias")}
    return nn.utils.skip_init(
        nn.Conv3d, into[1], out[1], kernel_size=attributes["kernel"], padding=before, **named
    )


_TRANSPOSED = (
    "kernel_size", "stride", "padding", "output_padding", "groups", "bias", "dilation",
)  # fmt: skip


def _conv_transpose(graph: Graph, node: int) -> Any:
    nn = import_torch().nn
    into, out = _ends(graph, node)
    attributes = graph.node_attributes(node)
    top, bottom, left, right = attributes["padding"]
    if (top, left) != (bottom, right):
        raise UnsupportedError(
            f"{graph.node_name(node)}: a transposed convolution with uneven padding is not known "
            "to the torch backend"
        )
    attributes |= {"padding": (top, left), "kernel_size": attributes["kernel"]}
    named = {name: attributes[name] for name in _TRANSPOSED}
    return nn.utils.skip_init(nn.ConvTranspose2d, into[1], out[1], **named)


def _linear(graph: Graph, node: int) -> Any:
    nn = import_torch().nn
    into, out = _ends(graph, node)
    has_bias = graph.node_attributes(node)["bias"]
    return nn.utils.skip_init(nn.Linear, into[-1], out[-1], bias=has_bias)


def _batch_norm(graph: Graph, node: int) -> Any:
    nn = import_torch().nn
    into, _ = _ends(graph, node)
    return (nn.BatchNorm2d if len(into) == _IMAGE else nn.BatchNorm1d)(into[1])


def _check_axes(graph: Graph, node: int) -> None:
    axes = len(graph.shape(node)) - 2
    if axes != _IMAGE - 2:
        raise UnsupportedError(
            f"{graph.node_name(node)}: a pool over {axes} axes is not known to the torch backend, "
            "which has those over two"
        )


def _max_pool(graph: Graph, node: int) -> Any:
    nn = import_torch().nn
    _check_axes(graph, node)
    attributes = graph.node_attributes(node)
    before, attributes = _split_padding(attributes)
    pool = nn.MaxPool2d(attributes.pop("kernel"), **attributes)
    return nn.Sequential(nn.ConstantPad2d(before, -math.inf), pool) if before else pool


def _avg_pool(graph: Graph, node: int) -> Any:
    nn = import_torch().nn
    _check_axes(graph, node)
    attributes = graph.node_attributes(node)
    before, attributes = _split_padding(attributes)
    if before and not attributes["count_include_pad"]:
        raise UnsupportedError(
            f"{graph.node_name(node)}: an average pool whose padding is uneven and not counted is "
            "not known to the torch backend"
        )
    if attributes.pop("dilation") != (1, 1):
        raise UnsupportedError(
            f"{graph.node_name(node)}: an average pool with dilation is not known to the torch "
            "backend; only a maximum pool has one there"
        )
    pool = nn.AvgPool2d(attributes.pop("kernel"), **attributes)
    return nn.Sequential(nn.ZeroPad2d(before), pool) if before else pool


def _softmax(graph: Graph, node: int) -> Any:
    return import_torch().nn.Softmax(1 if len(graph.shape(node)) == _IMAGE else -1)


def _binary(graph: Graph, node: int) -> Any:
    operator = getattr(import_torch(), graph.node_op(node))
    has_other = len(graph.node_inputs(node)) > 1
    return operator if has_other else partial(operator, other=0.5)


def _concat(graph: Graph, node: int) -> Any:
    cat, axis = import_torch().cat, graph.node_attributes(node)["axis"]
    return lambda *tensors: cat(tensors, axis)


def _layer_norm(graph: Graph, node: int) -> Any:
    axes = graph.node_attributes(node)["axes"]
    return import_torch().nn.LayerNorm(graph.shape(node)[-axes:])


def _rms_norm(graph: Graph, node: int) -> Any:
    axes = graph.node_attributes(node)["axes"]
    return import_torch().nn.RMSNorm(graph.shape(node)[-axes:])


def _group_norm(graph: Graph, node: int) -> Any:
    channels = graph.shape(node)[1]
    return import_torch().nn.GroupNorm(math.gcd(channels, _GROUPS), channels)


def _instance_norm(graph: Graph, node: int) -> Any:
    return import_torch().nn.InstanceNorm2d(graph.shape(node)[1], affine=True)


def _interpolate(mode: str) -> Callable[[Graph, int], Any]:
    def make(graph: Graph, node: int) -> Any:
        extent = graph.shape(node)[2:]
        interpolate = import_torch().nn.functional.interpolate
        return lambda tensor: interpolate(tensor, size=extent, mode=mode)

    return make


def _contiguous(graph: Graph, node: int) -> Any:
    """Copy in another order of the axes; where it is not known, so that the second comes last."""
    _, out = _ends(graph, node)
    if order := graph.node_attributes(node).get("order"):
        # Whatever shape views have given it: its elements lie in that order of the axes.
        lies, back = (
            [out[axis] for axis in order],
            [order.index(axis) for axis in range(len(order))],
        )
        return lambda tensor: (
            tensor.reshape(lies).permute(back).clone(memory_format=import_torch().contiguous_format)
        )
    if len(graph.shape(node)) < _IMAGE - 1:
        return import_torch().clone
    return lambda tensor: (
        tensor.movedim(1, -1)
        .clone(memory_format=import_torch().contiguous_format)
        .view(graph.shape(node))
    )


def _recurrent(graph: Graph, node: int) -> Any:
    into, _ = _ends(graph, node)
    return recurrence(import_torch().nn, into, graph.node_attributes(node))


def _mean(graph: Graph, node: int) -> Any:
    """Take the mean over the axes that are not there behind it."""
    into, out = _ends(graph, node)
    kept = len(into) == len(out)
    axes = [axis for axis in range(len(into)) if kept and into[axis] != out[axis]]
    if not kept:
        axes = list(range(len(out), len(into)))
        if into[: len(out)] != out:
            raise UnsupportedError(
                f"{graph.node_name(node)}: a mean of {list(into)} to {list(out)} is not known to "
                "the torch backend; it takes the last axes, or keeps them"
            )
    return lambda tensor: tensor.mean(axes, keepdim=kept)


def _attention(graph: Graph, node: int) -> Any:
    attend = import_torch().nn.functional.scaled_dot_product_attention
    has_mask = len(graph.node_inputs(node)) > len("qkv")
    if graph.node_attributes(node)["causal"] and not has_mask:
        return partial(attend, is_causal=True)
    return attend


def _embedding(graph: Graph, node: int) -> Any:
    nn, attributes = import_torch().nn, graph.node_attributes(node)
    return nn.utils.skip_init(nn.Embedding, attributes["rows"], attributes["features"])


def _zeros(graph: Graph, node: int) -> Any:
    torch, (into, out) = import_torch(), _ends(graph, node)
    return torch.zeros_like if into == out else lambda tensor: tensor.new_zeros(out)


def _shuffle(graph: Graph, node: int) -> Any:
    """Copy; as fast as the channel shuffle, whose elements go elsewhere."""
    into, out = _ends(graph, node)
    if into != out:
        raise UnsupportedError(
            f"{graph.node_name(node)}: a transpose of {list(into)} to {list(out)} is not known to "
            "the torch backend; it shuffles channels"
        )
    return import_torch().clone


_MAKERS: dict[str, Callable[[Graph, int], Any]] = {
    "conv2d": _conv,
    "conv3d": _conv3d,
    "conv_transpose2d": _conv_transpose,
    "linear": _linear,
    "matmul": lambda graph, node: import_torch().matmul,
    "attention": _attention,
    "embedding": _embedding,
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "group_norm": _group_norm,
    "instance_norm": _instance_norm,
    "gelu_tanh": lambda graph, node: import_torch().nn.GELU(approximate="tanh"),
    "interpolate_nearest": _interpolate("nearest"),
    "interpolate_bilinear": _interpolate("bilinear"),
    "contiguous": _contiguous,
    "rnn": _recurrent,
    "lstm": _recurrent,
    "gru": _recurrent,
    "mean": _mean,
    "batch_norm": _batch_norm,
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
    "global_avg_pool": lambda graph, node: import_torch().nn.AdaptiveAvgPool2d(1),
    "softmax": _softmax,
    "add": _binary,
    "mul": _binary,
    "concat": _concat,
    "fill": _zeros,
    "flatten": view_of,
    "view": view_of,
    "part": part_of,
    "transpose": _shuffle,
}


def _split_padding(attributes: dict[str, Any]) -> tuple[tuple[int, ...], dict[str, Any]]:
    """Split a window into padding to be added beforehand (empty: none) and what PyTorch takes."""
    top, bottom, left, right = attributes["padding"]
    if (top, left) == (bottom, right):
        return (), {**attributes, "padding": (top, left)}
    return (left, right, top, bottom), {**attributes, "padding": (0, 0)}
