"""ShuffleNetV2 at width 1.0: half of the channels pass, and a shuffle mixes the halves.

Ma et al., "ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design", 2018. The
split of the channels is two views; the shuffle is a copy.
"""

from __future__ import annotations

from alphaflops._core import Graph
from alphaflops.zoo.blocks import conv_norm, pool_and_classify

_STAGES = ((4, 116), (8, 232), (4, 464))  # blocks, channels


def shufflenet_v2_x1_0(graph: Graph, x: int) -> int:
    """Add ShuffleNetV2 1.0x behind the image `x`; return the logits."""
    x = conv_norm(graph, x, 24, "conv1", kernel=3, stride=2, activation="relu")
    x = graph.max_pool(x, 3, 2, 1, name="maxpool")
    for stage, (blocks, channels) in enumerate(_STAGES, 2):
        for i in range(blocks):
            x = _block(graph, x, f"stage{stage}.{i}", half=channels // 2, halves_extent=i == 0)
    x = conv_norm(graph, x, 1024, "conv5", activation="relu")
    return pool_and_classify(graph, x, "fc")


def _layers(graph: Graph, x: int, at: str, kinds: str, *, channels: int, stride: int) -> int:
    """Add ``p``ointwise convolutions with an activation and ``d``epthwise ones without."""
    index = 0  # in torchvision's nn.Sequential
    for kind in kinds:
        names = [f"{at}.{index + i}" for i in range(3)]
        if kind == "d":
            groups = graph.shape(x)[1]
            x = graph.conv2d(x, groups, 3, stride, 1, groups=groups, name=names[0])
            x = graph.batch_norm(x, names[1])
            index += 2
        else:
            x = graph.batch_norm(graph.conv2d(x, channels, name=names[0]), names[1])
            x = graph.relu(x, names[2])
            index += 3
    return x


def _block(graph: Graph, x: int, at: str, *, half: int, halves_extent: bool) -> int:
    if halves_extent:
        left = _layers(graph, x, f"{at}.branch1", "dp", channels=half, stride=2)
        right, stride = x, 2
    else:
        batch, _, height, width = graph.shape(x)
        left, right = (
            graph.part(x, [batch, half, height, width], f"{at}.half_{i}") for i in (1, 2)
        )
        stride = 1
    right = _layers(graph, right, f"{at}.branch2", "pdp", channels=half, stride=stride)
    x = graph.concat([left, right], f"{at}.concat")
    return graph.element([x], "transpose", graph.shape(x), f"{at}.shuffle")
