"""MobileNetV2 at width 1.0 and MobileNetV3: inverted residuals with linear bottlenecks.

Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", 2018, table 2;
Howard et al., "Searching for MobileNetV3", 2019, tables 1 and 2.
"""

from __future__ import annotations

from alphaflops._core import Graph
from alphaflops.zoo.blocks import conv_norm, divisible, inverted_residual, pool_and_classify

# Expansion, output channels, blocks, stride of the first block.
_V2_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)

# Kernel, expanded channels, output channels, squeeze and excite, activation, stride.
_V3_LARGE = (
    (3, 16, 16, False, "relu", 1),
    (3, 64, 24, False, "relu", 2),
    (3, 72, 24, False, "relu", 1),
    (5, 72, 40, True, "relu", 2),
    (5, 120, 40, True, "relu", 1),
    (5, 120, 40, True, "relu", 1),
    (3, 240, 80, False, "hardswish", 2),
    (3, 200, 80, False, "hardswish", 1),
    (3, 184, 80, False, "hardswish", 1),
    (3, 184, 80, False, "hardswish", 1),
    (3, 480, 112, True, "hardswish", 1),
    (3, 672, 112, True, "hardswish", 1),
    (5, 672, 160, True, "hardswish", 2),
    (5, 960, 160, True, "hardswish", 1),
    (5, 960, 160, True, "hardswish", 1),
)
_V3_SMALL = (
    (3, 16, 16, True, "relu", 2),
    (3, 72, 24, False, "relu", 2),
    (3, 88, 24, False, "relu", 1),
    (5, 96, 40, True, "hardswish", 2),
    (5, 240, 40, True, "hardswish", 1),
    (5, 240, 40, True, "hardswish", 1),
    (5, 120, 48, True, "hardswish", 1),
    (5, 144, 48, True, "hardswish", 1),
    (5, 288, 96, True, "hardswish", 2),
    (5, 576, 96, True, "hardswish", 1),
    (5, 576, 96, True, "hardswish", 1),
)


def mobilenet_v2(graph: Graph, x: int) -> int:
    """Add MobileNetV2 behind the image `x`; return the logits."""
    x = conv_norm(graph, x, 32, "features.0", kernel=3, stride=2, activation="relu6")
    index = 1
    for expansion, c_out, blocks, first_stride in _V2_STAGES:
        for i in range(blocks):
            stride = first_stride if i == 0 else 1
            x = _v2_block(
                graph, x, f"features.{index}", expansion=expansion, c_out=c_out, stride=stride
            )
            index += 1
    x = conv_norm(graph, x, 1280, f"features.{index}", activation="relu6")
    return pool_and_classify(graph, x, "classifier.1")


def _v2_block(graph: Graph, x: int, at: str, *, expansion: int, c_out: int, stride: int) -> int:
    c_in = graph.shape(x)[1]
    hidden = expansion * c_in
    y, part = x, 0
    if expansion > 1:
        y, part = conv_norm(graph, y, hidden, f"{at}.conv.{part}", activation="relu6"), part + 1
    y = conv_norm(
        graph,
        y,
        hidden,
        f"{at}.conv.{part}",
        kernel=3,
        stride=stride,
        groups=hidden,
        activation="relu6",
    )
    y = graph.conv2d(y, c_out, name=f"{at}.conv.{part + 1}")
    y = graph.batch_norm(y, f"{at}.conv.{part + 2}")
    return graph.add(x, y, f"{at}.add") if stride == 1 and c_in == c_out else y


def mobilenet_v3_large(graph: Graph, x: int) -> int:
    """Add MobileNetV3-Large behind the image `x`; return the logits."""
    return _v3(graph, x, _V3_LARGE, classifier=1280)


def mobilenet_v3_small(graph: Graph, x: int) -> int:
    """Add MobileNetV3-Small behind the image `x`; return the logits."""
    return _v3(graph, x, _V3_SMALL, classifier=1024)


def _v3(
    graph: Graph,
    x: int,
    blocks: tuple[tuple[int, int, int, bool, str, int], ...],
    classifier: int,
) -> int:
    x = conv_norm(graph, x, 16, "features.0", kernel=3, stride=2, activation="hardswish")
    for i, block in enumerate(blocks, 1):
        x = _v3_block(graph, x, f"features.{i}", block)
    last = 6 * graph.shape(x)[1]
    x = conv_norm(graph, x, last, f"features.{len(blocks) + 1}", activation="hardswish")
    x = graph.flatten(graph.global_avg_pool(x, "avgpool"), "flatten")
    x = graph.linear(x, classifier, True, "classifier.0")
    return graph.linear(
        graph.activation(x, "hardswish", "classifier.1"), 1000, True, "classifier.3"
    )


def _v3_block(graph: Graph, x: int, at: str, block: tuple[int, int, int, bool, str, int]) -> int:
    kernel, hidden, c_out, excites, activation, stride = block
    return inverted_residual(
        graph,
        x,
        c_out,
        at,
        hidden=hidden,
        kernel=kernel,
        stride=stride,
        activation=activation,
        squeezed=divisible(hidden // 4) if excites else 0,
    )
