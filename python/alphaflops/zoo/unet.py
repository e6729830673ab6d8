"""U-Net: a path down and one back up, which reads what the first made at every extent.

Ronneberger et al., "U-Net: Convolutional Networks for Biomedical Image Segmentation", 2015, in the
variant in use since: padded convolutions with batch norm, three channels in, two classes out.
"""

from __future__ import annotations

from alphaflops._core import Graph
from alphaflops.errors import ShapeError

_CHANNELS = (64, 128, 256, 512, 1024)


def unet(graph: Graph, x: int) -> int:
    """Add U-Net behind the image `x`; return the logits of every pixel."""
    extent, halvings = graph.shape(x)[2], len(_CHANNELS) - 1
    if extent % (1 << halvings):
        raise ShapeError(
            f"image: the image_size is {extent}; it must be a multiple of {1 << halvings}, "
            f"so that {halvings} halvings can be undone"
        )
    x = _double_conv(graph, x, _CHANNELS[0], "inc")
    skipped = []
    for i, channels in enumerate(_CHANNELS[1:], 1):
        skipped.append(x)
        x = graph.max_pool(x, 2, name=f"down{i}.maxpool_conv.0")
        x = _double_conv(graph, x, channels, f"down{i}.maxpool_conv.1")
    for i, channels in enumerate(reversed(_CHANNELS[:-1]), 1):
        x = graph.conv(x, channels, 2, 2, bias=True, transposed=True, name=f"up{i}.up")
        x = graph.concat([skipped.pop(), x], f"up{i}.concat")
        x = _double_conv(graph, x, channels, f"up{i}.conv")
    return graph.conv2d(x, 2, bias=True, name="outc.conv")


def _double_conv(graph: Graph, x: int, channels: int, at: str) -> int:
    for first in (0, 3):  # positions in the nn.Sequential
        names = [f"{at}.double_conv.{first + i}" for i in range(3)]
        x = graph.batch_norm(graph.conv2d(x, channels, 3, padding=1, name=names[0]), names[1])
        x = graph.relu(x, names[2])
    return x
