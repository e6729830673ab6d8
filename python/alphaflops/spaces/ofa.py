"""Once-for-all MobileNetV3: elastic resolution, depth, kernel, expansion and, if asked for, width.

Cai, Gan, Wang, Zhang and Han, "Once-for-All: Train One Network and Specialize it for Efficient
Deployment", ICLR 2020, section 4.1; sizes of MobileNetV3-Large (Howard et al., "Searching for
MobileNetV3", 2019, table 1), with which the authors' networks start.

A stage has the first `depth` of its four blocks; what a code says of the others changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from alphaflops._core import Graph
from alphaflops.errors import ModelError
from alphaflops.spaces.space import Flow, SearchSpace
from alphaflops.zoo.blocks import conv_norm, divisible, inverted_residual

_RESOLUTIONS = range(128, 225, 4)
_KERNELS = (3, 5, 7)
_EXPANSIONS = (3, 4, 6)
_OPERATORS = tuple((kernel, expansion) for kernel in _KERNELS for expansion in _EXPANSIONS)
_NAMES = tuple(f"k{kernel}_e{expansion}" for kernel, expansion in _OPERATORS)
_LEAST, _MOST = 2, 4  # blocks a stage


class _Stage(NamedTuple):
    channels: int
    stride: int
    activation: str
    excites: bool


_STEM = 16
_STAGES = (
    _Stage(24, 2, "relu", False),
    _Stage(40, 2, "relu", True),
    _Stage(80, 2, "hardswish", False),
    _Stage(112, 1, "hardswish", True),
    _Stage(160, 2, "hardswish", True),
)
_EXPAND, _FEATURES, _CLASSES = 960, 1280, 1000


@dataclass(frozen=True)
class _Block:
    """One of the nine operators: kernel and expansion."""

    activation: str
    excites: bool

    def build(self, graph: Graph, x: int, c_out: int, stride: int, choice: int) -> int:
        kernel, expansion = _OPERATORS[choice]
        hidden = divisible(expansion * graph.shape(x)[1])
        return inverted_residual(
            graph,
            x,
            c_out,
            "",
            hidden=hidden,
            kernel=kernel,
            stride=stride,
            activation=self.activation,
            squeezed=divisible(hidden // 4) if self.excites else 0,
        )


@dataclass(frozen=True)
class _Note:
    """Leaves a number for the parts behind."""

    of_choice: tuple[int, ...]

    def __call__(self, _graph: Graph, flow: Flow, choice: int) -> Flow:
        return Flow(flow.tensors, (self.of_choice[choice],))


@dataclass(frozen=True)
class _First(_Block):
    """The block that changes the shape, to as many channels as the note says."""

    stride: int

    def __call__(self, graph: Graph, flow: Flow, choice: int) -> Flow:
        return Flow((self.build(graph, flow.x, flow.notes[0], self.stride, choice),))


@dataclass(frozen=True)
class _Next(_Block):
    """A block that keeps the shape."""

    def __call__(self, graph: Graph, flow: Flow, choice: int) -> Flow:
        return Flow((self.build(graph, flow.x, graph.shape(flow.x)[1], 1, choice),))


@dataclass(frozen=True)
class _Elastic(_Next):
    """A block that is there where the note says that blocks are left."""

    is_last: bool

    def __call__(self, graph: Graph, flow: Flow, choice: int) -> Flow:
        (left,) = flow.notes
        out = flow if left == 0 else super().__call__(graph, flow, choice)
        return Flow(out.tensors, () if self.is_last else (max(0, left - 1),))


def ofa(widths: Sequence[float] = (), width_multiplier: float = 1.0) -> SearchSpace:
    """Return the once-for-all MobileNetV3 space.

    Positions are ``resolution`` (128 to 224 in steps of 4) and, in each of five stages, ``depth``
    (2 to 4), ``width`` where it is elastic, and four blocks of nine choices, kernel x expansion.

    Parameters
    ----------
    widths
        Elastic width: multiples of a stage's channels, rounded to multiples of 8, that it chooses
        from. None: widths are fixed, as in the paper.
    width_multiplier
        Of all channels; the authors have networks of 1.0 and 1.2.

    Raises
    ------
    ModelError
        Widths that are not positive.
    """
    if min((*widths, width_multiplier)) <= 0:
        raise ModelError(
            f"ofa: widths {list(widths)} and width_multiplier {width_multiplier} must be positive"
        )

    def scaled(channels: int) -> int:
        return divisible(channels * width_multiplier)

    space = SearchSpace("ofa")
    space.resolution("resolution", 3, _RESOLUTIONS)
    space.then("stem", _Stem(scaled(_STEM)))
    for number, stage in enumerate(_STAGES, 1):
        at = f"stage{number}"
        depth = space.position(f"{at}.depth", [str(d) for d in range(_LEAST, _MOST + 1)])
        channels = scaled(stage.channels)
        if widths:
            options = tuple(divisible(w * channels) for w in widths)
            width = space.position(f"{at}.width", [str(c) for c in options])
            space.add("", _Note(options), width)
        else:
            space.add("", _Note((channels,)))
        kind = (stage.activation, stage.excites)
        for block in range(_MOST):
            if block == _LEAST:  # no sooner, so that the blocks before do not depend on it
                space.add("", _Note(tuple(range(_MOST - _LEAST + 1))), depth)
            name = f"{at}.block{block + 1}"
            position = space.position(name, _NAMES)
            if block == 0:
                space.add(name, _First(*kind, stage.stride), position)
            elif block < _LEAST:
                space.add(name, _Next(*kind), position)
            else:
                space.add(name, _Elastic(*kind, block == _MOST - 1), position)
    space.then("head", _Head(scaled(_EXPAND), scaled(_FEATURES)))
    return space


@dataclass(frozen=True)
class _Stem:
    channels: int

    def __call__(self, graph: Graph, x: int) -> int:
        c = self.channels
        x = conv_norm(graph, x, c, "conv", kernel=3, stride=2, activation="hardswish")
        return inverted_residual(
            graph, x, c, "first", hidden=c, kernel=3, stride=1, activation="relu"
        )


@dataclass(frozen=True)
class _Head:
    expanded: int
    features: int

    def __call__(self, graph: Graph, x: int) -> int:
        x = conv_norm(graph, x, self.expanded, "expand", activation="hardswish")
        x = graph.conv2d(graph.global_avg_pool(x, "pool"), self.features, name="mix")
        x = graph.flatten(graph.activation(x, "hardswish", "mix.activation"), "flatten")
        return graph.linear(x, _CLASSES, True, "classifier")
