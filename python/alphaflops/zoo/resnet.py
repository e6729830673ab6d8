"""ResNet with basic blocks (18) and bottlenecks (50), stride on the 3x3 convolution.

He et al., "Deep Residual Learning for Image Recognition", 2016, in torchvision's variant ("v1.5").
"""

from __future__ import annotations

from alphaflops._core import Graph


def resnet18(graph: Graph, x: int) -> int:
    """Add ResNet-18 behind the image `x`; return the logits."""
    return _resnet(graph, x, blocks=(2, 2, 2, 2), bottleneck=False)


def resnet50(graph: Graph, x: int) -> int:
    """Add ResNet-50 behind the image `x`; return the logits."""
    return _resnet(graph, x, blocks=(3, 4, 6, 3), bottleneck=True)


def _conv_norm(
    graph: Graph,
    x: int,
    c_out: int,
    names: tuple[str, str],
    *,
    kernel: int = 1,
    stride: int = 1,
) -> int:
    x = graph.conv2d(x, c_out, kernel, stride, kernel // 2, name=names[0])
    return graph.batch_norm(x, names[1])


def _block(graph: Graph, x: int, at: str, *, width: int, stride: int, bottleneck: bool) -> int:
    # (channels, kernel, stride) of the block's convolutions, in order.
    if bottleneck:
        layers = [(width, 1, 1), (width, 3, stride), (4 * width, 1, 1)]
    else:
        layers = [(width, 3, stride), (width, 3, 1)]
    y = x
    for i, (c_out, kernel, step) in enumerate(layers, 1):
        y = _conv_norm(
            graph, y, c_out, (f"{at}.conv{i}", f"{at}.bn{i}"), kernel=kernel, stride=step
        )
        if i < len(layers):
            y = graph.relu(y, f"{at}.relu_{i}")
    if graph.shape(x) != graph.shape(y):
        names = (f"{at}.downsample.0", f"{at}.downsample.1")
        x = _conv_norm(graph, x, graph.shape(y)[1], names, stride=stride)
    return graph.relu(graph.add(y, x, f"{at}.add"), f"{at}.relu")


def _resnet(graph: Graph, x: int, blocks: tuple[int, ...], bottleneck: bool) -> int:
    x = graph.relu(_conv_norm(graph, x, 64, ("conv1", "bn1"), kernel=7, stride=2), "relu")
    x = graph.max_pool(x, 3, 2, 1, name="maxpool")
    for stage, count in enumerate(blocks):
        for i in range(count):
            stride = 2 if stage > 0 and i == 0 else 1
            at = f"layer{stage + 1}.{i}"
            x = _block(graph, x, at, width=64 << stage, stride=stride, bottleneck=bottleneck)
    x = graph.flatten(graph.global_avg_pool(x, "avgpool"), "flatten")
    return graph.linear(x, 1000, True, "fc")
