"""Operators of a graph as PyTorch runs them eagerly: a callable a node."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any

from alphaflops._core import Graph
from alphaflops.errors import MissingExtraError, UnsupportedError

__all__ = ["CHANNELS_LAST", "LAYOUTS", "Operator", "import_torch", "operator_of", "tensor_of"]

#: PyTorch's own tensors and modules are Any here: it is optional, also where types are checked.
Operator = Callable[..., Any]

CHANNELS_LAST = "channels_last"
LAYOUTS = ("nchw", CHANNELS_LAST)
_IMAGE = 4  # axes

_ACTIVATIONS = {
    "relu": "ReLU",
    "relu6": "ReLU6",
    "sigmoid": "Sigmoid",
    "silu": "SiLU",
    "hardsigmoid": "Hardsigmoid",
    "hardswish": "Hardswish",
    "gelu": "GELU",
    "tanh": "Tanh",
}
_IN_PLACE = {"relu", "relu6", "silu", "hardsigmoid", "hardswish"}


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
    torch = import_torch()
    nn = torch.nn
    op, name = graph.node_op(node), graph.node_name(node)
    into, out = graph.shape(graph.node_inputs(node)[0]), graph.shape(node)
    attributes = graph.node_attributes(node)
    if op in _ACTIVATIONS:
        arguments = {"inplace": True} if op in _IN_PLACE and is_only_reader else {}
        return _eval(getattr(nn, _ACTIVATIONS[op])(**arguments))
    if op == "conv2d":
        groups, bias = attributes.pop("groups"), attributes.pop("bias")
        before, window = _padding(attributes)
        conv = nn.utils.skip_init(
            nn.Conv2d, into[1], out[1], kernel_size=window.pop("kernel"), **window, groups=groups,
            bias=bias,
        )  # fmt: skip
        return _eval(_after(nn.ZeroPad2d(before) if before else None, conv))
    if op in ("max_pool", "avg_pool"):
        return _eval(_pool(op, name, attributes))
    if op == "linear":
        return _eval(nn.utils.skip_init(nn.Linear, into[-1], out[-1], bias=attributes["bias"]))
    if op == "batch_norm":
        return _eval((nn.BatchNorm2d if len(into) == _IMAGE else nn.BatchNorm1d)(into[1]))
    if op == "global_avg_pool":
        return _eval(nn.AdaptiveAvgPool2d(1))
    if op == "softmax":
        return _eval(nn.Softmax(1 if len(into) == _IMAGE else -1))
    if op == "concat":
        return lambda *tensors: torch.cat(tensors, 1)
    if op in ("flatten", "view"):
        return lambda tensor: tensor.reshape(out)
    functions: dict[str, Operator] = {"add": torch.add, "mul": torch.mul}
    if op in functions:
        return functions[op]
    raise UnsupportedError(f"{name}: operator '{op}' is not known to the torch backend")


def _eval(module: Any) -> Operator:
    operator: Operator = module.eval()
    return operator


def _after(first: Any | None, then: Any) -> Any:
    return then if first is None else import_torch().nn.Sequential(first, then)


def _padding(attributes: dict[str, Any]) -> tuple[tuple[int, ...], dict[str, Any]]:
    """Split a window into padding to be added beforehand (empty: none) and what PyTorch takes."""
    top, bottom, left, right = attributes["padding"]
    if (top, left) == (bottom, right):
        return (), {**attributes, "padding": (top, left)}
    return (left, right, top, bottom), {**attributes, "padding": 0}


def _pool(op: str, name: str, attributes: dict[str, Any]) -> Any:
    nn = import_torch().nn
    counts_padding = attributes.pop("count_include_pad")
    before, window = _padding(attributes)
    kernel = window.pop("kernel")
    if op == "max_pool":
        first = nn.ConstantPad2d(before, -math.inf) if before else None
        return _after(first, nn.MaxPool2d(kernel, **window))
    if before and not counts_padding:
        raise UnsupportedError(
            f"{name}: an average pool whose padding is uneven and not counted is not known to the "
            "torch backend"
        )
    window.pop("dilation")
    pool = nn.AvgPool2d(kernel, **window, count_include_pad=counts_padding)
    return _after(nn.ZeroPad2d(before) if before else None, pool)
