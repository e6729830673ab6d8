"""Darknet-53, the backbone of the YOLOv3 detector, with the classifier it was trained with.

Redmon and Farhadi, "YOLOv3: An Incremental Improvement", 2018, table 1: convolutions with batch
norm and a leaky ReLU, and residual blocks that halve the channels in between.
"""

from __future__ import annotations

from alphaflops._core import Graph
from alphaflops.zoo.blocks import pool_and_classify

_STAGES = ((1, 64), (2, 128), (8, 256), (8, 512), (4, 1024))  # blocks, channels


def darknet53(graph: Graph, x: int) -> int:
    """Add Darknet-53 behind the image `x`; return the logits."""
    x = _conv(graph, x, 32, "stem", kernel=3)
    for stage, (blocks, channels) in enumerate(_STAGES):
        at = f"stages.{stage}"
        x = _conv(graph, x, channels, f"{at}.down", kernel=3, stride=2)
        for i in range(blocks):
            y = _conv(graph, x, channels // 2, f"{at}.blocks.{i}.conv1")
            y = _conv(graph, y, channels, f"{at}.blocks.{i}.conv2", kernel=3)
            x = graph.add(x, y, f"{at}.blocks.{i}.add")
    return pool_and_classify(graph, x, "fc")


def _conv(graph: Graph, x: int, c_out: int, at: str, *, kernel: int = 1, stride: int = 1) -> int:
    x = graph.conv2d(x, c_out, kernel, stride, kernel // 2, name=f"{at}.conv")
    return graph.element([graph.batch_norm(x, f"{at}.bn")], "leaky_relu", name=f"{at}.act")
