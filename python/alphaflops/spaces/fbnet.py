"""The FBNet space for images of 32 x 32: 22 blocks, each one of nine operators.

Wu et al., "FBNet: Hardware-Aware Efficient ConvNet Design via Differentiable Neural Architecture
Search", CVPR 2019, table 1; sizes for CIFAR-100 as in Li et al., "HW-NAS-Bench", ICLR 2021.

A block of kernel k, expansion e and groups g is 1x1 convolution to e times the channels, k x k
depthwise, 1x1 to the block's channels; the 1x1s have g groups and a channel shuffle follows the
first of them. Norms follow every convolution, ReLUs all but the last of a block. The input is added
where the shape stays. `skip` is nothing there, and a 1x1 convolution elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from alphaflops._core import Graph
from alphaflops.spaces.space import SearchSpace


class _Stage(NamedTuple):
    blocks: int
    channels: int
    first_stride: int


_STEM = 16
_STAGES = (
    _Stage(1, 16, 1),
    _Stage(4, 24, 1),
    _Stage(4, 32, 2),
    _Stage(4, 64, 2),
    _Stage(4, 112, 1),
    _Stage(4, 184, 2),
    _Stage(1, 352, 1),
)
_HEAD = 1504
_CLASSES = 100


@dataclass(frozen=True)
class _Block:
    channels: int
    stride: int
    kernel: int
    expansion: int
    groups: int

    def __call__(self, graph: Graph, x: int) -> int:
        c_in = graph.shape(x)[1]
        hidden = self.expansion * c_in
        y = _conv_norm_relu(graph, x, hidden, "expand", groups=self.groups)
        if self.groups > 1:
            y = graph.concat([y], "shuffle")  # a shuffle moves what a copy moves
        y = _conv_norm_relu(
            graph, y, hidden, "depthwise", kernel=self.kernel, stride=self.stride, groups=hidden
        )
        y = graph.conv2d(y, self.channels, groups=self.groups, name="project")
        y = graph.batch_norm(y, "project.norm")
        return graph.add(x, y, "add") if self.stride == 1 and c_in == self.channels else y


@dataclass(frozen=True)
class _Skip:
    channels: int
    stride: int

    def __call__(self, graph: Graph, x: int) -> int:
        if self.stride == 1 and graph.shape(x)[1] == self.channels:
            return x
        return _conv_norm_relu(graph, x, self.channels, "skip", stride=self.stride)


def fbnet() -> SearchSpace:
    """Return the FBNet space: 22 positions, nine choices, images of 3 x 32 x 32."""
    space = SearchSpace("fbnet")
    space.image(3, 32, 32)
    space.then("stem", _stem)
    for stage in _STAGES:
        for block in range(stage.blocks):
            at = (stage.channels, stage.first_stride if block == 0 else 1)
            space.choose(
                f"blocks.{space.positions}",
                {
                    "k3_e1": _Block(*at, 3, 1, 1),
                    "k3_e1_g2": _Block(*at, 3, 1, 2),
                    "k3_e3": _Block(*at, 3, 3, 1),
                    "k3_e6": _Block(*at, 3, 6, 1),
                    "k5_e1": _Block(*at, 5, 1, 1),
                    "k5_e1_g2": _Block(*at, 5, 1, 2),
                    "k5_e3": _Block(*at, 5, 3, 1),
                    "k5_e6": _Block(*at, 5, 6, 1),
                    "skip": _Skip(*at),
                },
            )
    space.then("head", _head)
    return space


def _stem(graph: Graph, x: int) -> int:
    return _conv_norm_relu(graph, x, _STEM, "conv", kernel=3)


def _head(graph: Graph, x: int) -> int:
    x = _conv_norm_relu(graph, x, _HEAD, "conv")
    x = graph.flatten(graph.global_avg_pool(x, "pool"), "flatten")
    return graph.linear(x, _CLASSES, True, "classifier")


def _conv_norm_relu(
    graph: Graph, x: int, c_out: int, at: str, *, kernel: int = 1, stride: int = 1, groups: int = 1
) -> int:
    x = graph.conv2d(x, c_out, kernel, stride, kernel // 2, groups=groups, name=at)
    return graph.relu(graph.batch_norm(x, f"{at}.norm"), f"{at}.relu")
