"""SqueezeNet 1.0: a few 1x1 convolutions feed as many 1x1 and 3x3 ones as they are cheap.

Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model
size", 2016.
"""

from __future__ import annotations

from alphaflops._core import Graph

# Channels that are squeezed to, and that each expansion makes; None is a max pool.
_FEATURES = (
    (16, 64),
    (16, 64),
    (32, 128),
    None,
    (32, 128),
    (48, 192),
    (48, 192),
    (64, 256),
    None,
    (64, 256),
)


def squeezenet1_0(graph: Graph, x: int) -> int:
    """Add SqueezeNet 1.0 behind the image `x`; return the logits."""
    x = graph.relu(graph.conv2d(x, 96, 7, 2, bias=True, name="features.0"), "features.1")
    x = graph.max_pool(x, 3, 2, ceil_mode=True, name="features.2")
    for index, fire in enumerate(_FEATURES, 3):
        at = f"features.{index}"
        if fire is None:
            x = graph.max_pool(x, 3, 2, ceil_mode=True, name=at)
        else:
            x = _fire(graph, x, at, *fire)
    x = graph.conv2d(x, 1000, bias=True, name="classifier.1")
    x = graph.global_avg_pool(graph.relu(x, "classifier.2"), "classifier.3")
    return graph.flatten(x, "flatten")


def _fire(graph: Graph, x: int, at: str, squeezed: int, expanded: int) -> int:
    def conv(x: int, c_out: int, kernel: int, name: str) -> int:
        x = graph.conv2d(x, c_out, kernel, padding=kernel // 2, bias=True, name=f"{at}.{name}")
        return graph.relu(x, f"{at}.{name}_activation")

    x = conv(x, squeezed, 1, "squeeze")
    wide = [conv(x, expanded, 1, "expand1x1"), conv(x, expanded, 3, "expand3x3")]
    return graph.concat(wide, f"{at}.concat")
