"""What caches give where a network finds its weights there, from rows that were timed so.

A row with ``reuse_bytes`` is held against the same shape from memory:

    time = time from memory * (1 - (1 - share(distance)) / (1 + (S - 1) / half_rows))

The share is one curve of the device, half_rows a number of each kind.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from alphaflops.fitting.forms import WEIGHTED, rows_of
from alphaflops.fitting.metrics import Floats
from alphaflops.table import Table, work_table
from alphaflops.table.columns import INTEGERS

_START_HALF_ROWS = 32.0
_PULL = 0.05  # of each kind towards all of them, a factor of e counted as so much of a time
_LARGEST = 12.0  # ln
_SCALE = 0.1  # of residuals: beyond, they count linearly


class _Again(NamedTuple):
    """Rows whose weights are used again, beside their time from memory."""

    kind: NDArray[np.int64]  # of WEIGHTED
    s: Floats
    distance_bytes: Floats
    share: Floats  # of the time from memory

    def of(self, rows: NDArray[np.bool_]) -> _Again:
        """Return some of them."""
        return _Again(self.kind[rows], self.s[rows], self.distance_bytes[rows], self.share[rows])


def from_memory(table: Table) -> NDArray[np.bool_]:
    """Return which rows were timed with weights from memory."""
    if "reuse_bytes" not in (table.dtype.names or ()):
        return np.ones(len(table), bool)
    return np.asarray(np.isnan(table["reuse_bytes"]))


def fit_reuse(table: Table) -> dict[str, Any] | None:
    """Return the entry ``weight_reuse`` of a profile; None without rows that tell it.

    Distances are those of rows that use each weight once (S = 1); others take part between them.

    Parameters
    ----------
    table
        Checked; with the column ``reuse_bytes`` in some rows.
    """
    rows = _again(table)
    distances = np.unique(rows.distance_bytes[rows.s == 1])
    if len(distances) == 0:
        return None
    rows = rows.of(rows.distance_bytes <= distances[-1])

    def residuals(theta: Floats) -> Floats:
        share, half_rows = _parameters(theta, len(distances))
        at_share = np.interp(np.log(rows.distance_bytes), np.log(distances), share)
        gain = (1 - at_share) / (1 + (rows.s - 1) / half_rows[rows.kind])
        off = np.log((1 - gain) / rows.share)
        return np.concatenate([off, _PULL * theta[len(distances) + 1 :]])

    start = np.zeros(len(distances) + 1 + len(WEIGHTED))
    start[: len(distances)] = 1 / len(distances)
    start[len(distances)] = np.log(_START_HALF_ROWS)
    least = np.full(len(start), -_LARGEST)
    least[: len(distances)] = 0  # the share rises with the distance
    found = least_squares(
        residuals, start, bounds=(least, _LARGEST), loss="soft_l1", f_scale=_SCALE
    )
    share, half_rows = _parameters(found.x, len(distances))
    off = np.abs(np.expm1(residuals(found.x)[: len(rows.s)]))
    return {
        "distance_bytes": distances.tolist(),
        "share": share.tolist(),
        "half_rows": dict(zip(WEIGHTED, half_rows.tolist(), strict=True)),
        "rows": len(rows.s),
        "mdape": float(np.median(off)),
    }


def _parameters(theta: Floats, knots: int) -> tuple[Floats, Floats]:
    """Return the share at each distance and the half_rows of each kind."""
    share = np.exp(-np.cumsum(theta[:knots][::-1])[::-1])
    return share, np.exp(theta[knots] + theta[knots + 1 :])


def _again(table: Table) -> _Again:
    """Return the rows that stand beside one of the same shape from memory."""
    memory = from_memory(table)
    columns = [*INTEGERS, "op", "dtype", "pass"]
    keys = [tuple(row) for row in table[columns].tolist()]
    times: dict[tuple[Any, ...], list[float]] = {}
    for key, is_from_memory, time_s in zip(keys, memory, table["time_s"].tolist(), strict=True):
        if is_from_memory:
            times.setdefault(key, []).append(time_s)
    rows = rows_of(work_table(table))
    index = np.array(
        [i for i in np.flatnonzero(~memory) if keys[i] in times and rows.kind[i] in WEIGHTED], int
    )
    return _Again(
        kind=np.array([WEIGHTED.index(kind) for kind in rows.kind[index]], int),
        s=rows.s[index],
        distance_bytes=np.array([table["reuse_bytes"][i] for i in index]),
        share=np.array([table["time_s"][i] / np.median(times[keys[i]]) for i in index]),
    )
