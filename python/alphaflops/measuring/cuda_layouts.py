"""How the tensors of a graph lie in a GPU's memory.

The channels of an image lie side by side; all else lies as its shape says. Which tensors of four
axes are images, a graph does not say: it follows from the operators. Views and parts move nothing.
Where a part begins is not known either: parts of one shape are taken one after the other along the
last axis, as the queries, keys and values of one projection are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from alphaflops._core import Graph

__all__ = ["Layouts", "Rows", "Strides", "dense"]

_IMAGE = 4  # axes
_IN_MEMORY = (0, 2, 3, 1)  # the axes of an image
_OF_IMAGES = {
    *("conv2d", "conv_transpose2d", "batch_norm", "max_pool", "avg_pool", "global_avg_pool"),
}
_OF_ROWS = {"matmul", "attention", "linear", "layer_norm", "rms_norm", "embedding", "gather"}
_VIEWS = {"flatten", "view"}
_FREE = {*_VIEWS, "part"}
_SOURCES = {"input", "constant"}


@dataclass(frozen=True)
class Strides:
    """Elements from one to the next along each axis, and to the first."""

    axes: tuple[int, ...]
    offset: int = 0


@dataclass(frozen=True)
class Rows:
    """Elements side by side, from one such row to the next, and to the first."""

    length: int
    stride: int
    offset: int = 0


def dense(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the strides of what has no gaps."""
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def _step(shape: Sequence[int], axes: Sequence[int], *, alone: int) -> int | None:
    """Return the step from one to the next over all axes, `alone` if there is but one, or None."""
    steps = [(n, step) for n, step in zip(shape, axes, strict=True) if n > 1]
    if any(outer != n * step for (_, outer), (n, step) in pairwise(steps)):
        return None
    return steps[-1][1] if steps else alone


class Layouts:
    """The layout of each tensor of a graph."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._readers: dict[int, list[int]] = {}
        for node in range(len(graph)):
            for tensor in graph.node_inputs(node):
                self._readers.setdefault(tensor, []).append(node)
        self._images: list[bool] = []
        for node in range(len(graph)):
            self._images.append(self._finds_image(node))

    def _finds_image(self, node: int) -> bool:
        graph, shape, op = self._graph, self._graph.shape(node), self._graph.node_op(node)
        if len(shape) != _IMAGE or op in _OF_ROWS:
            return False
        if op in _OF_IMAGES:
            return True
        if op in _SOURCES:
            readers = {graph.node_op(reader) for reader in self._readers.get(node, [])}
            return not readers & _OF_ROWS
        source = graph.node_inputs(node)[0]
        before = graph.shape(source)
        if len(before) != _IMAGE or before == shape:
            return len(before) == _IMAGE and self._images[source]
        # [n, c, h, w] as [n, h, w, c], or back.
        if self._images[source]:
            return tuple(before[axis] for axis in _IN_MEMORY) != shape
        return op in _VIEWS and before == tuple(shape[axis] for axis in _IN_MEMORY)

    def is_image(self, tensor: int) -> bool:
        """Tell whether the channels, the second of four axes, lie side by side."""
        return self._images[tensor]

    def memory_axis(self, tensor: int, axis: int) -> int:
        """Return which axis of the memory an axis of the shape is."""
        axis %= len(self._graph.shape(tensor))
        return _IN_MEMORY.index(axis) if self.is_image(tensor) else axis

    def memory_shape(self, tensor: int, of: Sequence[int] | None = None) -> tuple[int, ...]:
        """Return the extents of a tensor as they lie; or `of` another shape that lies likewise."""
        shape = self._graph.shape(tensor) if of is None else tuple(of)
        return tuple(shape[axis] for axis in _IN_MEMORY) if self.is_image(tensor) else shape

    def sizes(self, tensor: int) -> dict[str, int]:
        """Return the sizes of a tensor as plans of streams have them."""
        *rows, channels = self.memory_shape(tensor)
        if len(rows) != _IMAGE - 1:
            rows = [math.prod(rows), 1, 1]
        return {"batch": rows[0], "channels": channels, "h_in": rows[1], "w_in": rows[2]}

    def is_index(self, tensor: int) -> bool:
        """Tell whether a table is read at what a tensor has."""
        return self._graph.node_op(tensor) in _SOURCES and any(
            self._graph.node_op(reader) == "embedding" for reader in self._readers.get(tensor, [])
        )

    def strides(self, tensor: int) -> Strides:
        """Return where the elements of a tensor lie that is no image, or a view of another's."""
        graph, shape = self._graph, self._graph.shape(tensor)
        if graph.node_op(tensor) not in _FREE or self.is_image(tensor):
            return Strides(dense(shape))
        source = graph.node_inputs(tensor)[0]
        before = graph.shape(source)
        rows = 3  # axes
        if len(before) != rows or before[0] != shape[0]:
            return Strides(dense(shape))
        at = self.strides(source)
        from_image, from_token, _ = at.axes
        length, features = before[1:]
        offset = at.offset + self._place(tensor, source)
        if len(shape) == rows and shape[1] == length:
            return Strides(at.axes, offset)
        if len(shape) == _IMAGE:  # heads
            heads, depth = shape[1], shape[3]
            if shape[2] == length and heads * depth <= features:
                return Strides((from_image, depth, from_token, 1), offset)
            if shape[3] == length and heads * shape[2] <= features:
                return Strides((from_image, shape[2], 1, from_token), offset)
        return Strides(dense(shape))

    def _in_memory(self, tensor: int) -> Strides:
        """Return where the elements of a tensor lie, by the axes of the memory."""
        graph, shape = self._graph, self.memory_shape(tensor)
        if not self.is_image(tensor):
            return self.strides(tensor)
        source = graph.node_inputs(tensor)[0] if graph.node_op(tensor) == "part" else tensor
        if source == tensor or not self.is_image(source):
            return Strides(dense(shape))
        if self.memory_shape(source)[:-1] != shape[:-1]:  # not of its channels
            return Strides(dense(shape))
        at = self._in_memory(source)
        return Strides(at.axes, at.offset + self._place(tensor, source))

    def rows(self, tensor: int, like: int, axis: int) -> Rows:
        """Return the rows of a tensor that lies as another, from an axis of the memory on.

        Those that lie at no regular distance, or have gaps, are taken to follow each other.
        """
        shape = self.memory_shape(like, self._graph.shape(tensor))
        length = math.prod(shape[axis:])
        if self.is_image(tensor) != self.is_image(like):
            return Rows(length, length)
        at = self._in_memory(tensor)
        within = _step(shape[axis:], at.axes[axis:], alone=1)
        between = _step(shape[:axis], at.axes[:axis], alone=length)
        if within != 1 or between is None:
            return Rows(length, length)
        return Rows(length, between, at.offset)

    def _place(self, part: int, source: int) -> int:
        """Return at which of the source's features a part begins."""
        graph, shape = self._graph, self._graph.shape(part)
        parts = [
            node
            for node in self._readers[source]
            if graph.node_op(node) == "part" and graph.shape(node) == shape
        ]
        features = self.memory_shape(source)[-1]
        own = math.prod(shape) * features // math.prod(graph.shape(source))
        at = parts.index(part) * own if part in parts else 0
        return at if at + own <= features else 0
