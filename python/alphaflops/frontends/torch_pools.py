"""Rules for pools.

Arguments are named as torch names them. https://pytorch.org/docs/stable/nn.functional.html
"""

from __future__ import annotations

from typing import Any

import torch

from alphaflops.frontends.torch_layers import each_axis
from alphaflops.frontends.torch_memory import format_of, in_order
from alphaflops.frontends.torch_trace import Rule, Trace, rule

Tensor = torch.Tensor


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
        kernel = each_axis(kernel_size, axes)
        step = kernel if stride is None or stride == [] else each_axis(stride, axes)
        pad, wide = each_axis(padding, axes), each_axis(dilation, axes)
        if ceil_mode:  # one window may reach beyond the input; it has the taps that are inside
            for i, extent in enumerate(input.shape[2:]):
                inside = extent + 2 * pad[i]
                if wide[i] == 1 and inside < kernel[i] < inside + step[i]:
                    kernel[i] = inside
        lies = format_of(input)
        graph, node = trace.graph, in_order(trace, input, lies)
        name = trace.name(f"{kind}_pool")
        if axes != 2:
            made = graph.pool(node, kind, kernel, step, pad, wide, ceil_mode, name)
        elif kind == "max":
            made = graph.max_pool(node, kernel, step, pad, wide, ceil_mode, name)
        else:
            padded = count_include_pad
            made = graph.avg_pool(node, kernel, step, pad, ceil_mode, padded, name=name)
        return trace.tensor(made, input.dtype, memory_format=lies)

    return make


for _axes in (1, 2, 3):
    rule(f"max_pool{_axes}d")(_pool("max", _axes))
    rule(f"avg_pool{_axes}d")(_pool("avg", _axes))


def _adaptive_pool(kind: str, axes: int) -> Rule:
    def make(trace: Trace, input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
        if input.dim() != axes + 2 or return_indices:
            return NotImplemented
        sizes = zip(each_axis(output_size, axes), input.shape[2:], strict=True)
        extent = [own if wanted is None else wanted for wanted, own in sizes]
        name = trace.name("adaptive_pool")
        if kind == "avg" and axes == 2 and extent == [1, 1]:
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
