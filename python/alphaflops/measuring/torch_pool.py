"""Memory that the operators of a campaign share: random numbers on the device that is measured."""

from __future__ import annotations

import math
from typing import Any

from alphaflops._core import Graph
from alphaflops.errors import Error
from alphaflops.measuring.torch_operators import (
    IN_PLACE,
    MATRIX_OPS,
    NCHW,
    import_torch,
    lay_out,
    operator_of,
    tensor_of,
)
from alphaflops.measuring.torch_types import torch_type

__all__ = ["FLOAT_BYTES", "LIMIT_BYTES", "Launch", "Pool"]

LIMIT_BYTES = 1_500_000_000  # of one operator's tensors, as of the native backend
FLOAT_BYTES = 4
_ALIGNMENT_BYTES = 256  # cuDNN has slower kernels for what begins elsewhere
_TILE = 1 << 20  # numbers that are drawn; they repeat after that


class Pool:
    """Numbers for weights and for activations, filled up to where somebody needed them.

    Parameters
    ----------
    on
        cpu or cuda.
    rotation_bytes
        What the weights take at least, so that copies of them outgrow the caches.
    """

    def __init__(self, on: str, rotation_bytes: int) -> None:
        self._torch, self.on = import_torch(), on
        self._rotation_bytes = rotation_bytes
        self._blocks: dict[tuple[str, Any], Any] = {}
        self._reserved: dict[tuple[str, Any], int] = {}
        #: Changes whenever numbers have moved.
        self.generation = 0

    def weights(self, count: int, kind: Any = None) -> Any:
        """Return at least so many positive numbers: a variance may be among them."""
        return self._block("weights", count, kind, self._rotation_bytes)

    def activations(self, count: int, kind: Any = None) -> Any:
        """Return at least so many numbers as a ReLU leaves them, half of them zero."""
        return self._block("activations", count, kind)

    def overwritten(self, count: int, kind: Any = None) -> Any:
        """Return the like, for operators that work in place and let numbers fade."""
        return self._block("overwritten", count, kind)

    def reserve(self, name: str, count: int, kind: Any) -> None:
        """Let `weights`, `activations` or `overwritten` have so many, once there are any."""
        self._reserved[name, kind] = max(count, self._reserved.get((name, kind), 0))

    def _block(self, name: str, count: int, kind: Any, least_bytes: int = 0) -> Any:
        kind = kind or self._torch.float32
        block = self._blocks.get((name, kind))
        if block is None or len(block) < count:
            self._blocks.pop((name, kind), None)
            del block  # given back before more is taken
            size = max(count, least_bytes // kind.itemsize, self._reserved.get((name, kind), 0))
            tile = self._torch.randn(min(size, _TILE), device=self.on).to(kind)
            block = tile.repeat(-(-size // len(tile)))
            block = block.abs_().add_(0.1) if name == "weights" else block.clamp_(min=0)
            self._blocks[name, kind] = block
            self.generation += 1
        return block


class Launch:
    """A graph's one operator, with weights and inputs out of a pool.

    Attributes
    ----------
    operator : callable
        Takes what `inputs` gives.
    trainable : list
        Its parameters, once it is one of training.

    Raises
    ------
    UnsupportedError
        An operator or dtype that is not supported.
    Error
        It needs more memory than a campaign may take.
    """

    def __init__(self, graph: Graph, layout: str, pool: Pool) -> None:
        node = len(graph) - 1
        self.pool, self._kind = pool, torch_type(graph, pool.on)
        # On a processor what is timed works on copies.
        in_place = pool.on == "cuda" and graph.node_op(node) in IN_PLACE
        self._inputs = "overwritten" if in_place else "activations"
        self._layout = NCHW if graph.node_op(node) in MATRIX_OPS else layout
        self.shapes = [graph.shape(tensor) for tensor in graph.node_inputs(node)]
        self.operator = operator_of(graph, node, is_only_reader=True)
        self._parameters = [
            (parameter, parameter.shape, parameter.stride())
            for parameter in _parameters_of(self.operator, layout)
        ]
        for parameter, _, _ in self._parameters:
            parameter.data = parameter.data.new_empty(0)
        self.trainable: list[Any] = []
        self._weights = sum(self._room(shape) for _, shape, _ in self._parameters)
        tensors = sum(map(math.prod, self.shapes)) + math.prod(graph.shape(node))
        # Twice: the tensors of this call, and those that they are copied from or stood before.
        needed = self._kind.itemsize * (self._weights + 2 * tensors)
        if needed > LIMIT_BYTES:
            raise Error(
                f"{graph.node_op(node)}: needs {needed} bytes of weights and activations; the "
                f"limit is {LIMIT_BYTES}, use a smaller batch or extent"
            )
        pool.reserve("weights", self._weights, self._kind)
        pool.reserve(self._inputs, sum(map(self._room, self.shapes)), self._kind)

    def point_at_weights(self, turn: int) -> None:
        """Take other weights than in the turn before: a network's are not in cache."""
        if not self._parameters:
            return
        flat = self.pool.weights(self._weights, self._kind)
        offset = turn % (len(flat) // self._weights) * self._weights
        for parameter, shape, stride in self._parameters:
            parameter.data = flat.as_strided(shape, stride, offset)
            offset += self._room(shape)

    def _room(self, shape: tuple[int, ...]) -> int:
        """Return what a parameter takes, so that the next begins where an allocator would begin."""
        step = _ALIGNMENT_BYTES // int(self._kind.itemsize)
        return -(-math.prod(shape) // step) * step

    def inputs(self, *, trained: bool = False) -> list[Any]:
        """Return views of the pool, the same ones every time; `trained`: they need gradients."""
        flat = getattr(self.pool, self._inputs)(sum(map(self._room, self.shapes)), self._kind)
        views, first = [], 0
        for shape in self.shapes:  # apart, else a sum would read one tensor for two
            views.append(tensor_of(flat[first:], shape, self._layout))
            first += self._room(shape)
        return [view.requires_grad_() for view in views] if trained else views

    def like_output(self, shape: tuple[int, ...]) -> Any:
        """Return a view of the pool, laid out as what the operator writes."""
        flat = self.pool.activations(math.prod(shape), self._kind)
        return tensor_of(flat, shape, self._layout)

    def train(self, *, of_weights: bool) -> None:
        """Make the operator one of training; `of_weights`: its parameters need gradients."""
        if isinstance(self.operator, import_torch().nn.Module):
            self.trainable = [p.requires_grad_(of_weights) for p in self.operator.parameters()]
            self.operator.train()


def _parameters_of(operator: Any, layout: str) -> list[Any]:
    """Return what a module reads beside its inputs, laid out as it will find it."""
    torch = import_torch()
    if not isinstance(operator, torch.nn.Module):
        return []
    lay_out(operator, layout)
    # Not the counter of batches, which is a scalar.
    return [*operator.parameters(), *(b for b in operator.buffers() if b.dim())]
