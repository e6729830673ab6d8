"""The form traffic: rates of bytes, and whatever else its rows ask for.

A pool reads every element in as many windows as it lies in: taps may have a price beside bytes.

Operators of a kind share the ratio of their rates, each at a pace of its own: an average pool sums
where a maximum compares, a GELU has more instructions than a SiLU. Their factors have a geometric
mean of 1, and one that was not timed is taken for typical.

What a launch moves beyond some cache comes from slower memory. Where that begins is one number of
the device, searched for over all kinds together; what it costs is each kind's own.

All are kept only if the loss falls by more than chance explains: n ln(loss without / loss with)
exceeds ln n for each price and factor, and ln of all rows for a cache's size, where a loss is that
of a row left free by the parameters. That is the Bayesian information criterion (Schwarz,
"Estimating the dimension of a model", 1978).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
from scipy.linalg import block_diag

from alphaflops import _core
from alphaflops.fitting.forms import NO_TERMS, Rows, Terms, traffic_model, traffic_parameters
from alphaflops.fitting.kinds import KindFit
from alphaflops.fitting.least_squares import WEAK_PULL, Solution, floor_start, named, solve
from alphaflops.fitting.metrics import Floats

_NO_FLOOR_BELOW = 3  # rows of a kind: one rate is all that they tell
_NO_CACHE_BELOW = 10
_FACTOR_PULL = 0.2  # a row is off by a fifth of what ln f scatters by
_ON_A_SIDE = 3  # rows of a kind that move more, and less, than a cache holds
_CACHES = 2.0 ** np.arange(14, 31, 0.5)  # bytes; 16 KiB to 1 GiB
_EXACT = 0.002  # of a time; what describes less is not kept

Timed = tuple[Rows, Floats]


class _Fitted(NamedTuple):
    solution: Solution
    terms: Terms
    centre: Floats  # where theta is pulled to

    def named(self, n: int) -> KindFit:
        names = partial(traffic_parameters, terms=self.terms)
        found = named(names, self.solution, "traffic", n)
        return replace(
            found,
            parameters=self.terms.nested(found.parameters),
            standard_errors=self.terms.nested(found.standard_errors),
        )


def fit_traffic(by_kind: Mapping[str, Timed]) -> dict[str, KindFit]:
    """Fit kinds that move data, each given as its rows [n] and ln seconds [n]."""
    few = {kind: timed for kind, timed in by_kind.items() if len(timed[0]) < _NO_FLOOR_BELOW}
    fits = {kind: _without_cache(kind, *by_kind[kind]) for kind in by_kind if kind not in few}
    cache_bytes = _find_cache(by_kind, fits)
    found = {kind: _one_rate(kind, *timed) for kind, timed in few.items()}
    for kind, without in fits.items():
        more = None if cache_bytes is None else _beyond(cache_bytes, *by_kind[kind], without)
        found[kind] = (more or without).named(len(by_kind[kind][0]))
    return {kind: found[kind] for kind in by_kind}


def _find_cache(by_kind: Mapping[str, Timed], without: Mapping[str, _Fitted]) -> float | None:
    """Return the bytes of the cache by which all kinds together gain most; None if not enough."""
    enough = {k: by_kind[k] for k in without if len(by_kind[k][0]) >= _NO_CACHE_BELOW}
    best, best_gain = None, float(np.log(max(1, sum(len(rows) for rows, _ in enough.values()))))
    for cache in _CACHES.tolist():
        gain = 0.0
        for kind, timed in enough.items():
            more = _beyond(cache, *timed, without[kind])
            gain += 0.0 if more is None else _gain(without[kind], more, len(timed[0]))
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


def _without_cache(kind: str, rows: Rows, log_time: Floats) -> _Fitted:
    """Return the fit of what the rows ask for but a cache."""
    ops = tuple(op for op in np.unique(rows.op).tolist() if op != _core.OPERATORS[0])
    factors = [(), ops] if len(ops) > 1 else [()]
    taps = [False, True] if kind == "pool" else [False]
    tried = [Terms(t, f) for t in taps for f in factors]
    enough = [terms for terms in tried if terms.size < len(rows)]
    fitted = [_fit(rows, log_time, terms) for terms in enough or [NO_TERMS]]
    plain = fitted[0]
    return max(fitted, key=lambda each: _gain(plain, each, len(rows)))


def _fit(rows: Rows, log_time: Floats, terms: Terms) -> _Fitted:
    rate, floor = _rate(rows, log_time), floor_start(log_time)
    factors = np.zeros(terms.floor_at - terms.rates)
    starts = [
        np.concatenate([np.full(terms.rates, first), factors, floor]) for first in (rate, rate - 2)
    ]
    return _solve(rows, log_time, starts, terms, starts[0])


def _beyond(cache: float, rows: Rows, log_time: Floats, without: _Fitted) -> _Fitted | None:
    """Return the fit with a cache; None where the rows do not ask for it."""
    n, beyond = len(rows), int((rows.bytes_moved > cache).sum())
    terms = without.terms._replace(cache_bytes=cache)
    if n < _NO_CACHE_BELOW or n <= terms.size or not _ON_A_SIDE <= beyond <= n - _ON_A_SIDE:
        return None
    rate = _rate(rows, log_time)
    start, centre = np.append(without.solution.theta, rate), np.append(without.centre, rate)
    more = _solve(rows, log_time, [start], terms, centre)
    return more if _gain(without, more, n) > 0 else None


def _solve(
    rows: Rows, log_time: Floats, starts: list[Floats], terms: Terms, centre: Floats
) -> _Fitted:
    pull = block_diag(
        WEAK_PULL * np.eye(terms.rates),
        _FACTOR_PULL * terms.factors,
        WEAK_PULL * np.eye(terms.size - terms.floor_at),
    )
    model = partial(traffic_model, terms=terms)
    solution = solve(model, rows, log_time, starts, pull=pull, centre=centre)
    return _Fitted(solution, terms, centre)


def _gain(without: _Fitted, more: _Fitted, n: int) -> float:
    def log_loss(fitted: _Fitted) -> float:
        exact = 0.5 * n * _EXACT**2
        return float(np.log((fitted.solution.cost + exact) / (n - fitted.terms.size)))

    if more is without:
        return 0.0
    parameters = more.terms.size - without.terms.size
    return n * (log_loss(without) - log_loss(more)) - parameters * float(np.log(n))


def _rate(rows: Rows, log_time: Floats) -> float:
    return float(np.median(log_time - np.log(rows.bytes_moved)))
