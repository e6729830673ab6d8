"""Families of operators on sequences, each with what is usual of it."""

from __future__ import annotations

import math

import numpy as np

from alphaflops.measuring.families_images import channels_of, log_uniform, size_of
from alphaflops.measuring.shapes import Frames, Shape

__all__ = [
    "attention",
    "layer_norm",
    "lstm_batch",
    "matmul",
    "rearranged",
    "recurrent",
    "recurrent_batch",
    "rms_norm",
    "scores",
    "token_linear",
    "transcendental",
    "window_matmul",
]


_MOST_REARRANGED = 2_000_000  # elements


def _features(random: np.random.Generator, most: int = 4096) -> int:
    return 64 * max(1, round(log_uniform(random, 96, most) / 64))


def _length(random: np.random.Generator) -> int:
    """Draw a number of tokens: of a window, of an image's patches, or of a text."""
    usual = int(random.choice([49, 64, 128, 196, 197, 256, 384, 512, 1024]))
    return usual if random.random() < 0.6 else round(log_uniform(random, 32, 1024))  # noqa: PLR2004


def token_linear(random: np.random.Generator) -> Shape:
    """Draw a linear layer of many rows."""
    return Shape("linear", _features(random), 1, _features(random), batch=_length(random))


def _windows(random: np.random.Generator) -> tuple[int, int]:
    """Draw tokens of a window, and windows times heads."""
    length = int(random.choice([9, 16, 49, 49, 64, 64, 100]))
    return length, max(1, round(log_uniform(random, 4, 3e5 / length**2)))


def rearranged(random: np.random.Generator) -> Shape:
    """Draw an image that becomes tokens, tokens that become an image, or heads that are joined."""
    size = int(random.choice([7, 8, 14, 16, 28, 32, 56, 64, size_of(random, most=112)]))
    channels = int(random.choice([64, 96, 128, 192, 256, 320, 384, 512, 640, 768, 1024]))
    while channels * size**2 > _MOST_REARRANGED:
        channels = max(8, channels // 2)
    way = random.random()
    if way < 0.4:  # noqa: PLR2004
        return Shape("contiguous", channels, size, channels)
    if way < 0.8:  # noqa: PLR2004
        return Shape("contiguous", size**2, 1, size**2, frames=Frames(channels))
    heads = int(random.choice([3, 4, 6, 8, 12, 16]))
    features = heads * int(random.choice([16, 32, 64]))
    return Shape("contiguous", features, 1, features, groups=heads, frames=Frames(_length(random)))


def scores(random: np.random.Generator) -> Shape:
    """Draw the softmax of an attention."""
    if random.random() < 0.5:  # noqa: PLR2004
        length, windows = _windows(random)
        return Shape("softmax", length, 1, length, batch=windows * length)
    length, heads = _length(random), int(random.choice([1, 3, 6, 8, 12]))
    return Shape("softmax", length, 1, length, batch=heads * _length(random))


def layer_norm(random: np.random.Generator) -> Shape:
    """Draw a norm of tokens."""
    features = _features(random, 1536)
    return Shape("layer_norm", features, 1, features, batch=_length(random))


def rms_norm(random: np.random.Generator) -> Shape:
    """Draw a norm of tokens without a mean."""
    return layer_norm(random)._replace(op="rms_norm")


def attention(random: np.random.Generator) -> Shape:
    """Draw an attention of several heads."""
    heads, depth = int(random.choice([3, 4, 6, 8, 12, 16])), int(random.choice([32, 64, 64, 128]))
    return Shape("attention", heads * depth, _length(random), heads * depth, groups=heads)


def matmul(random: np.random.Generator) -> Shape:
    """Draw a product of attention: few matrices, of many rows."""
    matrices, length = int(random.choice([1, 3, 6, 8, 12, 16])), _length(random)
    depth, other = int(random.choice([32, 64, 64, 128])), _length(random)
    inner, columns = (depth, other) if random.random() < 0.5 else (other, depth)  # noqa: PLR2004
    return Shape("matmul", inner, length, columns, groups=matrices)


def window_matmul(random: np.random.Generator) -> Shape:
    """Draw products of attention within windows: many, and small."""
    (length, windows), depth = _windows(random), int(random.choice([16, 32, 32, 64]))
    inner, columns = (depth, length) if random.random() < 0.5 else (length, depth)  # noqa: PLR2004
    return Shape("matmul", inner, length, columns, groups=windows)


def recurrent(random: np.random.Generator) -> Shape:
    """Draw a layer of one sequence."""
    op, length = str(random.choice(["lstm", "gru"])), round(log_uniform(random, 8, 256))
    return Shape(op, _features(random, 1024), length, _features(random, 1024))


def recurrent_batch(random: np.random.Generator) -> Shape:
    """Draw sequences at once, as of an image's rows, of a GRU; or a cell: one step of a loop."""
    shape, batch = recurrent(random), int(random.choice([1, 4, 16, 32]))
    if random.random() < 0.5:  # noqa: PLR2004
        return shape._replace(batch=batch, size=1)
    return shape._replace(op="gru", batch=batch)


def lstm_batch(random: np.random.Generator) -> Shape:
    """Draw an LSTM of some sequences, for which libraries have a kernel of its own."""
    batch = int(random.choice([1, 1, 4, 16, 32]))
    return recurrent(random)._replace(op="lstm", batch=batch)


def transcendental(random: np.random.Generator) -> Shape:
    """Draw GELUs of tokens, and what newer convolution networks have in place of a ReLU."""
    op = str(random.choice(["gelu", "gelu", "gelu", "silu", "silu", "sigmoid", "tanh"]))
    if op == "gelu":
        features, size = _features(random), max(1, round(math.sqrt(_length(random))))
    else:
        size = size_of(random, most=112)
        features = channels_of(random, size)
    return Shape(op, features, size, features)
