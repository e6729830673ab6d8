"""Times that grow with the order of measurement: a drift of the measuring, not of the device.

A script whose overhead grows call by call adds a line to its times:

    time = cost(shape) + drift * position,    position from 0 (first measured) to 1 (last)

Where the order is known the line is fitted together with the cost, and taken out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.optimize import least_squares
from scipy.stats import spearmanr

from alphaflops.errors import TableError
from alphaflops.fitting.metrics import Floats
from alphaflops.table import Table

ROW = "row"
_LOSS_SCALE = 0.05
_ROUNDS = 2
_LEAST_LEFT = 0.05  # of a time, however large the drift
_RANK, _CHANCE = 0.15, 1e-9  # a correlation beyond both is worth a word


class Drift(NamedTuple):
    """A line along the order of measurement."""

    order: str  # a column, or ROW
    first: float  # of its values
    last: float
    seconds: float = 0.0  # that times gain from the first to the last

    def position(self, table: Table) -> Floats:
        """Return where each row [n] stands, from 0 to 1 in the table that was fitted."""
        result: Floats = (_values(table, self.order) - self.first) / (self.last - self.first)
        return result

    def taken_out_of(self, table: Table) -> Table:
        """Return the table with its times as at the first position.

        A table without the column is returned as it is, and so is any where rows gave the order:
        their numbers mean nothing in another table.
        """
        if self.order == ROW or self.order not in (table.dtype.names or ()):
            return table
        corrected = table.copy()
        corrected["time_s"] = self.corrected(table["time_s"], self.position(table))
        return corrected

    def corrected(self, time_s: Floats, position: Floats) -> Floats:
        """Return times [n] as at the first position."""
        result: Floats = np.maximum(time_s - self.seconds * position, _LEAST_LEFT * time_s)
        return result

    def __str__(self) -> str:
        return (
            f"times grew by {self.seconds * 1e6:.0f} us along {self.order}, from the first "
            "measured to the last; that is taken out, and the profile is of the first"
        )


def find_drift(table: Table, order: str, predict: Callable[[Floats], Floats]) -> Drift:
    """Fit the drift of a table.

    Parameters
    ----------
    table
        Measurement table [n] with ``time_s``.
    order
        Column that tells when a row was measured, or ``ROW``.
    predict
        Fits times [n], and returns what it predicts of the same rows.

    Raises
    ------
    TableError
        No such column, one that holds no numbers, or the same number everywhere.
    """
    values = _values(table, order)
    drift = Drift(order, float(values.min()), float(values.max()))
    if drift.first == drift.last:
        raise TableError(f"table: order column {order!r} is the same in every row")
    position, time_s = drift.position(table), table["time_s"]
    for _ in range(_ROUNDS):
        predicted_s = predict(drift.corrected(time_s, position))
        drift = drift._replace(seconds=drift_s(time_s, predicted_s, position))
    return drift


def _values(table: Table, order: str) -> Floats:
    if order == ROW:
        return np.arange(len(table), dtype=float)
    if order not in (table.dtype.names or ()):
        raise TableError(
            f"table: order column {order!r} not found; name a column, or give '{ROW}' where rows "
            "stand in the order in which they were measured"
        )
    column = table[order]
    if not np.issubdtype(column.dtype, np.number) or not np.isfinite(column).all():
        raise TableError(f"table: order column {order!r} must hold finite numbers")
    values: Floats = column.astype(float)
    return values


def drift_s(time_s: Floats, predicted_s: Floats, position: Floats) -> float:
    """Return the seconds that times gain from the first to the last, beside a prediction."""

    def residuals(line: Floats) -> Floats:
        result: Floats = (time_s - predicted_s - line[0] - line[1] * position) / time_s
        return result

    scale = float(np.median(time_s))
    found = least_squares(
        lambda x: residuals(x * scale), np.zeros(2), loss="soft_l1", f_scale=_LOSS_SCALE
    )
    return float(found.x[1] * scale)


def suspicion(time_s: Floats, predicted_s: Floats) -> str:
    """Return a sentence where residuals follow the order of the rows, or nothing."""
    known = ~np.isnan(predicted_s)
    times, predicted = time_s[known], predicted_s[known]
    index = np.flatnonzero(known) / len(known)
    if len(times) < 100 or np.unique(times).size < 2:  # noqa: PLR2004
        return ""
    rank = spearmanr(index, times / predicted)
    if abs(rank.statistic) < _RANK or rank.pvalue > _CHANCE:
        return ""
    drift = drift_s(times, predicted, index)
    return (
        f"times over predictions follow the order of the rows (rank correlation "
        f"{rank.statistic:.2f}, {drift * 1e6:+.0f} us from the first row to the last): if rows "
        f"stand as they were measured, the measuring drifted; fit with order='{ROW}'"
    )
