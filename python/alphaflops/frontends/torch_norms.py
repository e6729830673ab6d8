"""Rules for norms.

Arguments are named as torch names them. https://pytorch.org/docs/stable/nn.functional.html
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from alphaflops.frontends.torch_memory import format_of, in_order
from alphaflops.frontends.torch_trace import EMPTY, RULES, Trace, rule

Tensor = torch.Tensor


def _check_channels(trace: Trace, x: Tensor, *weights: Tensor | None) -> None:
    for weight in weights:
        if weight is not None and (x.dim() < 2 or weight.numel() != x.shape[1]):
            raise trace.fail(
                f"the norm is over {weight.numel()} channels; the input has shape {list(x.shape)}"
            )


def _scale_and_shift(
    trace: Trace, given: Sequence[Any], weight: Tensor | None, bias: Tensor | None
) -> tuple[Tensor | None, Tensor | None]:
    """Return the parameters among the first four arguments, else those given by name.

    torch.nn.functional has mean, variance, weight, bias; torch.batch_norm has the last two first.
    """
    keyed = [t for t in given[:4] if isinstance(t, Tensor) and trace.key(t) is not None]
    return (keyed[0], keyed[1] if len(keyed) > 1 else None) if keyed else (weight, bias)


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
    weight, bias = _scale_and_shift(trace, given, weight, bias)
    buffers = [t for t in given[:4] if isinstance(t, Tensor) and trace.key(t) is None]
    if running_mean is None and buffers:
        running_mean = buffers[0]
    _check_channels(trace, input, weight, bias, running_mean, running_var)
    if running_mean is None:  # as weights are standardized: by statistics of their own
        return _norm(trace, input, "instance", 1, weight, bias)
    lies = format_of(input)
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
    return trace.tensor(made, input.dtype, memory_format=lies)


def _norm(
    trace: Trace, x: Tensor, kind: str, axes: int, weight: Tensor | None, bias: Tensor | None
) -> Any:
    lies = format_of(x) if kind == "group" else torch.contiguous_format
    node, name = in_order(trace, x, lies), trace.name(f"{kind}_norm")

    def make(shift: bool) -> int:
        return trace.graph.norm(node, kind, axes, weight is not None, shift, name)

    return trace.tensor(trace.layer(make, weight, bias), x.dtype, memory_format=lies)


@rule("layer_norm")
def _layer_norm(
    trace: Trace,
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Any = None,
    eps: float | None = None,
    cudnn_enable: bool = True,
) -> Any:
    return _over_last(trace, input, normalized_shape, weight, bias, "layer")


def _over_last(
    trace: Trace, x: Tensor, over: Any, weight: Tensor | None, bias: Tensor | None, kind: str
) -> Any:
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
) -> Any:
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
) -> Any:
    _check_channels(trace, input, weight, bias)
    return _norm(trace, input, "group", 1, weight, bias)


@rule("_native_group")
def _native_group_norm(
    trace: Trace, input: Tensor, weight: Tensor | None, bias: Tensor | None, *sizes: Any
) -> Any:
    return _norm(trace, input, "group", 1, weight, bias)


@rule("instance_norm")
def _instance_norm(
    trace: Trace,
    input: Tensor,
    *given: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    **options: Any,
) -> Any:
    weight, bias = _scale_and_shift(trace, given, weight, bias)
    _check_channels(trace, input, weight, bias)
    return _norm(trace, input, "instance", 1, weight, bias)


def _with_statistics(whole: str, count: int) -> None:
    """Let what exported programs have return what a backward needs as well."""

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


@rule("_weight_norm", "_weight_norm_interface")
def _weight_norm(trace: Trace, v: Tensor, g: Tensor, dim: int = 0) -> Any:
    """Scale a weight: its norm over all axes but one, and one factor an element."""
    graph, nodes = trace.graph, [trace.node(v), trace.node(g)]
    norms = graph.element(nodes[:1], "norm", g.shape, trace.name("norm"))
    factors = graph.element([nodes[1], norms], "div", g.shape, trace.name("div"))
    node = graph.element([nodes[0], factors], "mul", v.shape, trace.name("mul"))
    return trace.tensor(node, v.dtype)
