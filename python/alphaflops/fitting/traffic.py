"""The form traffic: rates of bytes, and whatever else its rows ask for.

A pool reads every element in as many windows as it lies in: taps may have a price beside bytes.

Operators of a kind share the ratio of their rates, each at a pace of its own: an average pool sums
where a maximum compares, a GELU has more instructions than a SiLU. Their factors have a geometric
mean of 1, and one that was not timed is taken for typical.

What a launch moves beyond some cache comes from slower memory. Where that begins is one number of
the device, searched for over all kinds that move data together, and then as good for kinds that
multiply; what it costs is each kind's own.

All are kept only where the criterion of evidence.py asks for them: ln n for each price and factor,
and for a cache's size ln of all rows, and ln of how many sizes are tried.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
from scipy.linalg import block_diag

from alphaflops import _core
from alphaflops.fitting.evidence import NO_CACHE_BELOW, Cache, score
from alphaflops.fitting.forms import NO_TERMS, Rows, Terms, traffic_model, traffic_parameters
from alphaflops.fitting.kinds import KindFit
from alphaflops.fitting.least_squares import WEAK_PULL, Solution, floor_start, named, solve
from alphaflops.fitting.metrics import Floats

_NO_FLOOR_BELOW = 3  # rows of a kind: one rate is all that they tell
_FACTOR_PULL = 0.2  # a row is off by a fifth of what ln f scatters by
_CACHES = tuple(2.0**i for i in range(14, 31))  # bytes; 16 KiB to 1 GiB
_BETWEEN = 2.0**0.5  # sizes beside the best of these

Timed = tuple[Rows, Floats]


class _Fitted(NamedTuple):
    solution: Solution
    terms: Terms
    centre: Floats  # where theta is pulled to

    def score(self, n: int) -> float:
        """Return what speaks for it, of `n` rows: a difference of scores is a gain."""
        return score(self.solution.cost, n, self.terms.size)

    def named(self, n: int) -> KindFit:
        names = partial(traffic_parameters, terms=self.terms)
        found = named(names, self.solution, "traffic", n)
        return replace(
            found,
            parameters=self.terms.nested(found.parameters),
            standard_errors=self.terms.nested(found.standard_errors),
        )


def fit_traffic(
    by_kind: Mapping[str, Timed], caches: Sequence[float] = _CACHES
) -> dict[str, KindFit]:
    """Fit kinds that move data, each given as its rows [n] and ln seconds [n].

    The device's cache, if it has one, is looked for near each of `caches` [bytes].
    """
    few = {kind for kind, (rows, _) in by_kind.items() if len(rows) < _NO_FLOOR_BELOW}
    kinds = {name: _Kind(name, *timed) for name, timed in by_kind.items() if name not in few}
    cache_bytes = _find_cache(list(kinds.values()), caches) if caches else None
    return {
        name: _one_rate(name, *timed)
        if name in few
        else kinds[name].best(cache_bytes).named(len(timed[0]))
        for name, timed in by_kind.items()
    }


def _find_cache(kinds: list[_Kind], caches: Sequence[float]) -> float | None:
    """Return the bytes of the cache by which all kinds together gain most; None if not enough."""

    def score(cache_bytes: float | None) -> float:
        return sum(kind.best(cache_bytes).score(kind.n) for kind in kinds)

    near = max(caches, key=score)
    best = max((near / _BETWEEN, near, near * _BETWEEN), key=score)
    rows = sum(kind.n for kind in kinds if kind.may_tell_caches)
    chance = np.log(max(rows, 1)) + np.log(len(_CACHES))
    return best if score(best) > score(None) + chance else None


class _Kind:
    """One kind's rows, and what fits them: with and without whatever they may ask for."""

    def __init__(self, name: str, rows: Rows, log_time: Floats) -> None:
        self.rows, self.log_time, self.n = rows, log_time, len(rows)
        self.may_tell_caches = self.n >= NO_CACHE_BELOW
        ops = tuple(op for op in np.unique(rows.op).tolist() if op != _core.OPERATORS[0])
        factors = [(), ops] if len(ops) > 1 else [()]
        taps = [False, True] if name == "pool" else [False]
        tried = [Terms(t, f) for t in taps for f in factors]
        enough = [terms for terms in tried if terms.size < self.n]
        self._without = [self._fit(terms) for terms in enough or [NO_TERMS]]
        self._found: dict[float | None, _Fitted] = {}

    def best(self, cache_bytes: float | None) -> _Fitted:
        """Return the fit that the rows ask for, of a device with such a cache or with none."""
        if cache_bytes not in self._found:
            fits = list(self._without)
            if cache_bytes is not None and self._told(cache_bytes):
                room = [fit for fit in fits if fit.terms.size + 1 < self.n]
                fits += [self._beyond(cache_bytes, without) for without in room]
            self._found[cache_bytes] = max(fits, key=lambda fit: fit.score(self.n))
        return self._found[cache_bytes]

    def _told(self, cache_bytes: float) -> bool:
        return Cache(cache_bytes, self.rows.bytes_beyond(cache_bytes)).is_told_by_rows

    def _fit(self, terms: Terms) -> _Fitted:
        rate, floor = _rate(self.rows, self.log_time), floor_start(self.log_time)
        factors = np.zeros(terms.floor_at - terms.rates)
        starts = [
            np.concatenate([np.full(terms.rates, first), factors, floor])
            for first in (rate, rate - 2)
        ]
        return self._solve(starts, terms, starts[0])

    def _beyond(self, cache_bytes: float, without: _Fitted) -> _Fitted:
        """Return the fit with a price for what is beyond a cache."""
        rate = _rate(self.rows, self.log_time)
        start, centre = np.append(without.solution.theta, rate), np.append(without.centre, rate)
        return self._solve([start], without.terms._replace(cache_bytes=cache_bytes), centre)

    def _solve(self, starts: list[Floats], terms: Terms, centre: Floats) -> _Fitted:
        pull = block_diag(
            WEAK_PULL * np.eye(terms.rates),
            _FACTOR_PULL * terms.factors,
            WEAK_PULL * np.eye(terms.size - terms.floor_at),
        )
        model = partial(traffic_model, terms=terms)
        solution = solve(model, self.rows, self.log_time, starts, pull=pull, centre=centre)
        return _Fitted(solution, terms, centre)


def fit_calls(rows: Rows, log_time: Floats) -> KindFit:
    """Return what a call costs that moves nothing: the median of those timed."""
    call_s, n = float(np.exp(np.median(log_time))), len(rows)
    parameters = {"seconds_per_byte_read": 0.0, "seconds_per_byte_written": 0.0, "floor_s": call_s}
    return KindFit(form="traffic", parameters=parameters, standard_errors={}, rows=n)


def _one_rate(kind: str, rows: Rows, log_time: Floats) -> KindFit:
    c, n = float(np.exp(_rate(rows, log_time))), len(rows)
    return KindFit(
        form="traffic",
        parameters={"seconds_per_byte_read": c, "seconds_per_byte_written": c},
        standard_errors={},
        rows=n,
        note=f"{kind}: {n} row{'s' * (n > 1)}; one rate for bytes read and written, no floor",
    )


def _rate(rows: Rows, log_time: Floats) -> float:
    return float(np.median(log_time - np.log(rows.bytes_moved)))
