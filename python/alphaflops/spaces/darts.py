"""DARTS cells: a normal cell and a reduction cell, each repeated.

Liu, Simonyan and Yang, "DARTS: Differentiable Architecture Search", ICLR 2019, sections 2.1 and
3.1, the networks that are evaluated on CIFAR-10: 20 cells of 36 channels at first, the reduction
cell at one and two thirds of the depth, without auxiliary towers.

A cell has two inputs, what the two cells before made, each brought to the cell's channels; and four
nodes, each the sum of two edges. An edge is one of seven operators behind an input or an earlier
node. The cell makes the four nodes side by side.

DARTS itself keeps two edges of a node only from different nodes; here they may come from the same.
"""

from __future__ import annotations

from dataclasses import dataclass

from alphaflops._core import Graph
from alphaflops.spaces.space import Flow, SearchSpace

#: Operators of an edge, in the order of the choices.
OPERATORS = (
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
_NODES = 4
_INPUTS = 2


@dataclass(frozen=True)
class _Preprocess:
    """Brings a cell's inputs to its channels and image; the second one goes on untouched as well.

    Of (what cell k - 2 made, what cell k - 1 made) it makes (cell k - 1's, input 0, input 1).
    """

    channels: int
    halves_first: bool  # cell k - 1 was a reduction

    def __call__(self, graph: Graph, flow: Flow, _choice: int) -> Flow:
        first, second = flow.tensors
        if self.halves_first:
            a = _halve(graph, first, self.channels, "input0")
        else:
            a = _relu_conv_norm(graph, first, self.channels, "input0")
        return Flow((second, a, _relu_conv_norm(graph, second, self.channels, "input1")))


@dataclass(frozen=True)
class _Edge:
    """An operator behind one of a cell's nodes, summed with the node's first edge if it is second.

    (what goes on, input 0, input 1, nodes ...) flow; behind the first edge, what it made.
    """

    reduces: bool
    is_second: bool

    def __call__(self, graph: Graph, flow: Flow, choice: int) -> Flow:
        source, operator = divmod(choice, len(OPERATORS))
        stride = 2 if self.reduces and source < _INPUTS else 1
        x = flow.tensors[1 + source]
        y = _operator(graph, x, OPERATORS[operator], stride)
        if not self.is_second:
            return Flow((*flow.tensors, y))
        return Flow((*flow.tensors[:-1], graph.add(flow.tensors[-1], y, "add")))


def _join(graph: Graph, flow: Flow, _choice: int) -> Flow:
    return Flow((flow.tensors[0], graph.concat(list(flow.tensors[1 + _INPUTS :]), "concat")))


@dataclass(frozen=True)
class _Stem:
    channels: int

    def __call__(self, graph: Graph, flow: Flow, _choice: int) -> Flow:
        x = graph.batch_norm(graph.conv2d(flow.x, self.channels, 3, 1, 1, name="conv"), "norm")
        return Flow((x, x))


@dataclass(frozen=True)
class _Classifier:
    classes: int

    def __call__(self, graph: Graph, flow: Flow, _choice: int) -> Flow:
        x = graph.flatten(graph.global_avg_pool(flow.tensors[1], "pool"), "flatten")
        return Flow((graph.linear(x, self.classes, True, "linear"),))


def darts(cells: int = 20, channels: int = 36, side: int = 32, classes: int = 10) -> SearchSpace:
    """Return the DARTS space: eight edges of the normal cell, then eight of the reduction cell.

    The choice of an edge is 7 x predecessor + operator; predecessors 0 and 1 are the cell's inputs
    and the others its nodes, so that the edges of node i have 7 (i + 2) choices.

    Parameters
    ----------
    cells
        How many; reduction cells are ``cells // 3`` and ``2 * cells // 3``, counted from 0.
    channels
        Of a node in the first cells.
    side
        Of the square images.
    classes
        Of the classifier.
    """
    space = SearchSpace("darts")
    space.image(3, side, side)
    space.add("stem", _Stem(3 * channels))
    positions = {
        kind: [
            space.position(
                f"{kind}.node{node}.edge{edge}",
                [f"{operator}~{x}" for x in range(node + _INPUTS) for operator in OPERATORS],
            )
            for node in range(_NODES)
            for edge in (0, 1)
        ]
        for kind in ("normal", "reduce")
    }
    reductions = (cells // 3, 2 * cells // 3)
    for cell in range(cells):
        reduces = cell in reductions
        if reduces:
            channels *= 2
        at = f"cells.{cell}"
        space.add(at, _Preprocess(channels, cell - 1 in reductions))
        for i, position in enumerate(positions["reduce" if reduces else "normal"]):
            name = f"{at}.node{i // 2}.edge{i % 2}"
            space.add(name, _Edge(reduces, is_second=i % 2 == 1), position)
        space.add(at, _join)
    space.add("classifier", _Classifier(classes))
    return space


def _operator(graph: Graph, x: int, name: str, stride: int) -> int:
    if name == "max_pool_3x3":
        return graph.max_pool(x, 3, stride, 1, name=name)
    if name == "avg_pool_3x3":
        return graph.avg_pool(x, 3, stride, 1, count_include_pad=False, name=name)
    channels = graph.shape(x)[1]
    if name == "skip_connect":
        # A tensor of its own also where nothing is computed, so that the cell need not know.
        if stride == 1:
            return graph.view(x, graph.shape(x), name)
        return _halve(graph, x, channels, name)
    kernel = int(name[-1])
    if name.startswith("dil"):
        return _separable(graph, x, name, kernel=kernel, stride=stride, dilation=2)
    x = _separable(graph, x, f"{name}.0", kernel=kernel, stride=stride)
    return _separable(graph, x, f"{name}.1", kernel=kernel)


def _separable(
    graph: Graph, x: int, at: str, *, kernel: int, stride: int = 1, dilation: int = 1
) -> int:
    channels = graph.shape(x)[1]
    padding = dilation * (kernel // 2)
    x = graph.relu(x, f"{at}.relu")
    x = graph.conv2d(
        x, channels, kernel, stride, padding, dilation, groups=channels, name=f"{at}.depthwise"
    )
    return graph.batch_norm(graph.conv2d(x, channels, name=f"{at}.pointwise"), f"{at}.norm")


def _relu_conv_norm(graph: Graph, x: int, c_out: int, at: str) -> int:
    x = graph.conv2d(graph.relu(x, f"{at}.relu"), c_out, name=f"{at}.conv")
    return graph.batch_norm(x, f"{at}.norm")


def _halve(graph: Graph, x: int, c_out: int, at: str) -> int:
    """Halve the image: half the channels from even pixels, half from odd ones."""
    x = graph.relu(x, f"{at}.relu")
    batch, channels, height, width = graph.shape(x)
    odd = graph.part(x, [batch, channels, height - 1, width - 1], f"{at}.odd")
    even = graph.conv2d(x, c_out // 2, 1, 2, name=f"{at}.conv_even")
    both = [even, graph.conv2d(odd, c_out - c_out // 2, 1, 2, name=f"{at}.conv_odd")]
    return graph.batch_norm(graph.concat(both, f"{at}.concat"), f"{at}.norm")
