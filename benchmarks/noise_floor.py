"""How far off a perfect model of a table of times would be: repetitions, neighbours, drift.

Four estimates:

- repeated shapes: how far apart times of one shape lie;
- neighbours: how far apart what a model leaves is between the closest pairs of shapes. For two
  independent errors of one size, the mean of |r1 - r2| is sqrt(2) times that of |r|;
- drift: a line along the order of the rows. With a = the time at the first position and b at the
  last, a model that cannot know the position errs least by predicting sqrt(a b), and then by
  (sqrt b - sqrt a) / (sqrt b + sqrt a) in the mean over positions;
- impossible rows: 1x1 convolutions faster than the device's arithmetic, and anything that moves its
  bytes faster than the device's memory. Larger kernels may do with fewer MACs (Winograd, FFT).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.stats import spearmanr

from alphaflops.fitting import Fit
from alphaflops.fitting.drift import drift_s
from alphaflops.fitting.forms import Rows
from alphaflops.fitting.metrics import Floats, relative_errors
from alphaflops.table import Table

SIZES = ("batch", "c_in", "h_in", "w_in", "c_out")  # what neighbours may differ in
SAME = ("k_h", "k_w", "stride_h", "stride_w", "h_out", "w_out", "bias", "fused_activation")
CLOSEST = 0.05  # share of the rows whose pairs count as neighbours
SHORT_S = 1e-3  # times below which a drift shows


class Repeats(NamedTuple):
    """Times of one shape."""

    rows: int
    mean: float  # of |time / median of its shape - 1|
    largest: float  # ratio of two times of one shape, less 1


class Neighbours(NamedTuple):
    """The closest pairs of shapes."""

    pairs: int
    octaves: float  # the farthest apart
    measured: float  # noise, from times over MACs: holds what the shapes' difference makes
    residual: float  # noise, from what the model leaves


class Limits(NamedTuple):
    """What a device cannot pass, by its data sheet."""

    macs_per_s: float
    bytes_per_s: float


class Drift(NamedTuple):
    """A line along the order of the rows."""

    seconds: float  # from the first row to the last
    correlation: float  # of residuals in seconds with the row's number, where times are short
    rank: float  # the same of time / prediction, of all rows
    floor: float  # MAPE of a model that knows all but the row's number


def repeats(table: Table) -> Repeats | None:
    """Return how far apart times of one shape lie; None where no shape stands twice."""
    named = [c for c in (*SIZES, *SAME) if c in (table.dtype.names or ())]
    _, shape = np.unique(table[named], return_inverse=True)
    again = np.bincount(shape)[shape] > 1
    if not again.any():
        return None
    off, ratios = [], []
    for number in np.unique(shape[again]):
        times = table["time_s"][shape == number]
        off.extend(np.abs(times / np.median(times) - 1))
        ratios.append(times.max() / times.min() - 1)
    return Repeats(int(again.sum()), float(np.mean(off)), float(np.max(ratios)))


def neighbours(table: Table, time_s: Floats, predicted_s: Floats, macs: Floats) -> Neighbours:
    """Return the noise that the closest pairs of shapes show, as a mean of |error|."""
    columns = [np.log2(table[c].astype(float)) for c in SIZES]
    kept = [c for c in SAME[:4] if c in (table.dtype.names or ())]
    columns += [100.0 * table[c].astype(float) for c in kept]  # never neighbours where these differ
    distance, nearest = cKDTree(np.stack(columns, axis=1)).query(np.stack(columns, axis=1), k=2)
    # A row's twin, if it has one, comes in either place.
    other = np.where(nearest[:, 0] == np.arange(len(table)), nearest[:, 1], nearest[:, 0])
    gap = distance[:, 1]
    limit = np.quantile(gap, CLOSEST)
    a = np.flatnonzero(gap <= limit)
    pairs = np.unique(np.sort(np.stack([a, other[a]], axis=1), axis=1), axis=0)
    rate, left = np.log(time_s / macs), np.log(time_s / predicted_s)

    def noise(values: Floats) -> float:
        return float(np.abs(values[pairs[:, 0]] - values[pairs[:, 1]]).mean() / np.sqrt(2))

    return Neighbours(len(pairs), float(limit), noise(rate), noise(left))


def drift(table: Table, predicted_s: Floats) -> Drift:
    """Return the line along the order of the rows, beside predictions that do not know it."""
    time_s, number = table["time_s"], np.linspace(0.0, 1.0, len(table))
    seconds = drift_s(time_s, predicted_s, number)
    short = time_s < SHORT_S
    correlation = np.corrcoef((time_s - predicted_s)[short], number[short])[0, 1]
    rank = spearmanr(time_s / predicted_s, number).statistic
    first = np.maximum(time_s - max(seconds, 0.0) * number, 0.05 * time_s)
    low, high = np.sqrt(first), np.sqrt(first + max(seconds, 0.0))
    floor = float(((high - low) / (high + low)).mean())
    return Drift(seconds, float(correlation), float(rank), floor)


def impossible(rows: Rows, time_s: Floats, limits: Limits) -> NDArray[np.bool_]:
    """Return which rows are faster than the device can be."""
    moved = (rows.bytes_read + rows.bytes_written) / time_s
    multiplied = np.where(rows.kind == "conv_1x1", rows.macs, 0.0) / time_s
    return (moved > limits.bytes_per_s) | (multiplied > limits.macs_per_s)


def print_floor(name: str, table: Table, fitted: Fit, limits: Limits) -> None:
    """Print every estimate for one table; `fitted` is a fit to all of it."""
    held_out = fitted.held_out
    predicted_s = held_out.predicted_s[fitted.selected]
    again = repeats(table)
    print(f"\n{name}, beside held-out predictions of {fitted.selected}")
    if again is None:
        print("  repeated shapes: none")
    else:
        print(
            f"  repeated shapes: {again.rows} rows, mean distance from their median "
            f"{again.mean:.1%}, largest ratio {1 + again.largest:.3f}"
        )
    near = neighbours(table, held_out.time_s, predicted_s, held_out.rows.macs)
    off = relative_errors(predicted_s, held_out.time_s)
    fast = impossible(held_out.rows, table["time_s"], limits)
    print(
        f"  rows faster than the device can be: {fast.sum()}; held-out MAPE {off.mean():.1%}, "
        f"{off[~fast].mean():.1%} without them"
    )
    print(
        f"  neighbours: {near.pairs} pairs within {near.octaves:.2f} octaves; noise at most "
        f"{near.measured:.1%} from times over MACs, {near.residual:.1%} from residuals"
    )
    if not np.array_equal(held_out.time_s, table["time_s"]):
        return
    line = drift(table, predicted_s)
    print(
        f"  along the rows: {line.seconds * 1e6:+.0f} us from first to last; correlation "
        f"{line.correlation:.2f} of residuals below 1 ms, rank correlation {line.rank:.2f} of all; "
        f"floor of MAPE where the row is not known {line.floor:.1%}"
    )
