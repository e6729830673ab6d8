"""EfficientNet-B0 to B3: inverted residuals with squeeze and excite, scaled together.

Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", 2019, with
torchvision's padding of half a kernel. Stochastic depth is nothing outside training.
"""

from __future__ import annotations

import math

from alphaflops._core import Graph
from alphaflops.zoo.blocks import conv_norm, divisible, inverted_residual, pool_and_classify

# Expansion, kernel, stride of the first block, channels and blocks of B0.
_STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)


def efficientnet_b0(graph: Graph, x: int) -> int:
    """Add EfficientNet-B0 behind the image `x`; return the logits."""
    return _efficientnet(graph, x, width=1.0, depth=1.0)


def efficientnet_b1(graph: Graph, x: int) -> int:
    """Add EfficientNet-B1 behind the image `x`; return the logits."""
    return _efficientnet(graph, x, width=1.0, depth=1.1)


def efficientnet_b2(graph: Graph, x: int) -> int:
    """Add EfficientNet-B2 behind the image `x`; return the logits."""
    return _efficientnet(graph, x, width=1.1, depth=1.2)


def efficientnet_b3(graph: Graph, x: int) -> int:
    """Add EfficientNet-B3 behind the image `x`; return the logits."""
    return _efficientnet(graph, x, width=1.2, depth=1.4)


def _efficientnet(graph: Graph, x: int, *, width: float, depth: float) -> int:
    stem = divisible(32 * width)
    x = conv_norm(graph, x, stem, "features.0", kernel=3, stride=2, activation="silu")
    for stage, (expansion, kernel, first_stride, channels, blocks) in enumerate(_STAGES, 1):
        for i in range(math.ceil(blocks * depth)):
            x = _block(
                graph,
                x,
                f"features.{stage}.{i}",
                expansion=expansion,
                kernel=kernel,
                stride=first_stride if i == 0 else 1,
                c_out=divisible(channels * width),
            )
    last = 4 * graph.shape(x)[1]
    x = conv_norm(graph, x, last, f"features.{len(_STAGES) + 1}", activation="silu")
    return pool_and_classify(graph, x, "classifier.1")


def _block(
    graph: Graph, x: int, at: str, *, expansion: int, kernel: int, stride: int, c_out: int
) -> int:
    c_in = graph.shape(x)[1]
    return inverted_residual(
        graph,
        x,
        c_out,
        at,
        hidden=divisible(c_in * expansion),
        kernel=kernel,
        stride=stride,
        activation="silu",
        squeezed=max(1, c_in // 4),
        excite=("silu", "sigmoid"),
    )
