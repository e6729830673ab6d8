"""A graph beside the PyTorch module that it was read from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from alphaflops._core import Graph

__all__ = ["Traced", "graph_of"]


@dataclass(frozen=True)
class Traced:
    """A graph, and the call that it was read from.

    Attributes
    ----------
    graph : Graph
        What is counted and priced.
    module : torch.nn.Module
        What PyTorch runs: in eval mode, and with elements.
    args, kwargs
        Arguments of its forward. Tensors may be on the meta device.
    """

    graph: Graph
    module: Any
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def with_dtype(self, dtype: str) -> Traced:
        """Return the same of another element type, which the module is converted to when it runs.

        Raises
        ------
        UnsupportedError
            The element type is not known.
        """
        return replace(self, graph=self.graph.with_dtype(dtype))


def graph_of(network: Graph | Traced) -> Graph:
    """Return what is counted."""
    return network.graph if isinstance(network, Traced) else network
