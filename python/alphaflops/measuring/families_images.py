"""Families of operators on images and volumes, each with what is usual of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from alphaflops.measuring.shapes import Frames, Shape

__all__ = [
    "MAX_MACS",
    "Family",
    "channels_of",
    "concat",
    "depthwise",
    "eager_pool",
    "elementwise",
    "gate",
    "grouped",
    "grouped_pointwise",
    "image_transcendental",
    "large",
    "late",
    "linear",
    "log_uniform",
    "mean",
    "norm",
    "of",
    "patches",
    "pointwise",
    "pool",
    "same_pool",
    "size_of",
    "softmax",
    "spatial",
    "squeeze_excite",
    "transposed",
    "unlike_groups",
    "volume",
    "wide_depthwise",
]

Family: TypeAlias = Callable[[np.random.Generator], Shape]

MAX_MACS = 2_000_000_000  # of a convolution or linear layer
_MAX_LINEAR_WEIGHTS = 110_000_000
_LARGE_MACS = 400_000_000


def log_uniform(random: np.random.Generator, low: float, high: float) -> float:
    """Draw evenly in the logarithm."""
    return math.exp(random.uniform(math.log(low), math.log(high)))


def size_of(random: np.random.Generator, least: int = 7, most: int = 224) -> int:
    """Draw an extent: mostly a level of the pyramid of a usual image, else any."""
    if random.random() < 0.75:  # noqa: PLR2004
        image = int(random.choice([224, 224, 224, 192, 240, 256, 288]))
        levels = [image >> level for level in range(6) if least <= image >> level <= most]
        return int(random.choice(levels))
    return round(log_uniform(random, least, most))


def channels_of(random: np.random.Generator, size: int, *, least: int = 8, most: int = 2048) -> int:
    """Draw channels that go with an extent: the smaller the image, the more."""
    low = max(least, 4 * 224 / size)
    high = min(most, max(2 * least, 80 * 224 / size))
    low = min(low, high / 2)
    value = low * math.pow(high / low, random.beta(1.5, 1))
    if random.random() < 0.1:  # noqa: PLR2004
        return max(1, round(value))
    step = int(random.choice([8, 16, 32]))
    return max(step, round(value / step) * step)


def pointwise(random: np.random.Generator) -> Shape:
    """Draw a 1x1 convolution."""
    size = size_of(random, most=112)
    stride = 2 if random.random() < 0.08 and size > 7 else 1  # noqa: PLR2004
    return Shape(
        "conv2d", channels_of(random, size), size, channels_of(random, size), stride=stride
    )


def spatial(random: np.random.Generator) -> Shape:
    """Draw a larger convolution, among them first layers."""
    kernel = int(random.choice([3, 5, 7], p=[0.86, 0.08, 0.06]))
    if random.random() < 0.1:  # noqa: PLR2004
        # The first layer of a network: colours in, a large image.
        size, stride = size_of(random, least=96, most=320), int(random.choice([1, 2, 2]))
        c_out = 8 * int(random.integers(2, 9))
        return Shape("conv2d", 3, size, c_out, kernel, stride, kernel // 2)
    size = size_of(random)
    stride = 2 if random.random() < 0.2 and size > 7 else 1  # noqa: PLR2004
    c_in, c_out = channels_of(random, size, most=1024), channels_of(random, size, most=1024)
    return Shape("conv2d", c_in, size, c_out, kernel, stride, kernel // 2)


def patches(random: np.random.Generator) -> Shape:
    """Draw windows far apart: what cuts an image into patches, or brings features a level down."""
    if random.random() < 0.4:  # noqa: PLR2004
        size, kernel = int(random.choice([14, 16, 28, 32, 56])), int(random.choice([2, 2, 2, 4]))
        c_in = channels_of(random, size, most=768)
        return Shape("conv2d", c_in, size, c_in * int(random.choice([1, 2, 2])), kernel, kernel)
    windows = [(4, 4), (8, 8), (14, 14), (16, 16), (16, 16), (32, 32), (7, 4), (8, 4), (11, 4)]
    kernel, stride = windows[int(random.integers(len(windows)))]
    size = int(random.choice([96, 128, 192, 224, 224, 256, 384]))
    c_out = 16 * round(log_uniform(random, 32, 1024) / 16)
    pad = 0 if kernel == stride else kernel // 4
    return Shape("conv2d", 1 if random.random() < 0.1 else 3, size, c_out, kernel, stride, pad)  # noqa: PLR2004


def large(random: np.random.Generator) -> Shape:
    """Draw what takes long."""
    while not _LARGE_MACS <= (shape := spatial(random)).macs <= MAX_MACS:
        pass
    return shape


def late(random: np.random.Generator) -> Shape:
    """Draw what stands at the end of a network: a small image, and more weights than cache."""
    size = int(random.choice([7, 7, 14, int(random.integers(4, 17))]))
    kernel = 3 if random.random() < 0.6 else 1  # noqa: PLR2004
    stride = 2 if random.random() < 0.35 and size > 7 else 1  # noqa: PLR2004
    weights = log_uniform(random, 1e6, 12e6) / kernel**2
    c_in = log_uniform(random, math.sqrt(weights) / 2, math.sqrt(weights) * 2)
    step = int(random.choice([8, 32, 128]))
    c_in, c_out = (max(step, round(c / step) * step) for c in (c_in, weights / c_in))
    return Shape("conv2d", c_in, size, c_out, kernel, stride, kernel // 2)


def depthwise(random: np.random.Generator) -> Shape:
    """Draw a depthwise convolution of three or five pixels."""
    size = size_of(random, most=112)
    kernel = 3 if random.random() < 0.75 else 5  # noqa: PLR2004
    stride = 2 if random.random() < 0.3 and size > 7 else 1  # noqa: PLR2004
    channels = channels_of(random, size)
    return Shape("conv2d", channels, size, channels, kernel, stride, kernel // 2, groups=channels)


def grouped(random: np.random.Generator) -> Shape:
    """Draw a convolution of groups of some channels each."""
    size = size_of(random, most=56)
    width = int(random.choice([4, 8, 8, 16, 16, 24, 32, 64]))
    groups = max(2, round(channels_of(random, size) / width))
    kernel = 3 if random.random() < 0.8 else 1  # noqa: PLR2004
    stride = 2 if random.random() < 0.25 and size > 7 else 1  # noqa: PLR2004
    channels = groups * width
    return Shape("conv2d", channels, size, channels, kernel, stride, kernel // 2, groups=groups)


def unlike_groups(random: np.random.Generator) -> Shape:
    """Draw groups of larger windows, or of more or fewer outputs than inputs."""
    size = size_of(random, most=56)
    narrow = [(1, 2), (1, 2), (1, 4), (2, 1), (2, 2), (2, 4), (4, 4), (4, 8)]
    widths = [*narrow, (8, 4), (8, 8), (8, 16), (16, 4), (16, 16), (16, 32)]
    c_in, c_out = widths[int(random.integers(len(widths)))]
    groups = max(2, round(channels_of(random, size) / max(c_in, c_out)))
    kernel = int(random.choice([3, 5, 7])) if c_in != c_out else int(random.choice([5, 7]))
    stride = 2 if random.random() < 0.25 and size > 7 else 1  # noqa: PLR2004
    return Shape("conv2d", groups * c_in, size, groups * c_out, kernel, stride, kernel // 2, groups)


def squeeze_excite(random: np.random.Generator) -> Shape:
    """Draw a 1x1 convolution of what a global pool leaves, to fewer channels or back."""
    wide = 8 * round(log_uniform(random, 32, 2304) / 8)
    few = 4 * max(1, round(wide / float(random.choice([4, 4, 8, 16, 24])) / 4))
    c_in, c_out = (wide, few) if random.random() < 0.5 else (few, wide)  # noqa: PLR2004
    return Shape("conv2d", c_in, 1, c_out)


def grouped_pointwise(random: np.random.Generator) -> Shape:
    """Draw what PyTorch does group by group with one thread: 1x1, mostly a factor a channel."""
    size = size_of(random, most=56)
    width = int(random.choice([1, 1, 1, 2, 8, 16, 32]))
    groups = max(2, round(channels_of(random, size) / width))
    return Shape("conv2d", groups * width, size, groups * width, groups=groups)


def transposed(random: np.random.Generator) -> Shape:
    """Draw what a decoder or a generator brings its images to twice their extent with."""
    kernel, stride, pad = (
        *((2, 2, 0), (2, 2, 0), (4, 2, 1), (4, 2, 1), (4, 2, 1), (3, 2, 1), (4, 1, 0)),
    )[int(random.integers(7))]
    size = 1 if stride == 1 else int(random.choice([4, 7, 8, 14, 16, 28, 32, 56, 64, 96, 128]))
    c_in = 16 * max(1, round(log_uniform(random, max(16, 448 / size), min(1024, 8192 / size)) / 16))
    c_out = max(8, c_in // int(random.choice([1, 2, 2, 2, 4])))
    return Shape("conv_transpose2d", c_in, size, c_out, kernel, stride, pad)


def volume(random: np.random.Generator) -> Shape:
    """Draw what networks of video and of scans have: a cube, or a frame or a pixel deep."""
    kernels = [(3, 3), (3, 3), (3, 3), (1, 3), (3, 1), (1, 1)]
    deep, kernel = kernels[int(random.integers(len(kernels)))]
    size = int(random.choice([7, 8, 14, 16, 28, 32, 56, 64, 112]))
    stride = 2 if random.random() < 0.25 and size > 7 else 1  # noqa: PLR2004
    frames = Frames(int(random.choice([2, 4, 8, 16, 32])), deep, min(stride, deep), deep // 2)
    c_in = 3 if random.random() < 0.1 else channels_of(random, size, most=512)  # noqa: PLR2004
    c_out = channels_of(random, size, most=512)
    return Shape("conv3d", c_in, size, c_out, kernel, stride, kernel // 2, frames=frames)


def linear(random: np.random.Generator) -> Shape:
    """Draw what stands at the end of a network."""
    batch = 1 if random.random() < 0.7 else int(random.choice([2, 4, 8, 16]))  # noqa: PLR2004
    c_in = 8 * round(log_uniform(random, 128, 25600) / 8)
    c_out = round(log_uniform(random, 100, min(4096, _MAX_LINEAR_WEIGHTS / c_in)))
    return Shape("linear", c_in, 1, c_out, batch=batch)


def elementwise(random: np.random.Generator) -> Shape:
    """Draw an activation of a few instructions, a sum or a product."""
    op = str(random.choice(["relu", "relu", "relu6", "hardswish", "add", "add", "add", "mul"]))
    size = size_of(random, most=112)
    channels = channels_of(random, size)
    return Shape(op, channels, size, channels)


def norm(random: np.random.Generator) -> Shape:
    """Draw a batch norm."""
    size = size_of(random, most=112)
    channels = channels_of(random, size)
    return Shape("batch_norm", channels, size, channels)


def pool(random: np.random.Generator) -> Shape:
    """Draw a pool that halves the extent, or a global one."""
    size = size_of(random)
    channels = channels_of(random, size)
    if random.random() < 0.35:  # noqa: PLR2004
        # At the end of a network, or before each squeeze-and-excitation.
        return Shape("global_avg_pool", channels, min(size, 112), channels)
    op = "max_pool" if random.random() < 0.7 else "avg_pool"  # noqa: PLR2004
    kernel, pad = (3, 1) if random.random() < 0.5 else (2, 0)  # noqa: PLR2004
    return Shape(op, channels, size, channels, kernel, 2, pad)


def eager_pool(random: np.random.Generator) -> Shape:
    """Draw more maxima, and not the smallest: in NCHW, PyTorch's are a tenth of a network."""
    if random.random() < 0.5:  # noqa: PLR2004
        return pool(random)
    if random.random() < 0.25:  # noqa: PLR2004
        return same_pool(random)
    size = size_of(random, least=14)
    channels = channels_of(random, size)
    kernel, pad = (3, 1) if random.random() < 0.5 else (2, 0)  # noqa: PLR2004
    return Shape("max_pool", channels, size, channels, kernel, 2, pad)


def same_pool(random: np.random.Generator) -> Shape:
    """Draw what keeps the extent, in branches of an inception or of a pyramid of pools."""
    op, kernel = ("avg_pool", 3) if random.random() < 0.5 else ("max_pool", 5)  # noqa: PLR2004
    size = size_of(random, most=56)
    return Shape(op, channels := channels_of(random, size), size, channels, kernel, 1, kernel // 2)


def concat(random: np.random.Generator) -> Shape:
    """Draw two tensors that are joined."""
    size = size_of(random, most=56)
    c_in = channels_of(random, size)
    return Shape("concat", c_in, size, c_in + channels_of(random, size))


def softmax(random: np.random.Generator) -> Shape:
    """Draw the scores of classes."""
    return Shape("softmax", (c := round(log_uniform(random, 10, 4096))), 1, c)


def gate(random: np.random.Generator) -> Shape:
    """Draw a product with one number a channel."""
    size = size_of(random, most=112)
    return Shape("gate", (channels := channels_of(random, size)), size, channels)


def mean(random: np.random.Generator) -> Shape:
    """Draw a mean over an image."""
    size = size_of(random, most=56)
    return Shape("mean", (channels := channels_of(random, size)), size, channels)


def image_transcendental(random: np.random.Generator) -> Shape:
    """Draw what convolution networks have in place of a ReLU, and sigmoids, mostly of gates."""
    op = str(random.choice(["silu", "silu", "gelu", "sigmoid"]))
    is_gate = op == "sigmoid" and random.random() < 0.75  # noqa: PLR2004
    size = 1 if is_gate else size_of(random, most=112)
    return Shape(op, channels := channels_of(random, size), size, channels)


def wide_depthwise(random: np.random.Generator) -> Shape:
    """Draw what newer convolution networks mix tokens with."""
    kernel = int(random.choice([7, 7, 7, 9, 11]))
    return depthwise(random)._replace(kernel=kernel, pad=kernel // 2)


def of(op: str, most: int = 112) -> Family:
    """Return a family of one operator on images, so that it has its share of every design."""

    def draw(random: np.random.Generator) -> Shape:
        size = size_of(random, most=most)
        return Shape(op, channels := channels_of(random, size), size, channels)

    return draw
