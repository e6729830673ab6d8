"""NAS-Bench-201: one cell of four nodes and six edges, 15 times over.

Dong and Yang, "NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search", ICLR
2020, section 2.1. A 3x3 convolution to 16 channels, three stages of five cells with 16, 32 and 64
channels, a residual block of stride 2 before the second and the third, and a mean over the image.

A node is the sum of what its edges make of earlier nodes. An edge with `none` adds nothing, and a
node of such edges alone is a tensor of zeros, which one launch fills. Nothing else is left out:
what no later node reads is computed all the same, so that MACs and parameters are the published
ones.
"""

from __future__ import annotations

from dataclasses import dataclass

from alphaflops._core import Graph
from alphaflops.errors import UnsupportedError
from alphaflops.spaces.space import Flow, SearchSpace

#: Choices of every edge, in the benchmark's order.
OPERATORS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")

# Classes and the side of the images.
_DATASETS = {"cifar10": (10, 32), "cifar100": (100, 32), "imagenet16-120": (120, 16)}
_CHANNELS = (16, 32, 64)
_CELLS = 5


@dataclass(frozen=True)
class _Edge:
    """One of the five operators, behind one of the nodes that flow.

    The first `nodes` tensors are nodes; the sum so far of the next node stands behind them unless
    all edges were `none`. The last edge makes that sum a node.
    """

    nodes: int
    source: int
    is_last: bool
    ends_source: bool  # no later edge reads it

    def __call__(self, graph: Graph, flow: Flow, choice: int) -> Flow:
        nodes, total = flow.tensors[: self.nodes], flow.tensors[self.nodes :]
        x = nodes[self.source]
        y = _operator(graph, x, OPERATORS[choice])
        if y is not None:
            total = (graph.add(total[0], y, "add") if total else y,)
        elif self.is_last and not total:
            total = (graph.element([x], "fill", graph.shape(x), "zeros"),)
        if self.ends_source:
            nodes = nodes[: self.source] + nodes[self.source + 1 :]
        return Flow(nodes + total)


# Edges into nodes 1, 2 and 3, in the order of the benchmark's texts. Node 3 is all that goes on.
_EDGES = {
    "node1.from0": _Edge(1, 0, is_last=True, ends_source=False),
    "node2.from0": _Edge(2, 0, is_last=False, ends_source=False),
    "node2.from1": _Edge(2, 1, is_last=True, ends_source=False),
    "node3.from0": _Edge(3, 0, is_last=False, ends_source=True),
    "node3.from1": _Edge(2, 0, is_last=False, ends_source=True),
    "node3.from2": _Edge(1, 0, is_last=True, ends_source=True),
}


@dataclass(frozen=True)
class _Classifier:
    classes: int

    def __call__(self, graph: Graph, x: int) -> int:
        x = graph.relu(graph.batch_norm(x, "norm"), "relu")
        x = graph.flatten(graph.global_avg_pool(x, "pool"), "flatten")
        return graph.linear(x, self.classes, True, "linear")


def nasbench201(dataset: str = "cifar10") -> SearchSpace:
    """Return the NAS-Bench-201 space: six edges, five operators, 15,625 cells.

    Parameters
    ----------
    dataset
        cifar10, cifar100 (images of 3 x 32 x 32) or imagenet16-120 (3 x 16 x 16).

    Raises
    ------
    UnsupportedError
        Another data set.
    """
    if dataset not in _DATASETS:
        raise UnsupportedError(
            f"NAS-Bench-201 has no data set {dataset!r}; use {', '.join(_DATASETS)}"
        )
    classes, side = _DATASETS[dataset]
    space = SearchSpace("nasbench201")
    space.image(3, side, side)
    space.then("stem", _stem)
    edges = [(name, space.position(name, OPERATORS), edge) for name, edge in _EDGES.items()]
    for stage, channels in enumerate(_CHANNELS):
        if stage > 0:
            space.then(f"reduce{stage}", _Residual(channels))
        for cell in range(_CELLS):
            for name, position, edge in edges:
                space.add(f"cells.{_CELLS * stage + cell}.{name}", edge, position)
    space.then("classifier", _Classifier(classes))
    return space


def _stem(graph: Graph, x: int) -> int:
    return graph.batch_norm(graph.conv2d(x, _CHANNELS[0], 3, 1, 1, name="conv"), "norm")


def _operator(graph: Graph, x: int, name: str) -> int | None:
    """Add an operator; a node of its own also where nothing is computed, so that no cell knows."""
    if name == "none":
        return None
    if name == "skip_connect":
        return graph.view(x, graph.shape(x), name)
    if name == "avg_pool_3x3":
        return graph.avg_pool(x, 3, 1, 1, count_include_pad=False, name=name)
    return _relu_conv_norm(graph, x, graph.shape(x)[1], name, kernel=int(name[-1]))


@dataclass(frozen=True)
class _Residual:
    """Halve the image: two 3x3 convolutions beside a mean over 2x2 and a 1x1 convolution."""

    channels: int

    def __call__(self, graph: Graph, x: int) -> int:
        y = _relu_conv_norm(graph, x, self.channels, "a", kernel=3, stride=2)
        y = _relu_conv_norm(graph, y, self.channels, "b", kernel=3)
        x = graph.avg_pool(x, 2, 2, name="downsample.pool")
        return graph.add(graph.conv2d(x, self.channels, name="downsample.conv"), y, "add")


def _relu_conv_norm(
    graph: Graph, x: int, c_out: int, at: str, *, kernel: int, stride: int = 1
) -> int:
    x = graph.relu(x, f"{at}.relu")
    x = graph.conv2d(x, c_out, kernel, stride, kernel // 2, name=f"{at}.conv")
    return graph.batch_norm(x, f"{at}.norm")
