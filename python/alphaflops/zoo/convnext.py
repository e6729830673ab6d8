"""ConvNeXt-Tiny: depthwise 7x7 convolutions, then a layer norm and two linear layers a pixel.

Liu et al., "A ConvNet for the 2020s", 2022, in torchvision's variant. Permutations are views, as
PyTorch then runs everything with channels last; only the stem's norm copies its input there.
Stochastic depth is nothing outside training.
"""

from __future__ import annotations

from alphaflops._core import Graph

_STAGES = ((3, 96), (3, 192), (9, 384), (3, 768))  # blocks, channels


def convnext_tiny(graph: Graph, x: int) -> int:
    """Add ConvNeXt-Tiny behind the image `x`; return the logits."""
    for stage, (blocks, channels) in enumerate(_STAGES):
        at = f"features.{2 * stage}"
        if stage == 0:
            x = graph.conv2d(x, channels, 4, 4, bias=True, name=f"{at}.0")
            x = graph.element([x], "contiguous", graph.shape(x), f"{at}.1.contiguous")
            x = _norm_channels(graph, x, f"{at}.1")
        else:
            x = _norm_channels(graph, x, f"{at}.0")
            x = graph.conv2d(x, channels, 2, 2, bias=True, name=f"{at}.1")
        for i in range(blocks):
            x = _block(graph, x, f"features.{2 * stage + 1}.{i}")
    x = _norm_channels(graph, graph.global_avg_pool(x, "avgpool"), "classifier.0")
    return graph.linear(graph.flatten(x, "classifier.1"), 1000, True, "classifier.2")


def _channels_last(graph: Graph, x: int, name: str) -> int:
    batch, channels, height, width = graph.shape(x)
    return graph.view(x, [batch, height, width, channels], name)


def _channels_first(graph: Graph, x: int, name: str) -> int:
    batch, height, width, channels = graph.shape(x)
    return graph.view(x, [batch, channels, height, width], name)


def _norm_channels(graph: Graph, x: int, at: str) -> int:
    x = graph.norm(_channels_last(graph, x, f"{at}.permute"), "layer", name=at)
    return _channels_first(graph, x, f"{at}.permute_back")


def _block(graph: Graph, x: int, at: str) -> int:
    channels = graph.shape(x)[1]
    y = graph.conv2d(x, channels, 7, padding=3, groups=channels, bias=True, name=f"{at}.block.0")
    y = graph.norm(_channels_last(graph, y, f"{at}.block.1"), "layer", name=f"{at}.block.2")
    y = graph.linear(y, 4 * channels, True, f"{at}.block.3")
    y = graph.linear(graph.activation(y, "gelu", f"{at}.block.4"), channels, True, f"{at}.block.5")
    y = _channels_first(graph, y, f"{at}.block.6")
    scale = graph.constant([channels, 1, 1], True, f"{at}.layer_scale")
    return graph.add(graph.element([y, scale], "mul", name=f"{at}.scale"), x, f"{at}.add")
