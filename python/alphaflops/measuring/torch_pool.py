"""Memory that the operators of a campaign share: random numbers on the device that is measured."""

from __future__ import annotations

import math
from typing import Any

from alphaflops._core import Graph
from alphaflops.errors import Error
from alphaflops.measuring.torch_network import require_fp32
from alphaflops.measuring.torch_operators import (
    CHANNELS_LAST,
    MATRIX_OPS,
    NCHW,
    import_torch,
    operator_of,
    tensor_of,
)

__all__ = ["FLOAT_BYTES", "LIMIT_BYTES", "Launch", "Pool"]

LIMIT_BYTES = 1_500_000_000  # of one operator's tensors, as of the native backend
FLOAT_BYTES = 4
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
        self._torch, self._on = import_torch(), on
        self._rotation = rotation_bytes // FLOAT_BYTES
        self._weights = self._activations = self._torch.empty(0)

    def weights(self, floats: int) -> Any:
        """Return at least so many positive numbers: a variance may be among them."""
        if len(self._weights) < floats:
            self._weights = self._numbers(max(floats, self._rotation)).abs_().add_(0.1)
        return self._weights

    def activations(self, floats: int) -> Any:
        """Return at least so many numbers as a ReLU leaves them, half of them zero."""
        if len(self._activations) < floats:
            self._activations = self._numbers(floats).clamp_(min=0)
        return self._activations

    def _numbers(self, floats: int) -> Any:
        tile = self._torch.randn(min(floats, _TILE), device=self._on)
        return tile.repeat(-(-floats // len(tile)))


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
        require_fp32(graph)
        node = len(graph) - 1
        self._pool = pool
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
        self._weights = sum(math.prod(shape) for _, shape, _ in self._parameters)
        tensors = sum(map(math.prod, self.shapes)) + math.prod(graph.shape(node))
        # Twice: the tensors of this call, and those that they are copied from or stood before.
        needed = FLOAT_BYTES * (self._weights + 2 * tensors)
        if needed > LIMIT_BYTES:
            raise Error(
                f"{graph.node_op(node)}: needs {needed} bytes of weights and activations; the "
                f"limit is {LIMIT_BYTES}, use a smaller batch or extent"
            )

    def point_at_weights(self, turn: int) -> None:
        """Take other weights than in the turn before: a network's are not in cache."""
        if not self._parameters:
            return
        flat = self._pool.weights(self._weights)
        offset = turn % (len(flat) // self._weights) * self._weights
        for parameter, shape, stride in self._parameters:
            parameter.data = flat.as_strided(shape, stride, offset)
            offset += math.prod(shape)

    def inputs(self, *, trained: bool = False) -> list[Any]:
        """Return views of the pool, the same ones every time; `trained`: they need gradients."""
        flat = self._pool.activations(max(map(math.prod, self.shapes)))
        views = [tensor_of(flat, shape, self._layout) for shape in self.shapes]
        return [view.requires_grad_() for view in views] if trained else views

    def like_output(self, shape: tuple[int, ...]) -> Any:
        """Return a view of the pool, laid out as what the operator writes."""
        return tensor_of(self._pool.activations(math.prod(shape)), shape, self._layout)

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
    if layout == CHANNELS_LAST:
        operator.to(memory_format=torch.channels_last)
    # Not the counter of batches, which is a scalar.
    return [*operator.parameters(), *(b for b in operator.buffers() if b.dim())]
