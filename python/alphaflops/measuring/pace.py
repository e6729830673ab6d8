"""How fast the machine was at each moment of a campaign, as all its readings say it together.

A clock that moves, a neighbour or a host that puts two virtual processors on one core make whatever
runs just then slower, for milliseconds to minutes. What a reading is off the median of its row is
partly that and partly its own: the median over readings of other rows around it is the former.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from alphaflops.measuring.readings import MIN_SAMPLES, Reading

__all__ = ["at_one_pace"]

_AROUND = 25  # readings before, and as many after
_FEWEST = 10  # of them, of other rows, that tell a pace, ...
_TIMES_OWN = 4  # ... and so many times those of its own: rows in turn are five or more
_ROUNDS = 3  # of rows' medians without the pace, and the pace without these
_CHUNK = 4096  # readings whose surroundings are in memory together

_Floats = npt.NDArray[np.float64]
_Ids = npt.NDArray[np.int64]


def at_one_pace(readings: Sequence[Sequence[Reading]]) -> list[list[Reading]]:
    """Return every row's readings as if the machine had kept the pace that it mostly had.

    Seconds are divided by how much longer other rows took around then than they mostly did. A
    reading stays as it is where too few others around it tell.
    """
    paces = iter(np.exp(_log_paces(readings)).tolist())
    return [[_divided(each, next(paces)) for each in taken] for taken in readings]


def _divided(reading: Reading, pace: float) -> Reading:
    return replace(reading, time_s=reading.time_s / pace, reorder_s=reading.reorder_s / pace)


def _log_paces(readings: Sequence[Sequence[Reading]]) -> _Floats:
    """Return ln of the seconds of each reading, row by row, over those at the usual pace."""
    every = [each for taken in readings for each in taken]
    if not every:
        return np.zeros(0)
    rows: _Ids = np.repeat(np.arange(len(readings)), [len(taken) for taken in readings])
    time_s = np.array([each.time_s for each in every])
    clean = np.array([each.is_clean for each in every]) & (time_s > 0)  # 0: what the clock costs
    tells = clean & (np.bincount(rows[clean], minlength=len(readings))[rows] >= MIN_SAMPLES)
    log_s = np.log(time_s, out=np.zeros_like(time_s), where=time_s > 0)
    order = np.argsort([each.at for each in every], kind="stable")
    paces = np.zeros(len(every))
    for _ in range(_ROUNDS):
        off = log_s - _median_by(rows, np.where(tells, log_s - paces, np.nan), len(readings))
        found = np.empty_like(paces)
        found[order] = _median_of_others(rows[order], np.where(tells, off, np.nan)[order])
        told = ~np.isnan(found)
        if not told.any():
            break
        paces = np.where(told, found - np.median(found[told]), 0.0)
    return paces


def _median_by(rows: _Ids, values: _Floats, count: int) -> _Floats:
    """Return to each value the median of those of its row, NaN aside."""
    order = np.lexsort((values, rows))  # NaN comes last
    known = np.bincount(rows[~np.isnan(values)], minlength=count)
    first = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=count))[:-1]])
    low, high = first + np.maximum(known - 1, 0) // 2, first + known // 2
    last = len(values) - 1
    middle = (values[order[np.minimum(low, last)]] + values[order[np.minimum(high, last)]]) / 2
    return np.where(known > 0, middle, np.nan)[rows]


def _median_of_others(rows: _Ids, off: _Floats) -> _Floats:
    """Return for each reading, in their order, the median around it; NaN where too few tell."""
    whose = sliding_window_view(np.pad(rows, _AROUND, constant_values=-1), 2 * _AROUND + 1)
    values = sliding_window_view(np.pad(off, _AROUND, constant_values=np.nan), 2 * _AROUND + 1)
    found = np.empty(len(off))
    for first in range(0, len(off), _CHUNK):
        part = slice(first, first + _CHUNK)
        own = whose[part] == rows[part, None]
        others = np.sort(np.where(own, np.nan, values[part]), axis=1)  # NaN comes last
        n, n_own = np.count_nonzero(~np.isnan(others), axis=1), np.count_nonzero(own, axis=1)
        middle = np.stack([np.maximum(n - 1, 0) // 2, n // 2], axis=1)
        median = np.take_along_axis(others, middle, axis=1).mean(axis=1)
        enough = n >= np.maximum(_FEWEST, _TIMES_OWN * n_own)
        found[part] = np.where(enough, median, np.nan)
    return found
