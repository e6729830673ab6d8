"""How tensors lie in memory, and the copies that PyTorch makes of those that lie otherwise.

A permuted tensor is a view and free. Operators that need their elements in order copy it first, in
the same call: those copies are nodes here, as if the module had called `contiguous`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from alphaflops.frontends.torch_tensors import EMPTY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alphaflops.frontends.torch_trace import Trace

__all__ = ["as_matrix", "copied", "format_of", "in_order", "like_first", "rearranges"]

_IMAGE = 4  # axes
_FROM_WITHIN = (1, 3, 2, 0)  # axes of an image that has its channels last
_CHANNELS_LAST = (0, 2, 3, 1)


def format_of(x: torch.Tensor) -> torch.memory_format:
    """Return channels_last where PyTorch takes an image to be so by its strides.

    Its rule is that of `suggest_memory_format`: each axis steps at least over the one within it,
    where axes of a single element count too.
    """
    if x.dim() != _IMAGE or x.is_contiguous() or not x.numel() or x.stride(1) == 0:
        return torch.contiguous_format
    least = 0
    for axis in _FROM_WITHIN:
        stride = x.stride(axis)
        if stride < least or (axis == 0 and least == x.stride(1)):
            return torch.contiguous_format
        least = stride * max(1, x.shape[axis])
    return torch.channels_last


def in_order(
    trace: Trace, x: torch.Tensor, memory_format: torch.memory_format = torch.contiguous_format
) -> int:
    """Return the node of a tensor, or of a copy that lies as `memory_format` says."""
    node = trace.node(x)
    if node == EMPTY or x.is_contiguous(memory_format=memory_format):
        return node
    return _copied(trace, x, memory_format)


def as_matrix(trace: Trace, x: torch.Tensor) -> int:
    """Return the node of an operand of a product, or of its copy where no axis lies within.

    What torch copies to put the matrices of a batch one behind the other is left out: at a batch of
    1 it does not.
    """
    node = trace.node(x)
    if node == EMPTY or x.dim() < 2 or 1 in (*x.stride()[-2:], *x.shape[-2:]):
        return node
    return _copied(trace, x)


def like_first(operands: Sequence[torch.Tensor], shape: Sequence[int]) -> torch.Tensor | None:
    """Return the operand whose order of axes an elementwise result has; None for the usual."""
    for x in operands:
        if tuple(x.shape) == tuple(shape):
            return None if x.is_contiguous() else x
    return None


def _copied(
    trace: Trace, x: torch.Tensor, memory_format: torch.memory_format = torch.contiguous_format
) -> int:
    at = trace.name("contiguous", True)
    return copied(trace, x, tuple(x.shape), at, is_last=memory_format == torch.channels_last)


def copied(
    trace: Trace, x: torch.Tensor, shape: tuple[int, ...], name: str, *, is_last: bool = False
) -> int:
    """Copy a tensor into the usual order of its axes, or with the second last; view it as `shape`.

    What is written has its axes as they then lie.
    """
    written = x.permute(_CHANNELS_LAST) if is_last else x
    made = tuple(written.shape)
    node = trace.graph.element([trace.node(x)], "contiguous", made, name, order_of(written))
    return node if made == shape else trace.graph.view(node, shape)


def rearranges(operands: Sequence[torch.Tensor], result: object) -> bool:
    """Tell whether all elements of one tensor are copied into the usual order from another."""
    if len(operands) != 1 or not isinstance(result, torch.Tensor):
        return False
    (x,) = operands
    return x.numel() == result.numel() and result.is_contiguous() and bool(order_of(x))


def order_of(x: torch.Tensor) -> list[int]:
    """Return the axes of a tensor as they lie in memory, the innermost last.

    Those of a single element come first: a batch of one may become one of several. None where they
    lie in the usual order, or where elements are repeated (`expand`).
    """
    strides, sizes = x.stride(), x.shape
    order = sorted(range(x.dim()), key=lambda axis: (sizes[axis] > 1, -strides[axis], axis))
    moved = [axis for axis in order if sizes[axis] > 1]
    repeats = any(strides[axis] == 0 for axis in moved)
    return [] if repeats or moved == sorted(moved) else order
