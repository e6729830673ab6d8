"""RegNetY-400MF: bottlenecks of grouped convolutions with squeeze and excite.

Radosavovic et al., "Designing Network Design Spaces", 2020, in torchvision's variant.
"""

from __future__ import annotations

from alphaflops._core import Graph
from alphaflops.zoo.blocks import conv_norm, pool_and_classify, squeeze_excite

_GROUP_WIDTH = 8
_STAGES = ((1, 48), (3, 104), (6, 208), (6, 440))  # blocks, channels


def regnet_y_400mf(graph: Graph, x: int) -> int:
    """Add RegNetY-400MF behind the image `x`; return the logits."""
    x = conv_norm(graph, x, 32, "stem", kernel=3, stride=2, activation="relu")
    for stage, (blocks, channels) in enumerate(_STAGES, 1):
        for i in range(blocks):
            at = f"trunk_output.block{stage}.block{stage}-{i}"
            x = _block(graph, x, at, channels, 2 if i == 0 else 1)
    return pool_and_classify(graph, x, "fc")


def _block(graph: Graph, x: int, at: str, channels: int, stride: int) -> int:
    c_in = graph.shape(x)[1]
    y = conv_norm(graph, x, channels, f"{at}.f.a", activation="relu")
    y = conv_norm(
        graph,
        y,
        channels,
        f"{at}.f.b",
        kernel=3,
        stride=stride,
        groups=channels // _GROUP_WIDTH,
        activation="relu",
    )
    y = squeeze_excite(graph, y, round(c_in / 4), f"{at}.f.se", activation="relu", gate="sigmoid")
    y = conv_norm(graph, y, channels, f"{at}.f.c")
    if stride != 1 or c_in != channels:
        x = conv_norm(graph, x, channels, f"{at}.proj", stride=stride)
    return graph.relu(graph.add(x, y, f"{at}.add"), f"{at}.activation")
