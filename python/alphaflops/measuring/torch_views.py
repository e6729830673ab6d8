"""Views and parts as PyTorch makes them: strides change, nothing moves.

A graph has shapes alone. Which axes a view exchanges, and which elements a part takes, follows from
them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations, permutations
from typing import Any

from alphaflops._core import Graph
from alphaflops.errors import UnsupportedError

__all__ = ["VIEWS", "part_of", "view_of"]

#: Operators that hand on all of their operand.
VIEWS = {"flatten", "view"}

_SEQUENCE, _IMAGE = 3, 4  # axes


def view_of(graph: Graph, node: int) -> Callable[[Any], Any]:
    """Make a view: heads of a sequence or its features again, pixels as a sequence, or other axes.

    Heads are [batch, heads, length, depth] or, of keys, [batch, heads, depth, length]. Sizes in
    another order are exchanged axes, the same shape is the tensor itself; all else is a reshape.
    """
    into, out = graph.shape(graph.node_inputs(node)[0]), graph.shape(node)
    axes = (len(into), len(out))
    if axes == (_SEQUENCE, _IMAGE) and into[0] == out[0]:
        _, length, features = into
        _, heads, rows, columns = out
        if rows == length and heads * columns == features:
            return lambda x: x.unflatten(2, (heads, columns)).transpose(1, 2)
        if columns == length and heads * rows == features:
            return lambda x: x.unflatten(2, (heads, rows)).permute(0, 2, 3, 1)
    if axes == (_IMAGE, _SEQUENCE) and into[0] == out[0]:
        _, first, second, third = into
        if out[1:] == (second, first * third):
            return lambda x: x.transpose(1, 2).flatten(2)
        if out[1:] == (second * third, first):
            return lambda x: x.flatten(2).transpose(1, 2)
    if into != out and sorted(into) == sorted(out):
        order = next(o for o in permutations(range(len(into))) if out == tuple(into[a] for a in o))
        return lambda x: x.permute(order)
    # A reshape may give an axis of one another stride, which loses the layout.
    return (lambda x: x) if into == out else (lambda x: x.reshape(out))


def part_of(graph: Graph, node: int) -> Callable[[Any], Any]:
    """Take the first elements along every axis, whichever of them the network takes.

    Parts of one shape follow each other along the last axis, as queries, keys and values of one
    product do. An axis that is gone is taken at its first element; one of size 1 may repeat. A part
    of all elements is a view.

    Raises
    ------
    UnsupportedError
        Another part; the message names it.
    """
    source = graph.node_inputs(node)[0]
    into, out = graph.shape(source), graph.shape(node)
    if math.prod(into) == math.prod(out):
        return view_of(graph, node)
    kept = _kept_axes(into, out)
    if kept is None:
        raise UnsupportedError(
            f"{graph.node_name(node)}: a part of shape {list(out)} of {list(into)} is not known to "
            "the torch backend; it takes slices"
        )
    index: list[int | slice] = [0] * len(into)
    for axis, size in zip(kept, out, strict=True):
        index[axis] = slice(size)
    if kept[-1:] == (len(into) - 1,):
        begin = out[-1] * sum(
            graph.node_op(each) == "part"
            and graph.node_inputs(each) == [source]
            and graph.shape(each) == out
            for each in range(source, node)
        )
        if begin + out[-1] <= into[-1]:
            index[-1] = slice(begin, begin + out[-1])
    taken = tuple(index)
    if all(size <= into[axis] for axis, size in zip(kept, out, strict=True)):
        return lambda x: x[taken]
    return lambda x: x[taken].expand(out)


def _kept_axes(into: tuple[int, ...], out: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return the axes that a part has left, as many of them whole as can be; None: none fit."""

    def pairs(axes: tuple[int, ...]) -> list[tuple[int, int]]:
        return [(into[axis], size) for axis, size in zip(axes, out, strict=True)]

    fitting = [
        axes
        for axes in combinations(range(len(into)), len(out))
        if all(size <= whole or whole == 1 for whole, size in pairs(axes))
    ]
    return max(fitting, key=lambda axes: sum(n == m for n, m in pairs(axes)), default=None)
