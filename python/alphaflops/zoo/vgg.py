"""VGG-16 without batch norm (configuration D).

Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", 2015.
"""

from __future__ import annotations

from alphaflops._core import Graph
from alphaflops.errors import ShapeError

_POOLED = 7  # the extent that the classifier takes
_SHRINK = 32  # five halvings before it


def vgg16(graph: Graph, x: int) -> int:
    """Add VGG-16 behind the image `x`; return the logits."""
    index = 0  # of torchvision's nn.Sequential, which counts activations and pools too
    for channels, convolutions in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(convolutions):
            x = graph.conv2d(x, channels, 3, padding=1, bias=True, name=f"features.{index}")
            x = graph.relu(x, f"features.{index + 1}")
            index += 2
        x = graph.max_pool(x, 2, name=f"features.{index}")
        index += 1
    x = graph.flatten(_adaptive_pool(graph, x), "flatten")
    for i in (0, 3):
        x = graph.linear(x, 4096, True, f"classifier.{i}")
        x = graph.relu(x, f"classifier.{i + 1}")
    return graph.linear(x, 1000, True, "classifier.6")


def _adaptive_pool(graph: Graph, x: int) -> int:
    """Pool to 7 x 7 with equal windows; nothing where the extent is 7 already."""
    extent = graph.shape(x)[2]
    if extent % _POOLED:
        raise ShapeError(
            f"avgpool: the features are {extent} x {extent}, which equal windows cannot pool to "
            f"{_POOLED} x {_POOLED}; use an image_size of {_POOLED * _SHRINK} "
            f"or another multiple of it"
        )
    if extent == _POOLED:
        return x
    return graph.avg_pool(x, extent // _POOLED, name="avgpool")
