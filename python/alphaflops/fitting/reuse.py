"""What caches give where a network finds its weights there, from rows that were timed so.

A row with ``reuse_bytes`` is held against the same shape from memory:

    gain = (1 - share(distance)) exp(-seconds until then / keep_s)
    time = time from memory * (1 - gain / (1 + (S - 1) / half_rows))

The share is one curve of the device, keep_s a number of it, half_rows one of each kind.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from alphaflops.fitting.forms import WEIGHTED, rows_of
from alphaflops.fitting.metrics import Floats
from alphaflops.rows import seconds_between
from alphaflops.table import Table, work_table
from alphaflops.table.columns import INTEGERS

_START_HALF_ROWS, _START_KEEP_S = 32.0, 0.1
_PULL = 0.05  # of each kind towards all of them, a factor of e counted as so much of a time
_LARGEST = 12.0  # ln
_SCALE = 0.1  # of residuals: beyond, they count linearly


class _Again(NamedTuple):
    """Rows whose weights are used again, beside their time from memory."""

    kind: NDArray[np.int64]  # of WEIGHTED
    s: Floats
    distance_bytes: Floats
    distance_s: Floats
    share: Floats  # of the time from memory

    def of(self, rows: NDArray[np.bool_]) -> _Again:
        """Return some of them."""
        return _Again(
            self.kind[rows],
            self.s[rows],
            self.distance_bytes[rows],
            self.distance_s[rows],
            self.share[rows],
        )


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
    if from_memory(table).all():
        return None
    rows = _again(table)
    distances = np.unique(rows.distance_bytes[rows.s == 1])
    if len(distances) == 0:
        return None
    rows = rows.of(rows.distance_bytes <= distances[-1])

    def residuals(theta: Floats) -> Floats:
        share, half_rows, keep_s = _parameters(theta, knots)
        at_share = np.interp(np.log(rows.distance_bytes), np.log(distances), share)
        kept = (1 - at_share) * np.exp(-rows.distance_s / keep_s)
        gain = kept / (1 + (rows.s - 1) / half_rows[rows.kind])
        off = np.log((1 - gain) / rows.share)
        return np.concatenate([off, _PULL * theta[knots + 2 :]])

    knots = len(distances)
    start = np.zeros(knots + 2 + len(WEIGHTED))
    start[:knots] = 1 / knots
    start[knots : knots + 2] = np.log([_START_HALF_ROWS, _START_KEEP_S])
    least = np.full(len(start), -_LARGEST)
    least[:knots] = 0  # the share rises with the distance
    found = least_squares(
        residuals, start, bounds=(least, _LARGEST), loss="soft_l1", f_scale=_SCALE
    )
    share, half_rows, keep_s = _parameters(found.x, knots)
    off = np.abs(np.expm1(residuals(found.x)[: len(rows.s)]))
    return {
        "distance_bytes": distances.tolist(),
        "share": share.tolist(),
        "keep_s": keep_s,
        "half_rows": dict(zip(WEIGHTED, half_rows.tolist(), strict=True)),
        "rows": len(rows.s),
        "mdape": float(np.median(off)),
    }


def _parameters(theta: Floats, knots: int) -> tuple[Floats, Floats, float]:
    """Return the share at each distance, the half_rows of each kind, and keep_s."""
    share = np.exp(-np.cumsum(theta[:knots][::-1])[::-1])
    return share, np.exp(theta[knots] + theta[knots + 2 :]), float(np.exp(theta[knots + 1]))


def _again(table: Table) -> _Again:
    """Return the rows that stand beside one of the same shape from memory."""
    memory = from_memory(table)
    columns = [*INTEGERS, "op", "dtype", "pass"]
    keys = [tuple(row) for row in table[columns].tolist()]
    times: dict[tuple[Any, ...], list[float]] = {}
    for key, is_from_memory, time_s in zip(keys, memory, table["time_s"].tolist(), strict=True):
        if is_from_memory:
            times.setdefault(key, []).append(time_s)
    work = work_table(table)
    rows = rows_of(work)
    index = np.array(
        [
            i
            for i in np.flatnonzero(~memory & (table["pass"] == "forward"))
            if keys[i] in times and rows.kind[i] in WEIGHTED
        ],
        int,
    )
    time_s = table["time_s"][index]
    return _Again(
        kind=np.array([WEIGHTED.index(kind) for kind in rows.kind[index]], int),
        s=rows.s[index],
        distance_bytes=table["reuse_bytes"][index],
        distance_s=seconds_between(table[index], work.take(index), time_s),
        share=np.array([t / np.median(times[keys[i]]) for t, i in zip(time_s, index, strict=True)]),
    )
