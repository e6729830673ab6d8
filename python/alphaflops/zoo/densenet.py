"""DenseNet-121: every layer of a block reads all features that the block has made so far.

Huang et al., "Densely Connected Convolutional Networks", 2017. As torchvision runs it, each layer
concatenates the features before it anew, a single tensor included, which copies them.
"""

from __future__ import annotations

from alphaflops._core import Graph
from alphaflops.zoo.blocks import pool_and_classify

_GROWTH = 32
_BOTTLENECK = 4  # the 1x1 convolution makes this many times the growth


def densenet121(graph: Graph, x: int) -> int:
    """Add DenseNet-121 behind the image `x`; return the logits."""
    x = graph.conv2d(x, 64, 7, 2, 3, name="features.conv0")
    x = graph.relu(graph.batch_norm(x, "features.norm0"), "features.relu0")
    x = graph.max_pool(x, 3, 2, 1, name="features.pool0")
    blocks = (6, 12, 24, 16)
    for i, layers in enumerate(blocks, 1):
        x = _dense_block(graph, x, layers, f"features.denseblock{i}")
        if i < len(blocks):
            x = _transition(graph, x, f"features.transition{i}")
    x = graph.relu(graph.batch_norm(x, "features.norm5"), "relu")
    return pool_and_classify(graph, x, "classifier")


def _norm_relu_conv(
    graph: Graph, x: int, c_out: int, names: tuple[str, str, str], kernel: int = 1
) -> int:
    x = graph.relu(graph.batch_norm(x, names[0]), names[1])
    return graph.conv2d(x, c_out, kernel, padding=kernel // 2, name=names[2])


def _dense_block(graph: Graph, x: int, layers: int, at: str) -> int:
    features = [x]
    for i in range(1, layers + 1):
        layer = f"{at}.denselayer{i}"
        first = (f"{layer}.norm1", f"{layer}.relu1", f"{layer}.conv1")
        second = (f"{layer}.norm2", f"{layer}.relu2", f"{layer}.conv2")
        y = graph.concat(features, f"{layer}.concat")
        y = _norm_relu_conv(graph, y, _BOTTLENECK * _GROWTH, first)
        features.append(_norm_relu_conv(graph, y, _GROWTH, second, kernel=3))
    return graph.concat(features, f"{at}.concat")


def _transition(graph: Graph, x: int, at: str) -> int:
    names = (f"{at}.norm", f"{at}.relu", f"{at}.conv")
    x = _norm_relu_conv(graph, x, graph.shape(x)[1] // 2, names)
    return graph.avg_pool(x, 2, name=f"{at}.pool")
