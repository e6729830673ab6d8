"""MobileNetV2 at width 1.0: inverted residuals with linear bottlenecks.

Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", 2018, table 2.
"""

from __future__ import annotations

from alphaflops._core import Graph

# Expansion, output channels, blocks, stride of the first block.
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def mobilenet_v2(graph: Graph, x: int) -> int:
    """Add MobileNetV2 behind the image `x`; return the logits."""
    x = _conv_norm_relu6(graph, x, 32, "features.0", kernel=3, stride=2)
    index = 1
    for expansion, c_out, blocks, first_stride in _STAGES:
        for i in range(blocks):
            stride = first_stride if i == 0 else 1
            x = _inverted_residual(
                graph, x, f"features.{index}", expansion=expansion, c_out=c_out, stride=stride
            )
            index += 1
    x = _conv_norm_relu6(graph, x, 1280, f"features.{index}")
    x = graph.flatten(graph.global_avg_pool(x, "avgpool"), "flatten")
    return graph.linear(x, 1000, True, "classifier.1")


def _conv_norm_relu6(
    graph: Graph, x: int, c_out: int, at: str, *, kernel: int = 1, stride: int = 1, groups: int = 1
) -> int:
    x = graph.conv2d(x, c_out, kernel, stride, kernel // 2, groups=groups, name=f"{at}.0")
    return graph.activation(graph.batch_norm(x, f"{at}.1"), "relu6", f"{at}.2")


def _inverted_residual(
    graph: Graph, x: int, at: str, *, expansion: int, c_out: int, stride: int
) -> int:
    c_in = graph.shape(x)[1]
    hidden = expansion * c_in
    y, part = x, 0
    if expansion > 1:
        y, part = _conv_norm_relu6(graph, y, hidden, f"{at}.conv.{part}"), part + 1
    y = _conv_norm_relu6(
        graph, y, hidden, f"{at}.conv.{part}", kernel=3, stride=stride, groups=hidden
    )
    y = graph.conv2d(y, c_out, name=f"{at}.conv.{part + 1}")
    y = graph.batch_norm(y, f"{at}.conv.{part + 2}")
    return graph.add(x, y, f"{at}.add") if stride == 1 and c_in == c_out else y
