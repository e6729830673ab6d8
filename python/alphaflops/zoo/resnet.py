"""ResNets with basic blocks (18, 34) and bottlenecks, stride on the 3x3 convolution.

He et al., "Deep Residual Learning for Image Recognition", 2016, in torchvision's variant ("v1.5");
Xie et al., "Aggregated Residual Transformations for Deep Neural Networks", 2017 (ResNeXt);
Zagoruyko and Komodakis, "Wide Residual Networks", 2016, as torchvision widens ResNet-50.
"""

from __future__ import annotations

from alphaflops._core import Graph
from alphaflops.zoo.blocks import pool_and_classify


def resnet18(graph: Graph, x: int) -> int:
    """Add ResNet-18 behind the image `x`; return the logits."""
    return _resnet(graph, x, blocks=(2, 2, 2, 2), bottleneck=False)


def resnet34(graph: Graph, x: int) -> int:
    """Add ResNet-34 behind the image `x`; return the logits."""
    return _resnet(graph, x, blocks=(3, 4, 6, 3), bottleneck=False)


def resnet50(graph: Graph, x: int) -> int:
    """Add ResNet-50 behind the image `x`; return the logits."""
    return _resnet(graph, x, blocks=(3, 4, 6, 3))


def resnet101(graph: Graph, x: int) -> int:
    """Add ResNet-101 behind the image `x`; return the logits."""
    return _resnet(graph, x, blocks=(3, 4, 23, 3))


def resnext50_32x4d(graph: Graph, x: int) -> int:
    """Add ResNeXt-50 (32 groups of 4 channels) behind the image `x`; return the logits."""
    return _resnet(graph, x, blocks=(3, 4, 6, 3), widening=2, groups=32)


def wide_resnet50_2(graph: Graph, x: int) -> int:
    """Add ResNet-50 with bottlenecks twice as wide behind the image `x`; return the logits."""
    return _resnet(graph, x, blocks=(3, 4, 6, 3), widening=2)


def _conv_norm(
    graph: Graph,
    x: int,
    c_out: int,
    names: tuple[str, str],
    *,
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
) -> int:
    x = graph.conv2d(x, c_out, kernel, stride, kernel // 2, groups=groups, name=names[0])
    return graph.batch_norm(x, names[1])


def _block(graph: Graph, x: int, at: str, layers: list[tuple[int, int, int, int]]) -> int:
    """Add a residual block of convolutions: channels, kernel, stride and groups of each."""
    y = x
    for i, (c_out, kernel, stride, groups) in enumerate(layers, 1):
        names = (f"{at}.conv{i}", f"{at}.bn{i}")
        y = _conv_norm(graph, y, c_out, names, kernel=kernel, stride=stride, groups=groups)
        if i < len(layers):
            y = graph.relu(y, f"{at}.relu_{i}")
    if graph.shape(x) != graph.shape(y):
        names = (f"{at}.downsample.0", f"{at}.downsample.1")
        stride = max(layer[2] for layer in layers)
        x = _conv_norm(graph, x, graph.shape(y)[1], names, stride=stride)
    return graph.relu(graph.add(y, x, f"{at}.add"), f"{at}.relu")


def _resnet(
    graph: Graph,
    x: int,
    *,
    blocks: tuple[int, ...],
    bottleneck: bool = True,
    widening: int = 1,
    groups: int = 1,
) -> int:
    x = graph.relu(_conv_norm(graph, x, 64, ("conv1", "bn1"), kernel=7, stride=2), "relu")
    x = graph.max_pool(x, 3, 2, 1, name="maxpool")
    for stage, count in enumerate(blocks):
        planes = 64 << stage
        width = planes * widening
        for i in range(count):
            stride = 2 if stage > 0 and i == 0 else 1
            if bottleneck:
                layers = [(width, 1, 1, 1), (width, 3, stride, groups), (4 * planes, 1, 1, 1)]
            else:
                layers = [(planes, 3, stride, 1), (planes, 3, 1, 1)]
            x = _block(graph, x, f"layer{stage + 1}.{i}", layers)
    return pool_and_classify(graph, x, "fc")
