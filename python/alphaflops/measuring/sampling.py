"""Shapes worth measuring: random operators like those that convolutional networks are made of.

They are drawn, never copied from a network: what is fitted to them is tested by any network.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from alphaflops._core import Graph
from alphaflops.errors import ShapeError, UnsupportedError
from alphaflops.measuring.shapes import Shape, operators_of, to_table

if TYPE_CHECKING:
    from alphaflops.table import Table

__all__ = ["sample_shapes"]

MAX_MACS = 2_000_000_000  # of a convolution or linear layer
MAX_ELEMENTS = 4_000_000  # of a tensor that a data-moving operator writes
_MAX_LINEAR_WEIGHTS = 110_000_000
_LARGE_MACS = 400_000_000
#: Convolutions draw their own limit of MACs from this range, evenly in the logarithm, so that most
#: are short and 300 of them fit a minute.
_MACS_LIMITS = (2e8, MAX_MACS)


def sample_shapes(
    n: int = 300,
    *,
    seed: int = 0,
    like: Sequence[Graph] | None = None,
    mode: str = "fused",
) -> Table:
    """Draw operators to measure.

    Parameters
    ----------
    n
        How many.
    seed
        The same seed draws the same operators.
    like
        Networks: operators are drawn from the neighbourhood of theirs, with other channels and
        extents. Without, from what image classifiers use.
    mode
        fused or eager: which operators share a launch. Norms and activations are launches of their
        own in eager mode, and drawn more often.

    Returns
    -------
    Table
        Shapes without times: what ``measure`` takes. With 300, about 30 GMACs for one pass over
        all, so that a core of 20 GMAC/s and more settles them within a minute.

    Raises
    ------
    ShapeError
        Fewer than one shape, or networks without a convolution, a linear layer or an operator that
        moves data.
    UnsupportedError
        No such mode.
    """
    if n < 1:
        raise ShapeError(f"n is {n}; draw at least one shape")
    if mode not in _SHARES:
        raise UnsupportedError(f"mode {mode!r} is not known; use {' or '.join(_SHARES)}")
    random = np.random.default_rng(seed)
    shapes = _typical(n, _SHARES[mode], random) if like is None else _like(n, like, mode, random)
    return to_table([shapes[i] for i in random.permutation(n)])


def _log_uniform(random: np.random.Generator, low: float, high: float) -> float:
    return math.exp(random.uniform(math.log(low), math.log(high)))


def _size(random: np.random.Generator, least: int = 7, most: int = 224) -> int:
    """Draw an extent: mostly a level of the pyramid of a usual image, else any."""
    if random.random() < 0.75:  # noqa: PLR2004
        image = int(random.choice([224, 224, 224, 192, 240, 256, 288]))
        levels = [image >> level for level in range(6) if least <= image >> level <= most]
        return int(random.choice(levels))
    return round(_log_uniform(random, least, most))


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


def _large(random: np.random.Generator) -> Shape:
    while not _LARGE_MACS <= (shape := _spatial(random)).macs <= MAX_MACS:
        pass
    return shape


def _late(random: np.random.Generator) -> Shape:
    """Draw what stands at the end of a network: a small image, and more weights than cache."""
    size = int(random.choice([7, 7, 14, int(random.integers(4, 17))]))
    kernel = 3 if random.random() < 0.6 else 1  # noqa: PLR2004
    stride = 2 if random.random() < 0.35 and size > 7 else 1  # noqa: PLR2004
    weights = _log_uniform(random, 1e6, 5e6) / kernel**2
    c_in = _log_uniform(random, math.sqrt(weights) / 2, math.sqrt(weights) * 2)
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
    groups = int(random.choice([2, 4, 8, 32]))
    width = 8 * int(random.integers(1, 5))
    kernel = 3 if random.random() < 0.7 else 1  # noqa: PLR2004
    channels = groups * width
    return Shape("conv2d", channels, size, channels, kernel, 1, kernel // 2, groups=groups)


def _linear(random: np.random.Generator) -> Shape:
    batch = 1 if random.random() < 0.7 else int(random.choice([2, 4, 8, 16]))  # noqa: PLR2004
    c_in = 8 * round(_log_uniform(random, 128, 25600) / 8)
    c_out = round(_log_uniform(random, 100, min(4096, _MAX_LINEAR_WEIGHTS / c_in)))
    return Shape("linear", c_in, 1, c_out, batch=batch)


def _elementwise(random: np.random.Generator) -> Shape:
    op = str(random.choice(["relu", "relu6", "add", "add", "add", "mul"]))
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
    if random.random() < 0.25:  # noqa: PLR2004
        return Shape("global_avg_pool", channels, min(size, 14), channels)
    op = "max_pool" if random.random() < 0.7 else "avg_pool"  # noqa: PLR2004
    kernel, pad = (3, 1) if random.random() < 0.5 else (2, 0)  # noqa: PLR2004
    return Shape(op, channels, size, channels, kernel, 2, pad)


def _eager_pool(random: np.random.Generator) -> Shape:
    """Draw mostly maxima, and not the smallest: in NCHW, PyTorch's are a tenth of a network."""
    if random.random() < 0.2:  # noqa: PLR2004
        return _pool(random)
    size = _size(random, least=14)
    channels = _channels(random, size)
    kernel, pad = (3, 1) if random.random() < 0.5 else (2, 0)  # noqa: PLR2004
    return Shape("max_pool", channels, size, channels, kernel, 2, pad)


def _concat(random: np.random.Generator) -> Shape:
    size = _size(random, most=56)
    c_in = _channels(random, size)
    return Shape("concat", c_in, size, c_in + _channels(random, size))


def _softmax(random: np.random.Generator) -> Shape:
    return Shape("softmax", (c := round(_log_uniform(random, 10, 4096))), 1, c)


def _features(random: np.random.Generator, most: int = 4096) -> int:
    return 64 * max(1, round(_log_uniform(random, 96, most) / 64))


def _length(random: np.random.Generator) -> int:
    """Draw a number of tokens: of a window, of an image's patches, or of a text."""
    usual = int(random.choice([49, 64, 128, 196, 197, 256, 384, 512, 1024]))
    return usual if random.random() < 0.6 else round(_log_uniform(random, 32, 1024))  # noqa: PLR2004


def _token_linear(random: np.random.Generator) -> Shape:
    return Shape("linear", _features(random), 1, _features(random), batch=_length(random))


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


def _gelu(random: np.random.Generator) -> Shape:
    features = _features(random)
    size = max(1, round(math.sqrt(_length(random))))
    return Shape("gelu", features, size, features)


_Family: TypeAlias = Callable[[np.random.Generator], Shape]
#: Family: its share of a design.
_SHARES: dict[str, dict[_Family, float]] = {
    "fused": {
        _pointwise: 0.28,
        _spatial: 0.23,
        _large: 0.05,
        _depthwise: 0.12,
        _linear: 0.06,
        _elementwise: 0.07,
        _concat: 0.05,
        _norm: 0.05,
        _pool: 0.05,
        _grouped: 0.02,
        _softmax: 0.02,
    },
    "eager": {
        _pointwise: 0.18,
        _spatial: 0.13,
        _large: 0.04,
        _late: 0.05,
        _depthwise: 0.10,
        _norm: 0.08,
        _elementwise: 0.09,
        _eager_pool: 0.08,
        _linear: 0.06,
        _concat: 0.03,
        _grouped: 0.02,
        _softmax: 0.01,
        _token_linear: 0.05,
        _layer_norm: 0.02,
        _attention: 0.03,
        _matmul: 0.02,
        _gelu: 0.01,
    },
}


def _typical(n: int, shares: dict[_Family, float], random: np.random.Generator) -> list[Shape]:
    # Whole shares first, what is left over to the largest remainders.
    wanted = {family: n * share for family, share in shares.items()}
    counts = {family: int(value) for family, value in wanted.items()}
    by_remainder = sorted(wanted, key=lambda f: counts[f] - wanted[f])
    for family in by_remainder[: n - sum(counts.values())]:
        counts[family] += 1
    return [_draw(family, random) for family, count in counts.items() for _ in range(count)]


def _draw(family: _Family, random: np.random.Generator) -> Shape:
    """Draw until a shape is within limits; the limit of MACs differs from draw to draw."""
    limit = MAX_MACS if family is _large else _log_uniform(random, *_MACS_LIMITS)
    while True:
        shape = family(random)
        fits = shape.macs <= limit and (shape.macs > 0 or shape.elements <= MAX_ELEMENTS)
        if fits and shape.size_out >= 1:
            return shape


def _like(n: int, graphs: Sequence[Graph], mode: str, random: np.random.Generator) -> list[Shape]:
    """Draw from the operators of networks, each with other channels and another extent."""
    distinct = sorted({shape for graph in graphs for shape in operators_of(graph, mode)})
    if not distinct:
        raise ShapeError(
            "the networks to sample like have no operator that can be measured; give some with "
            "convolutions"
        )
    order = [distinct[i % len(distinct)] for i in random.permutation(max(n, len(distinct)))]
    return [_neighbour(shape, random) for shape in order[:n]]


def _neighbour(shape: Shape, random: np.random.Generator) -> Shape:
    while True:
        size = shape.size
        if size > 1:
            size = max(shape.kernel, round(size * math.exp(random.normal(0, 0.15))))
        c_in = _jitter(shape.c_in, random)
        if shape.c_out == shape.c_in:
            c_out = c_in
        elif shape.op == "concat":
            c_out = c_in + _jitter(shape.c_out - shape.c_in, random)
        else:
            c_out = _jitter(shape.c_out, random)
        groups = shape.groups
        if groups == shape.c_in > 1:
            groups = c_in
            c_out = c_in * max(1, shape.c_out // shape.c_in)
        elif groups > 1:
            c_in, c_out = (max(groups, c // groups * groups) for c in (c_in, c_out))
        drawn = shape._replace(c_in=c_in, size=size, c_out=c_out, groups=groups)
        if drawn != shape and drawn.macs <= 2 * MAX_MACS and drawn.size_out >= 1:
            return drawn


def _jitter(channels: int, random: np.random.Generator) -> int:
    value = channels * math.exp(random.normal(0, 0.25))
    few = 16
    if channels < few:
        return max(1, round(value)) if channels > few // 4 else channels
    step = 8 if channels % 8 == 0 else 1
    return max(step, round(value / step) * step)
