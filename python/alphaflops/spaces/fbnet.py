"""The FBNet space for images of 32 x 32: 22 blocks, each one of nine operators.

Wu et al., "FBNet: Hardware-Aware Efficient ConvNet Design via Differentiable Neural Architecture
Search", CVPR 2019, table 1; sizes for CIFAR-100 as in Li et al., "HW-NAS-Bench", ICLR 2021.

A block of kernel k, expansion e and groups g is 1x1 convolution to e times the channels, k x k
depthwise, 1x1 to the block's channels; the 1x1s have g groups and a channel shuffle follows the
first of them. Norms follow every convolution, ReLUs all but the last of a block. The input is added
where the shape stays. `skip` is nothing there, and a 1x1 convolution elsewhere.
"""

from __future__ import annotations

from typing import NamedTuple

from alphaflops._core import Graph
from alphaflops.spaces.space import SearchSpace


class _Stage(NamedTuple):
    blocks: int
    channels: int
    first_stride: int


class _Operator(NamedTuple):
    kernel: int
    expansion: int
    groups: int


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
_OPERATORS: dict[str, _Operator | None] = {
    "k3_e1": _Operator(3, 1, 1),
    "k3_e1_g2": _Operator(3, 1, 2),
    "k3_e3": _Operator(3, 3, 1),
    "k3_e6": _Operator(3, 6, 1),
    "k5_e1": _Operator(5, 1, 1),
    "k5_e1_g2": _Operator(5, 1, 2),
    "k5_e3": _Operator(5, 3, 1),
    "k5_e6": _Operator(5, 6, 1),
    "skip": None,
}
_BY_NUMBER = tuple(_OPERATORS.values())
# Channels and stride of every position.
_POSITIONS = tuple(
    (stage.channels, stage.first_stride if block == 0 else 1)
    for stage in _STAGES
    for block in range(stage.blocks)
)


def fbnet() -> SearchSpace:
    """Return the FBNet space: 22 positions, nine choices, images of 3 x 32 x 32."""
    return SearchSpace("fbnet", len(_POSITIONS), tuple(_OPERATORS), _network, (3, 32, 32))


def _network(graph: Graph, x: int, code: tuple[int, ...]) -> int:
    x = _conv_norm_relu(graph, x, _STEM, "stem", kernel=3)
    for position, (number, (channels, stride)) in enumerate(zip(code, _POSITIONS, strict=True)):
        at, operator = f"blocks.{position}", _BY_NUMBER[number]
        if operator is not None:
            x = _block(graph, x, at, operator, c_out=channels, stride=stride)
        elif stride != 1 or graph.shape(x)[1] != channels:
            x = _conv_norm_relu(graph, x, channels, at, stride=stride)
    x = _conv_norm_relu(graph, x, _HEAD, "head")
    x = graph.flatten(graph.global_avg_pool(x, "pool"), "flatten")
    return graph.linear(x, _CLASSES, True, "classifier")


def _block(graph: Graph, x: int, at: str, op: _Operator, *, c_out: int, stride: int) -> int:
    c_in = graph.shape(x)[1]
    hidden = op.expansion * c_in
    y = _conv_norm_relu(graph, x, hidden, f"{at}.expand", groups=op.groups)
    if op.groups > 1:
        y = graph.concat([y], f"{at}.shuffle")  # a shuffle moves what a copy moves
    y = _conv_norm_relu(
        graph, y, hidden, f"{at}.depthwise", kernel=op.kernel, stride=stride, groups=hidden
    )
    y = graph.conv2d(y, c_out, groups=op.groups, name=f"{at}.project")
    y = graph.batch_norm(y, f"{at}.project.norm")
    return graph.add(x, y, f"{at}.add") if stride == 1 and c_in == c_out else y


def _conv_norm_relu(
    graph: Graph, x: int, c_out: int, at: str, *, kernel: int = 1, stride: int = 1, groups: int = 1
) -> int:
    x = graph.conv2d(x, c_out, kernel, stride, kernel // 2, groups=groups, name=at)
    return graph.relu(graph.batch_norm(x, f"{at}.norm"), f"{at}.relu")
