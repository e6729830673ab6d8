"""The ProxylessNAS space: 21 mobile blocks of MobileNetV2, each with its kernel and expansion.

Cai, Zhu and Han, "ProxylessNAS: Direct Neural Architecture Search on Target Task and Hardware",
ICLR 2019, section 4.2, with the authors' sizes: a 3x3 convolution, a block without expansion to 16
channels, six stages of 4, 4, 4, 4, 4 and 1 blocks, and a 1x1 convolution to 1280. `skip` leaves a
block out; it is a choice where the shape stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from alphaflops._core import Graph
from alphaflops.errors import ModelError
from alphaflops.spaces.space import Build, SearchSpace
from alphaflops.zoo.blocks import conv_norm, inverted_residual, pool_and_classify

_WIDTHS = (24, 40, 80, 96, 192, 320)
_BLOCKS = (4, 4, 4, 4, 4, 1)
_STRIDES = (2, 2, 2, 1, 2, 1)
_STEM, _FIRST, _HEAD = 32, 16, 1280


@dataclass(frozen=True)
class _Block:
    channels: int
    stride: int
    kernel: int
    expansion: int

    def __call__(self, graph: Graph, x: int) -> int:
        return inverted_residual(
            graph,
            x,
            self.channels,
            "",
            hidden=self.expansion * graph.shape(x)[1],
            kernel=self.kernel,
            stride=self.stride,
            activation="relu6",
        )


def proxyless(widths: Sequence[int] = _WIDTHS, side: int = 224) -> SearchSpace:
    """Return the ProxylessNAS space: 21 positions of six or seven choices.

    Parameters
    ----------
    widths
        Channels of the six stages.
    side
        Of the square images.

    Raises
    ------
    ModelError
        Not six widths.
    """
    if len(widths) != len(_BLOCKS):
        raise ModelError(f"proxyless: {len(widths)} widths; there are {len(_BLOCKS)} stages")
    space = SearchSpace("proxyless")
    space.image(3, side, side)
    space.then("stem", _stem)
    for stage, (channels, blocks, stride) in enumerate(zip(widths, _BLOCKS, _STRIDES, strict=True)):
        for block in range(blocks):
            at = (channels, stride if block == 0 else 1)
            choices: dict[str, Build] = {
                f"k{kernel}_e{expansion}": _Block(*at, kernel, expansion)
                for kernel in (3, 5, 7)
                for expansion in (3, 6)
            }
            if block > 0:
                choices["skip"] = _skip
            space.choose(f"stage{stage + 1}.block{block + 1}", choices)
    space.then("head", _head)
    return space


def _skip(_graph: Graph, x: int) -> int:
    return x


def _stem(graph: Graph, x: int) -> int:
    x = conv_norm(graph, x, _STEM, "conv", kernel=3, stride=2, activation="relu6")
    return _Block(_FIRST, 1, 3, 1)(graph, x)


def _head(graph: Graph, x: int) -> int:
    return pool_and_classify(
        graph, conv_norm(graph, x, _HEAD, "conv", activation="relu6"), "classifier"
    )
