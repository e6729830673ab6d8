"""Families of operators, each with what is usual of it, and how many of each a design has."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from alphaflops.measuring.shapes import Shape

__all__ = ["MAX_MACS", "SHARES", "Family", "large", "log_uniform", "update"]

Family: TypeAlias = Callable[[np.random.Generator], Shape]

MAX_MACS = 2_000_000_000  # of a convolution or linear layer
_MAX_LINEAR_WEIGHTS = 110_000_000
_LARGE_MACS = 400_000_000


def log_uniform(random: np.random.Generator, low: float, high: float) -> float:
    """Draw evenly in the logarithm."""
    return math.exp(random.uniform(math.log(low), math.log(high)))


def _size(random: np.random.Generator, least: int = 7, most: int = 224) -> int:
    """Draw an extent: mostly a level of the pyramid of a usual image, else any."""
    if random.random() < 0.75:  # noqa: PLR2004
        image = int(random.choice([224, 224, 224, 192, 240, 256, 288]))
        levels = [image >> level for level in range(6) if least <= image >> level <= most]
        return int(random.choice(levels))
    return round(log_uniform(random, least, most))


def _channels(random: np.random.Generator, size: int, *, least: int = 8, most: int = 2048) -> int:
    """Draw channels that go with an extent: the smaller the image, the more."""
    low = max(least, 4 * 224 / size)
    high = min(most, max(2 * least, 80 * 224 / size))
    low = min(low, high / 2)
    value = low * math.pow(high / low, random.beta(1.5, 1))
    if random.random() < 0.1:  # noqa: PLR2004
        return max(1, round(value))
    step = int(random.choice([8, 16, 32]))
    return max(step, round(value / step) * step)


def _pointwise(random: np.random.Generator) -> Shape:
    size = _size(random, most=112)
    stride = 2 if random.random() < 0.08 and size > 7 else 1  # noqa: PLR2004
    return Shape("conv2d", _channels(random, size), size, _channels(random, size), stride=stride)


def _spatial(random: np.random.Generator) -> Shape:
    kernel = int(random.choice([3, 5, 7], p=[0.86, 0.08, 0.06]))
    if random.random() < 0.1:  # noqa: PLR2004
        # The first layer of a network: colours in, a large image.
        size, stride = _size(random, least=96, most=320), int(random.choice([1, 2, 2]))
        c_out = 8 * int(random.integers(2, 9))
        return Shape("conv2d", 3, size, c_out, kernel, stride, kernel // 2)
    size = _size(random)
    stride = 2 if random.random() < 0.2 and size > 7 else 1  # noqa: PLR2004
    c_in, c_out = _channels(random, size, most=1024), _channels(random, size, most=1024)
    return Shape("conv2d", c_in, size, c_out, kernel, stride, kernel // 2)


def large(random: np.random.Generator) -> Shape:
    """Draw what takes long."""
    while not _LARGE_MACS <= (shape := _spatial(random)).macs <= MAX_MACS:
        pass
    return shape


def _late(random: np.random.Generator) -> Shape:
    """Draw what stands at the end of a network: a small image, and more weights than cache."""
    size = int(random.choice([7, 7, 14, int(random.integers(4, 17))]))
    kernel = 3 if random.random() < 0.6 else 1  # noqa: PLR2004
    stride = 2 if random.random() < 0.35 and size > 7 else 1  # noqa: PLR2004
    weights = log_uniform(random, 1e6, 12e6) / kernel**2
    c_in = log_uniform(random, math.sqrt(weights) / 2, math.sqrt(weights) * 2)
    step = int(random.choice([8, 32, 128]))
    c_in, c_out = (max(step, round(c / step) * step) for c in (c_in, weights / c_in))
    return Shape("conv2d", c_in, size, c_out, kernel, stride, kernel // 2)


def _depthwise(random: np.random.Generator) -> Shape:
    size = _size(random, most=112)
    kernel = 3 if random.random() < 0.75 else 5  # noqa: PLR2004
    stride = 2 if random.random() < 0.3 and size > 7 else 1  # noqa: PLR2004
    channels = _channels(random, size)
    return Shape("conv2d", channels, size, channels, kernel, stride, kernel // 2, groups=channels)


def _grouped(random: np.random.Generator) -> Shape:
    size = _size(random, most=56)
    width = int(random.choice([4, 8, 8, 16, 16, 24, 32, 64]))
    groups = max(2, round(_channels(random, size) / width))
    kernel = 3 if random.random() < 0.8 else 1  # noqa: PLR2004
    stride = 2 if random.random() < 0.25 and size > 7 else 1  # noqa: PLR2004
    channels = groups * width
    return Shape("conv2d", channels, size, channels, kernel, stride, kernel // 2, groups=groups)


def _squeeze_excite(random: np.random.Generator) -> Shape:
    """Draw a 1x1 convolution of what a global pool leaves, to fewer channels or back."""
    wide = 8 * round(log_uniform(random, 32, 2304) / 8)
    few = 4 * max(1, round(wide / float(random.choice([4, 4, 8, 16, 24])) / 4))
    c_in, c_out = (wide, few) if random.random() < 0.5 else (few, wide)  # noqa: PLR2004
    return Shape("conv2d", c_in, 1, c_out)


def _grouped_pointwise(random: np.random.Generator) -> Shape:
    """Draw what PyTorch does group by group with one thread: 1x1, mostly a factor a channel."""
    size = _size(random, most=56)
    width = int(random.choice([1, 1, 1, 2, 8, 16, 32]))
    groups = max(2, round(_channels(random, size) / width))
    return Shape("conv2d", groups * width, size, groups * width, groups=groups)


def _linear(random: np.random.Generator) -> Shape:
    batch = 1 if random.random() < 0.7 else int(random.choice([2, 4, 8, 16]))  # noqa: PLR2004
    c_in = 8 * round(log_uniform(random, 128, 25600) / 8)
    c_out = round(log_uniform(random, 100, min(4096, _MAX_LINEAR_WEIGHTS / c_in)))
    return Shape("linear", c_in, 1, c_out, batch=batch)


def _elementwise(random: np.random.Generator) -> Shape:
    op = str(random.choice(["relu", "relu", "relu6", "hardswish", "add", "add", "add", "mul"]))
    size = _size(random, most=112)
    channels = _channels(random, size)
    return Shape(op, channels, size, channels)


def _norm(random: np.random.Generator) -> Shape:
    size = _size(random, most=112)
    channels = _channels(random, size)
    return Shape("batch_norm", channels, size, channels)


def _pool(random: np.random.Generator) -> Shape:
    size = _size(random)
    channels = _channels(random, size)
    if random.random() < 0.35:  # noqa: PLR2004
        # At the end of a network, or before each squeeze-and-excitation.
        return Shape("global_avg_pool", channels, min(size, 112), channels)
    op = "max_pool" if random.random() < 0.7 else "avg_pool"  # noqa: PLR2004
    kernel, pad = (3, 1) if random.random() < 0.5 else (2, 0)  # noqa: PLR2004
    return Shape(op, channels, size, channels, kernel, 2, pad)


def _eager_pool(random: np.random.Generator) -> Shape:
    """Draw more maxima, and not the smallest: in NCHW, PyTorch's are a tenth of a network."""
    if random.random() < 0.5:  # noqa: PLR2004
        return _pool(random)
    if random.random() < 0.25:  # noqa: PLR2004
        return _same_pool(random)
    size = _size(random, least=14)
    channels = _channels(random, size)
    kernel, pad = (3, 1) if random.random() < 0.5 else (2, 0)  # noqa: PLR2004
    return Shape("max_pool", channels, size, channels, kernel, 2, pad)


def _same_pool(random: np.random.Generator) -> Shape:
    """Draw what keeps the extent, in branches of an inception or of a pyramid of pools."""
    op, kernel = ("avg_pool", 3) if random.random() < 0.5 else ("max_pool", 5)  # noqa: PLR2004
    size = _size(random, most=56)
    return Shape(op, channels := _channels(random, size), size, channels, kernel, 1, kernel // 2)


def _concat(random: np.random.Generator) -> Shape:
    size = _size(random, most=56)
    c_in = _channels(random, size)
    return Shape("concat", c_in, size, c_in + _channels(random, size))


def _softmax(random: np.random.Generator) -> Shape:
    return Shape("softmax", (c := round(log_uniform(random, 10, 4096))), 1, c)


def _gate(random: np.random.Generator) -> Shape:
    size = _size(random, most=112)
    return Shape("gate", (channels := _channels(random, size)), size, channels)


def _features(random: np.random.Generator, most: int = 4096) -> int:
    return 64 * max(1, round(log_uniform(random, 96, most) / 64))


def _length(random: np.random.Generator) -> int:
    """Draw a number of tokens: of a window, of an image's patches, or of a text."""
    usual = int(random.choice([49, 64, 128, 196, 197, 256, 384, 512, 1024]))
    return usual if random.random() < 0.6 else round(log_uniform(random, 32, 1024))  # noqa: PLR2004


def _token_linear(random: np.random.Generator) -> Shape:
    return Shape("linear", _features(random), 1, _features(random), batch=_length(random))


def _windows(random: np.random.Generator) -> tuple[int, int]:
    """Draw tokens of a window, and windows times heads."""
    length = int(random.choice([9, 16, 49, 49, 64, 64, 100]))
    return length, max(1, round(log_uniform(random, 4, 3e5 / length**2)))


def _scores(random: np.random.Generator) -> Shape:
    if random.random() < 0.5:  # noqa: PLR2004
        length, windows = _windows(random)
        return Shape("softmax", length, 1, length, batch=windows * length)
    length, heads = _length(random), int(random.choice([1, 3, 6, 8, 12]))
    return Shape("softmax", length, 1, length, batch=heads * _length(random))


def _layer_norm(random: np.random.Generator) -> Shape:
    features = _features(random, 1536)
    return Shape("layer_norm", features, 1, features, batch=_length(random))


def _attention(random: np.random.Generator) -> Shape:
    heads, depth = int(random.choice([3, 4, 6, 8, 12, 16])), int(random.choice([32, 64, 64, 128]))
    return Shape("attention", heads * depth, _length(random), heads * depth, groups=heads)


def _matmul(random: np.random.Generator) -> Shape:
    matrices, length = int(random.choice([1, 3, 6, 8, 12, 16])), _length(random)
    depth, other = int(random.choice([32, 64, 64, 128])), _length(random)
    inner, columns = (depth, other) if random.random() < 0.5 else (other, depth)  # noqa: PLR2004
    return Shape("matmul", inner, length, columns, groups=matrices)


def _window_matmul(random: np.random.Generator) -> Shape:
    """Draw products of attention within windows: many, and small."""
    (length, windows), depth = _windows(random), int(random.choice([16, 32, 32, 64]))
    inner, columns = (depth, length) if random.random() < 0.5 else (length, depth)  # noqa: PLR2004
    return Shape("matmul", inner, length, columns, groups=windows)


def _recurrent(random: np.random.Generator) -> Shape:
    op, length = str(random.choice(["lstm", "gru"])), round(log_uniform(random, 8, 256))
    return Shape(op, _features(random, 1024), length, _features(random, 1024))


def _recurrent_batch(random: np.random.Generator) -> Shape:
    """Draw many sequences at once, as of an image's rows, or one step of a loop: a cell."""
    shape, batch = _recurrent(random), int(random.choice([1, 4, 16, 32]))
    return shape._replace(batch=batch, size=1 if random.random() < 0.4 else shape.size)  # noqa: PLR2004


def _mean(random: np.random.Generator) -> Shape:
    size = _size(random, most=56)
    return Shape("mean", (channels := _channels(random, size)), size, channels)


def _transcendental(random: np.random.Generator) -> Shape:
    """Draw GELUs of tokens, and what newer convolution networks have in place of a ReLU."""
    op = str(random.choice(["gelu", "gelu", "gelu", "silu", "silu", "sigmoid", "tanh"]))
    if op == "gelu":
        features, size = _features(random), max(1, round(math.sqrt(_length(random))))
    else:
        size = _size(random, most=112)
        features = _channels(random, size)
    return Shape(op, features, size, features)


def _image_transcendental(random: np.random.Generator) -> Shape:
    """Draw what convolution networks have in place of a ReLU, and sigmoids, mostly of gates."""
    op = str(random.choice(["silu", "silu", "gelu", "sigmoid"]))
    is_gate = op == "sigmoid" and random.random() < 0.75  # noqa: PLR2004
    size = 1 if is_gate else _size(random, most=112)
    return Shape(op, channels := _channels(random, size), size, channels)


def _rms_norm(random: np.random.Generator) -> Shape:
    return _layer_norm(random)._replace(op="rms_norm")


def _wide_depthwise(random: np.random.Generator) -> Shape:
    """Draw what newer convolution networks mix tokens with."""
    kernel = int(random.choice([7, 7, 7, 9, 11]))
    return _depthwise(random)._replace(kernel=kernel, pad=kernel // 2)


def _calls(random: np.random.Generator) -> Shape:
    return Shape("call", 1, 5 * int(random.integers(1, 5)), 1)


def _of(op: str, most: int = 112) -> Family:
    """Return a family of one operator on images, so that it has its share of every design."""

    def draw(random: np.random.Generator) -> Shape:
        size = _size(random, most=most)
        return Shape(op, channels := _channels(random, size), size, channels)

    return draw


#: Family: its share of a design; they need not add up to 1.
SHARES: dict[str, dict[Family, float]] = {
    "fused": {
        _pointwise: 0.25,
        _spatial: 0.22,
        large: 0.05,
        _depthwise: 0.11,
        _linear: 0.06,
        _elementwise: 0.07,
        _concat: 0.04,
        _norm: 0.05,
        _pool: 0.06,
        _grouped: 0.03,
        _softmax: 0.02,
        _image_transcendental: 0.05,
        _squeeze_excite: 0.03,
    },
    # Fused launches of image classifiers and of transformers.
    "sequences": {
        _pointwise: 0.20,
        _spatial: 0.16,
        large: 0.04,
        _depthwise: 0.09,
        _linear: 0.04,
        _elementwise: 0.06,
        _gate: 0.03,
        _concat: 0.03,
        _norm: 0.04,
        _pool: 0.03,
        _grouped: 0.02,
        _softmax: 0.01,
        _scores: 0.02,
        _recurrent: 0.02,
        _token_linear: 0.06,
        _squeeze_excite: 0.02,
        _layer_norm: 0.03,
        _attention: 0.05,
        _matmul: 0.04,
        _transcendental: 0.03,
    },
    "eager": {
        _pointwise: 0.15,
        _spatial: 0.13,
        large: 0.04,
        _late: 0.05,
        _depthwise: 0.09,
        _wide_depthwise: 0.02,
        _calls: 0.01,
        _squeeze_excite: 0.02,
        _norm: 0.08,
        _elementwise: 0.10,
        _eager_pool: 0.08,
        _linear: 0.06,
        _concat: 0.03,
        _grouped: 0.03,
        _grouped_pointwise: 0.02,
        _softmax: 0.01,
        _token_linear: 0.05,
        _layer_norm: 0.02,
        _attention: 0.03,
        _matmul: 0.02,
        _window_matmul: 0.025,
        _transcendental: 0.03,
        _recurrent_batch: 0.04,
        _mean: 0.01,
        # Activations that take many more instructions than a GELU, or a call of several.
        **{_of(op): 0.004 for op in ("gelu_tanh", "mish", "elu", "softplus")},
        **{_of(op): 0.007 for op in ("group_norm", "instance_norm")},
        _rms_norm: 0.007,
        # What a decoder brings to twice its extent.
        _of("interpolate_nearest", most=56): 0.02,  # two ways to compute it, by the extent
        _of("interpolate_bilinear", most=56): 0.01,
        _of("contiguous"): 0.015,
        _scores: 0.02,
    },
    "training": {
        _pointwise: 0.13,
        _spatial: 0.12,
        _late: 0.04,
        _depthwise: 0.10,
        _calls: 0.02,
        _grouped: 0.02,
        _norm: 0.12,
        _layer_norm: 0.04,
        _elementwise: 0.09,
        _eager_pool: 0.07,
        _linear: 0.04,
        _token_linear: 0.06,
        _concat: 0.02,
        _softmax: 0.02,
        _attention: 0.05,
        _matmul: 0.03,
        _transcendental: 0.04,
        _mean: 0.01,
    },
}


def update(optimizer: str, random: np.random.Generator) -> Shape:
    """Draw the parameters of a layer: a matrix, or the scale and the shift of a norm."""
    if random.random() < 0.5:  # noqa: PLR2004
        c = round(log_uniform(random, 16, 2048))
        return Shape(optimizer, 1, 1, c, pass_="optimizer", bias=True)
    c_in, c_out = (round(log_uniform(random, 8, 2048)) for _ in range(2))
    return Shape(optimizer, c_in, 1, c_out, pass_="optimizer")
