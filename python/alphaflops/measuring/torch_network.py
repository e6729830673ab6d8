"""A whole network as PyTorch runs it eagerly: one call an operator, in node order."""

from __future__ import annotations

import math
from typing import Any

from alphaflops._core import Graph
from alphaflops.errors import UnsupportedError
from alphaflops.measuring.torch_operators import (
    Operator,
    import_torch,
    lay_out,
    operator_of,
    tensor_of,
)
from alphaflops.measuring.torch_types import torch_type
from alphaflops.measuring.torch_views import VIEWS

__all__ = ["TorchNetwork"]


class TorchNetwork:
    """A graph with random weights, ready to run in PyTorch.

    `inputs` and `operators` hold tensors and callables by node. A tensor is let go after its last
    reader, as a module's local variables are.

    Parameters
    ----------
    graph
        Its dtype is that of all tensors and parameters, those of norms too; indices are integers.
    layout
        nchw or channels_last; of images and of the weights of convolutions.
    on
        cpu or cuda.
    seed
        Of weights and inputs.

    Raises
    ------
    UnsupportedError
        An operator or dtype that is not supported; the message names the layer.
    """

    def __init__(self, graph: Graph, layout: str, on: str = "cpu", seed: int = 0) -> None:
        torch = import_torch()
        kind = torch_type(graph, on)
        random = torch.Generator().manual_seed(seed)
        readers = [0] * len(graph)
        last_reader = list(range(len(graph)))
        for node in range(len(graph)):
            for tensor in set(graph.node_inputs(node)):
                readers[tensor] += 1
                last_reader[tensor] = node
        rows = _rows_of_indices(graph)
        self.inputs: dict[int, Any] = {}
        self.operators: dict[int, Operator] = {}
        self._steps: list[tuple[int, Operator, list[int], list[int]]] = []
        for node in range(len(graph)):
            inputs = graph.node_inputs(node)
            if node in rows:
                indices = torch.randint(rows[node], graph.shape(node), generator=random)
                self.inputs[node] = indices.to(on)
                continue
            if not inputs:
                flat = torch.randn(math.prod(graph.shape(node)), generator=random).to(on, kind)
                self.inputs[node] = tensor_of(flat, graph.shape(node), layout)
                continue
            is_only_reader = _is_only_reader(graph, readers, inputs[0])
            operator = operator_of(graph, node, is_only_reader=is_only_reader)
            if isinstance(operator, torch.nn.Module):
                _fill(operator, random)
                operator = operator.to(on, kind)
                lay_out(operator, layout)
            self.operators[node] = operator
            done = [t for t in set(inputs) if last_reader[t] == node and graph.node_inputs(t)]
            self._steps.append((node, operator, inputs, done))

    def run(self) -> Any:
        """Run once; returns the last node's tensor."""
        values = dict(self.inputs)
        node = next(reversed(values))
        for node, operator, inputs, done in self._steps:
            values[node] = operator(*[values[tensor] for tensor in inputs])
            for tensor in done:
                del values[tensor]
        return values[node]


def _is_only_reader(graph: Graph, readers: list[int], tensor: int) -> bool:
    """Tell whether nothing else sees a tensor's memory, that of views and inputs too."""
    while graph.node_op(tensor) in VIEWS and readers[tensor] == 1:
        tensor = graph.node_inputs(tensor)[0]
    has_own = graph.node_op(tensor) != "part" and bool(graph.node_inputs(tensor))
    return has_own and readers[tensor] == 1


def _rows_of_indices(graph: Graph) -> dict[int, int]:
    """Return the tensors that embeddings read, with the rows of the smallest table of each."""
    rows: dict[int, int] = {}
    for node in range(len(graph)):
        if graph.node_op(node) != "embedding":
            continue
        tensor = graph.node_inputs(node)[0]
        while graph.node_op(tensor) in VIEWS:
            tensor = graph.node_inputs(tensor)[0]
        if graph.node_inputs(tensor):
            raise UnsupportedError(
                f"{graph.node_name(node)}: indices that '{graph.node_name(tensor)}' computes are "
                "not known to the torch backend; let them be an input"
            )
        own = graph.node_attributes(node)["rows"]
        rows[tensor] = min(own, rows.get(tensor, own))
    return rows


def _fill(module: Any, random: Any) -> None:
    """Draw weights with He's variance, so that activations neither fade nor grow."""
    torch = import_torch()
    nn = torch.nn
    filled = (nn.Conv2d, nn.ConvTranspose2d, nn.Embedding, nn.Linear)
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, filled):
                most = math.sqrt(6 / math.prod(part.weight.shape[1:]))
                part.weight.uniform_(-most, most, generator=random)
                if getattr(part, "bias", None) is not None:
                    part.bias.uniform_(-most, most, generator=random)
