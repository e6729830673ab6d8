"""Prediction intervals from residuals that the fit did not see.

With the log residuals r = ln(measured / predicted) of n held-out rows, an interval that covers a
new row with probability `level` runs from exp of the floor((n + 1) (1 - level) / 2)-th smallest r
to exp of the ceil((n + 1) (1 + level) / 2)-th: split conformal prediction, after Vovk, Gammerman,
Shafer, "Algorithmic learning in a random world", 2005. Its ends are factors of the predicted time.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from alphaflops.fitting.metrics import LEVEL, Floats

_WIDEST = np.log(999_999)  # a profile holds factors up to 10^6
_WIDENING = 2.0  # of the log interval, where the rows are too few or belong to another kind


class Interval(NamedTuple):
    """Factors of the predicted time; lower <= 1 <= upper."""

    lower_factor: float
    upper_factor: float

    def widened(self) -> Interval:
        """Return the interval twice as wide in the logarithm."""
        return _around_one(*(_WIDENING * np.log(self)))


def interval(residuals: Floats, level: float = LEVEL) -> Interval | None:
    """Return the conformal interval of log residuals [n], None where n is too small for one.

    Each tail gets its share where n allows it (19 rows at 90 %); with fewer the interval is
    symmetric in the logarithm (9 rows).
    """
    n = len(residuals)
    tail = (1 - level) / 2
    below = int(np.floor((n + 1) * tail + 1e-9))
    if below >= 1:
        ordered = np.sort(residuals)
        return _around_one(ordered[below - 1], ordered[n - below])
    rank = int(np.ceil((n + 1) * level - 1e-9))
    if rank > n:
        return None
    half = np.sort(np.abs(residuals))[rank - 1]
    return _around_one(-half, half)


def intervals_by_kind(
    residuals: Floats, kinds: NDArray[np.str_], level: float = LEVEL
) -> dict[str, Interval]:
    """Return the interval of every kind among the rows.

    A kind with too few rows for its own takes the wider of its largest residual, doubled, and the
    interval of all rows together.
    """
    pooled = interval(residuals, level)
    found = {}
    for kind in np.unique(kinds):
        own = residuals[kinds == kind]
        factors = interval(own, level)
        if factors is None:
            half = float(np.abs(own).max())
            factors = _around_one(-half, half).widened()
            if pooled is not None:
                factors = Interval(
                    min(factors.lower_factor, pooled.lower_factor),
                    max(factors.upper_factor, pooled.upper_factor),
                )
        found[str(kind)] = factors
    return found


def covered_out_of_fold(
    residuals: Floats, kinds: NDArray[np.str_], folds: NDArray[np.int64], level: float = LEVEL
) -> NDArray[np.bool_]:
    """Tell for every row whether intervals made from the other folds' residuals hold it."""
    covered = np.zeros(len(residuals), bool)
    for fold in np.unique(folds):
        inside = folds == fold
        found = intervals_by_kind(residuals[~inside], kinds[~inside], level)
        everything = interval(residuals[~inside], level)
        for row in np.flatnonzero(inside):
            factors = found.get(str(kinds[row]), everything)
            if factors is not None:
                low, high = np.log(factors)
                covered[row] = low <= residuals[row] <= high
    return covered


def _around_one(low: float, high: float) -> Interval:
    low, high = max(min(low, 0.0), -_WIDEST), min(max(high, 0.0), _WIDEST)
    return Interval(float(np.exp(low)), float(np.exp(high)))
