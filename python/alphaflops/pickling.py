"""How graphs and training options are pickled, and copied: by what makes them anew."""

from __future__ import annotations

import copyreg
from typing import Any

from alphaflops._core import Graph, Training


def _reduce_graph(graph: Graph) -> tuple[Any, ...]:
    from alphaflops.graph_file import graph_from_json, graph_to_json  # noqa: PLC0415

    return graph_from_json, (graph_to_json(graph),)


def _reduce_training(training: Training) -> tuple[Any, ...]:
    lists = (list(training.frozen), list(training.checkpoint))
    how = (training.accumulate, training.recompute_attention)
    return Training, (training.optimizer, *lists, *how)


copyreg.pickle(Graph, _reduce_graph)
copyreg.pickle(Training, _reduce_training)
