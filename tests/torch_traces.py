"""What a traced function makes: its graph, and the shapes that its forward saw."""

from __future__ import annotations

import torch
from torch import nn

import alphaflops as af


class Function(nn.Module):
    """A function as a forward; keeps what it returned."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.seen = ()

    def forward(self, *args):
        result = self.function(*args)
        self.seen += (result,)
        return result


def tensors(result):
    if isinstance(result, torch.Tensor):
        return [result]
    return [t for each in result for t in tensors(each)] if isinstance(result, tuple | list) else []


def trace(function, *args):
    """The graph, and the shapes and types that the forward saw."""
    seen = []

    def spy(*given):
        result = function(*given)
        seen.extend((tuple(t.shape), t.dtype) for t in tensors(result))
        return result

    graph = af.from_torch(Function(spy), args, strict=True)
    return graph, seen


def ops(graph):
    free = {"input", "flatten", "part", "constant", "parameter"}
    return [graph.node_op(i) for i in range(len(graph)) if graph.node_op(i) not in free]
