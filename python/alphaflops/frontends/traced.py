"""A graph beside the PyTorch module that it was read from."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from alphaflops._core import Graph
from alphaflops.errors import ModelError

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
        """Return the same of another element type, with a copy of the module.

        That is converted to the type when it runs, and this one is not.

        Raises
        ------
        UnsupportedError
            The element type is not known.
        ModelError
            The module cannot be copied.
        """
        graph = self.graph.with_dtype(dtype)
        if dtype == self.graph.dtype:
            return self
        try:
            return replace(self, graph=graph, module=copy.deepcopy(self.module))
        except Exception as error:
            raise ModelError(
                f"{graph.name}: the module cannot be copied to be of {dtype}, as "
                f"{type(error).__name__} was raised: {error}; make another"
            ) from error


def graph_of(network: Graph | Traced) -> Graph:
    """Return what is counted.

    Raises
    ------
    ModelError
        It is neither a graph nor a `Traced`.
    """
    graph = network.graph if isinstance(network, Traced) else network
    if not isinstance(graph, Graph):
        raise ModelError(
            f"{network!r:.60} is a {type(network).__name__} and no graph; give a Graph, such as of "
            "load(...), or what load_to_run(...) gives"
        )
    return graph
