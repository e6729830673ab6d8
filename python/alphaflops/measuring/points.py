"""The samples of one point of a bench: their centre, spread and floor, and what disturbed them.

The centre is the median with its distribution-free interval. The floor is the 5 % quantile of the
undisturbed samples: neighbours on a shared machine only ever add time, so the floor is what another
run finds again where medians move. Comparisons use it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

from alphaflops.measuring.readings import MIN_SAMPLES, UNSTABLE, Reading, summarise

__all__ = [
    "PointStats",
    "as_row",
    "causes",
    "floor_of",
    "is_settled",
    "point_stats",
    "readings_of",
]

#: Share of the samples that must be disturbed for the cause to be named.
_DISTURBED = 0.25
FLOOR_QUANTILE = 0.05
_CLOCK_DRIFT = 0.05
#: Modes are so far apart, and each holds so much of the samples.
_MODE_GAP, _MODE_SHARE = 0.04, 0.2
_MODE_SAMPLES = 10
SETTLED_SAMPLES = 10
_FASTEST = 4  # so many must agree ...
_FLOOR_SETTLED = 0.005  # ... within this for the floor to be settled


class PointStats(TypedDict):
    """Seconds a call, and the causes for which they are not to be trusted."""

    time_s: float  # median
    time_lo_s: float  # its interval of 90 %, whatever the distribution
    time_hi_s: float
    mad_s: float
    min_s: float
    q3_s: float
    floor_s: float
    floor_settled: bool
    reorder_s: float  # median of what of a call changed the layout
    clock_hz: float
    steal_s: float
    used: int  # samples behind these numbers
    unstable: list[str]


def _used(readings: Sequence[Reading]) -> list[Reading]:
    clean = [r for r in readings if r.is_clean]
    return clean if len(clean) >= MIN_SAMPLES else list(readings)


def _clean(readings: Sequence[Reading]) -> npt.NDArray[np.float64]:
    return np.sort([r.time_s for r in _used(readings)])


def floor_of(times: npt.NDArray[np.float64]) -> float:
    """Return the 5 % quantile: near the fastest, yet not at the mercy of one freak reading."""
    return float(np.quantile(times, FLOOR_QUANTILE))


def _floor_settled(times: npt.NDArray[np.float64]) -> bool:
    return len(times) >= _FASTEST and bool(times[_FASTEST - 1] <= times[0] * (1 + _FLOOR_SETTLED))


def is_settled(readings: Sequence[Reading]) -> bool:
    """Whether more samples would hardly move floor or median, and nothing looks disturbed."""
    if len(readings) < SETTLED_SAMPLES or not _floor_settled(_clean(readings)):
        return False
    return not causes(readings)


def causes(readings: Sequence[Reading]) -> list[str]:
    """Name what makes a point unstable: steal, switches, clock, bimodal; noise for no such cause.

    A point whose samples are too few to tell is unstable for ``samples``.
    """
    found = []
    n = len(readings)
    if sum(r.steal_s > 0 for r in readings) > _DISTURBED * n:
        found.append("steal")
    if sum(r.switches > 0 for r in readings) > _DISTURBED * n:
        found.append("switches")
    clocks = np.array([r.clock_hz for r in readings])
    low, middle, high = np.quantile(clocks, [0.1, 0.5, 0.9])
    if high - low > _CLOCK_DRIFT * middle:
        found.append("clock")
    times = _clean(readings)
    if _is_bimodal(times):
        found.append("bimodal")
    summary = summarise(readings)
    if summary.samples < MIN_SAMPLES:
        found.append("samples")
    elif summary.spread > UNSTABLE and not found:
        found.append("noise")
    return found


def _is_bimodal(times: npt.NDArray[np.float64]) -> bool:
    """Whether the sorted times fall into two groups with a gap wider than either group's bulk."""
    n = len(times)
    if n < _MODE_SAMPLES:
        return False
    logs = np.log(np.maximum(times, 1e-12))
    first = max(1, int(np.ceil(_MODE_SHARE * n)))
    gaps = np.diff(logs)[first - 1 : n - first]
    if len(gaps) == 0:
        return False
    cut = first + int(np.argmax(gaps))
    gap = float(np.max(gaps))
    bulk = max(float(np.subtract(*np.quantile(g, [0.75, 0.25]))) for g in (logs[:cut], logs[cut:]))
    return gap > _MODE_GAP and gap > bulk


def point_stats(readings: Sequence[Reading]) -> PointStats:
    """Reduce the samples of a point, one at least."""
    summary = summarise(readings)
    times = _clean(readings)
    median = summary.time_s
    return PointStats(
        time_s=median,
        time_lo_s=summary.time_lo_s,
        time_hi_s=summary.time_hi_s,
        mad_s=float(np.median(np.abs(times - median))),
        min_s=float(times[0]),
        q3_s=float(np.quantile(times, 0.75)),
        floor_s=floor_of(times),
        floor_settled=_floor_settled(times),
        reorder_s=float(np.median([r.reorder_s for r in _used(readings)])),
        clock_hz=summary.clock_hz,
        steal_s=summary.steal_s,
        used=summary.samples,
        unstable=causes(readings),
    )


def as_row(reading: Reading, process: int) -> list[Any]:
    """Return a sample as JSON keeps it; `readings_of` takes it back."""
    r = reading
    return [r.time_s, r.iterations, r.steal_s, r.switches, r.clock_hz, r.at, process, r.reorder_s]


def readings_of(rows: Sequence[Sequence[Any]]) -> list[Reading]:
    """Take back rows of `as_row`, without their processes."""
    return [Reading(*row[:6], *row[7:]) for row in rows]
