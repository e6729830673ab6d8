"""The form traffic: rates of bytes, and of those beyond a cache where the rows ask for one.

What a launch moves beyond some cache comes from slower memory. Where that begins is one number of
the device, searched for over all kinds together; what it costs is each kind's own.

A cache is kept if n ln(cost without / cost with) exceeds ln n for what it costs a kind, and ln of
all rows for its size: the Bayesian information criterion (Schwarz, "Estimating the dimension of a
model", 1978).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import numpy as np

from alphaflops.fitting.forms import Rows, traffic_model, traffic_parameters
from alphaflops.fitting.kinds import KindFit
from alphaflops.fitting.least_squares import Solution, floor_start, named, solve
from alphaflops.fitting.metrics import Floats

_NO_FLOOR_BELOW = 3  # rows of a kind: one rate is all that they tell
_NO_CACHE_BELOW = 10
_ON_A_SIDE = 3  # rows of a kind that move more, and less, than a cache holds
_CACHES = 2.0 ** np.arange(14, 31, 0.5)  # bytes; 16 KiB to 1 GiB
_EXACT = 0.002  # of a time; a cache that describes less is none

Timed = tuple[Rows, Floats]


class _Fitted(NamedTuple):
    cache_bytes: float | None
    solution: Solution


def fit_traffic(by_kind: Mapping[str, Timed]) -> dict[str, KindFit]:
    """Fit kinds that move data, each given as its rows [n] and ln seconds [n]."""
    cache_bytes = _find_cache(by_kind)
    found = {}
    for kind, (rows, log_time) in by_kind.items():
        if len(rows) < _NO_FLOOR_BELOW:
            found[kind] = _one_rate(kind, rows, log_time)
            continue
        without = _without_cache(rows, log_time)
        more = None if cache_bytes is None else _beyond(cache_bytes, rows, log_time, without)
        cache, solution = without if more is None else more
        names = partial(traffic_parameters, cache_bytes=cache)
        found[kind] = named(names, solution, "traffic", len(rows))
    return found


def _find_cache(by_kind: Mapping[str, Timed]) -> float | None:
    """Return the bytes of the cache by which all kinds together gain most; None if not enough."""
    enough = {k: v for k, v in by_kind.items() if len(v[0]) >= _NO_CACHE_BELOW}
    without = {kind: _without_cache(*timed) for kind, timed in enough.items()}
    best, best_gain = None, float(np.log(max(1, sum(len(rows) for rows, _ in enough.values()))))
    for cache in _CACHES.tolist():
        gain = 0.0
        for kind, (rows, log_time) in enough.items():
            more = _beyond(cache, rows, log_time, without[kind])
            gain += 0.0 if more is None else _gain(without[kind], more, len(rows))
        if gain > best_gain:
            best, best_gain = cache, gain
    return best


def _one_rate(kind: str, rows: Rows, log_time: Floats) -> KindFit:
    c, n = float(np.exp(_rate(rows, log_time))), len(rows)
    return KindFit(
        form="traffic",
        parameters={"seconds_per_byte_read": c, "seconds_per_byte_written": c},
        standard_errors={},
        rows=n,
        note=f"{kind}: {n} row{'s' * (n > 1)}; one rate for bytes read and written, no floor",
    )


def _without_cache(rows: Rows, log_time: Floats) -> _Fitted:
    rate, floor = _rate(rows, log_time), floor_start(log_time)
    starts = [np.concatenate([[rate, rate], floor]), np.concatenate([[rate - 2, rate - 2], floor])]
    return _Fitted(None, solve(traffic_model, rows, log_time, starts, free=0))


def _beyond(cache: float, rows: Rows, log_time: Floats, without: _Fitted) -> _Fitted | None:
    """Return the fit with a cache; None where the rows do not ask for it."""
    n, beyond = len(rows), int((rows.bytes_moved > cache).sum())
    if n < _NO_CACHE_BELOW or not _ON_A_SIDE <= beyond <= n - _ON_A_SIDE:
        return None
    start = np.append(without.solution.theta, _rate(rows, log_time))
    model = partial(traffic_model, cache_bytes=cache)
    more = _Fitted(cache, solve(model, rows, log_time, [start], free=0))
    return more if _gain(without, more, n) > 0 else None


def _gain(without: _Fitted, more: _Fitted, n: int) -> float:
    exact = 0.5 * n * _EXACT**2
    ratio = (without.solution.cost + exact) / (more.solution.cost + exact)
    return float(n * np.log(ratio) - np.log(n))


def _rate(rows: Rows, log_time: Floats) -> float:
    return float(np.median(log_time - np.log(rows.bytes_moved)))
