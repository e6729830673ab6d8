"""Shapes worth measuring: random operators like those that convolutional networks are made of.

They are drawn, never copied from a network: what is fitted to them is tested by any network.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from alphaflops._core import Graph
from alphaflops.errors import ShapeError, UnsupportedError
from alphaflops.frontends.traced import Traced, graph_of
from alphaflops.measuring.families import MAX_MACS, SHARES, Family, large, log_uniform, update
from alphaflops.measuring.shapes import Shape, operators_of, passes_of, to_table

if TYPE_CHECKING:
    from alphaflops.table import Table

__all__ = ["sample_shapes"]

OPTIMIZERS = ("sgd", "momentum", "adam", "adamw")
MAX_ELEMENTS = 4_000_000  # of a tensor that a data-moving operator writes
#: Convolutions draw their own limit of MACs from this range, evenly in the logarithm, so that most
#: are short and 300 of them fit a minute.
_MACS_LIMITS = (2e8, MAX_MACS)
_BATCHES = (1, 2, 4, 8, 16)  # of training
_MODES = ("fused", "fused_relu", "eager")


def sample_shapes(
    n: int = 300,
    *,
    seed: int = 0,
    like: Graph | Sequence[Graph] | None = None,
    mode: str = "fused",
    sequences: bool = False,
    training: bool = False,
    optimizer: str = "sgd",
) -> Table:
    """Draw operators to measure.

    Parameters
    ----------
    n
        How many.
    seed
        The same seed draws the same operators.
    like
        A network or several: operators are drawn from the neighbourhood of theirs, with other
        channels and extents. Without, from what image classifiers use.
    mode
        fused, fused_relu or eager: which operators share a launch. Norms and activations are
        launches of their own in eager mode, and drawn more often.
    sequences
        Also what transformers have, and gates, of which image classifiers have few: attention,
        products of activations, norms and linear layers of tokens; and recurrences. In eager mode
        these are always drawn.
    training
        Rows of a step of training: each operator stands in the table in every pass that it has,
        batches are drawn too, and a tenth as many updates of a layer follow. Eager mode only.
    optimizer
        Of those: sgd, momentum, adam or adamw.

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
        No such mode or optimizer, or training in another mode than eager.
    """
    if n < 1:
        raise ShapeError(f"n is {n}; draw at least one shape")
    if mode not in _MODES:
        raise UnsupportedError(f"mode {mode!r} is not known; use {', '.join(_MODES)}")
    if training and (mode != "eager" or like is not None):
        raise UnsupportedError("rows of training are drawn in eager mode, like no given networks")
    if training and optimizer not in OPTIMIZERS:
        raise UnsupportedError(
            f"optimizer {optimizer!r} is not known; use one of {', '.join(OPTIMIZERS)}"
        )
    random = np.random.default_rng(seed)
    if like is not None:
        several = [like] if isinstance(like, (Graph, Traced)) else like
        graphs = [graph_of(each) for each in several]
        shapes = _like(n, graphs, mode, random)
    else:
        fused = "sequences" if sequences else "fused"
        design = "eager" if mode == "eager" else fused
        shapes = _typical(n, "training" if training else design, random)
    if training:
        shapes = [shape._replace(pass_=p) for shape in shapes for p in passes_of(shape)]
        shapes += [update(optimizer, random) for _ in range(n // 10)]
    return to_table([shapes[i] for i in random.permutation(len(shapes))], training=training)


def _typical(n: int, design: str, random: np.random.Generator) -> list[Shape]:
    # Whole shares first, what is left over to the largest remainders.
    shares = SHARES[design]
    wanted = {family: n * share / sum(shares.values()) for family, share in shares.items()}
    counts = {family: int(value) for family, value in wanted.items()}
    by_remainder = sorted(wanted, key=lambda f: counts[f] - wanted[f])
    for family in by_remainder[: n - sum(counts.values())]:
        counts[family] += 1
    draw = _draw_in_batches if design == "training" else _draw
    return [draw(family, random) for family, count in counts.items() for _ in range(count)]


def _draw(family: Family, random: np.random.Generator) -> Shape:
    """Draw until a shape is within limits; the limit of MACs differs from draw to draw."""
    limit = MAX_MACS if family is large else log_uniform(random, *_MACS_LIMITS)
    while True:
        shape = family(random)
        fits = shape.macs <= limit and (shape.macs > 0 or shape.elements <= MAX_ELEMENTS)
        if fits and shape.size_out >= 1:
            return shape


def _draw_in_batches(family: Family, random: np.random.Generator) -> Shape:
    """Draw for training: batches, of operators that take a third of the time in each pass."""
    limit = log_uniform(random, *_MACS_LIMITS) / 3
    while True:
        shape = family(random)
        shape = shape._replace(batch=shape.batch * int(random.choice(_BATCHES)))
        if shape.macs <= limit and shape.elements <= MAX_ELEMENTS and shape.size_out >= 1:
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
