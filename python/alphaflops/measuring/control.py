"""Operators of a calibration, timed again, for how much longer they take now."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from alphaflops.errors import BrokenContextError, Error, TableError
from alphaflops.measuring.backends import HasProvenance, Session
from alphaflops.measuring.readings import (
    SETTLED_SAMPLES,
    Reading,
    Sample,
    interval_ranks,
    summarise,
)
from alphaflops.measuring.shapes import graphs_of
from alphaflops.table import Table, check_table, table_of

__all__ = ["Control", "Slowdown", "control_in"]

_T = TypeVar("_T")
_MAY_DIFFER = {"torch"}  # its version: then is then, and now is now


class Slowdown(NamedTuple):
    """Times now over times at the calibration: median of the operators, its 90 % interval."""

    ratio: float
    low: float
    high: float

    @classmethod
    def of(cls, rows: npt.NDArray[np.void]) -> Slowdown:
        """Return what ``validate`` says in each of its rows."""
        first = rows[0]
        return cls(*(float(first[name]) for name in ("slowdown", "slowdown_lo", "slowdown_hi")))

    def __str__(self) -> str:
        return f"{self.ratio:.2f} [{self.low:.2f}, {self.high:.2f}]"

    def without(self, error: float) -> float:
        """Return what an error, predicted / measured - 1, would be at the calibration's speed."""
        return self.ratio * (1 + error) - 1


def control_in(profile: HasProvenance, how: Mapping[str, object], dtype: str) -> Table | None:
    """Return the operators that a profile has for this, with their times; None without any.

    `how` is a backend's provenance. Operators that were timed in another way, such as with another
    instruction set or number of threads, or on another device, are no control.

    Raises
    ------
    TableError
        The profile's control is malformed.
    """
    data = profile.data
    then = {**data["provenance"], "device": data.get("device", {}).get("name")}
    if not data.get("control") or any(then.get(n, how[n]) != how[n] for n in {*how} - _MAY_DIFFER):
        return None
    origin = f"profile '{data['name']}', control"
    if not isinstance(data["control"], Mapping):
        raise TableError(f"{origin}: it must be an object of columns")
    rows = check_table(table_of(data["control"], origin), origin=origin)
    rows = rows[(rows["dtype"] == dtype) & (rows["pass"] == "forward") & (rows["training"] == 0)]
    return rows if len(rows) else None


class Control:
    """Benches of what ``control_in`` found, and what they took; without rows, nothing is timed."""

    def __init__(self, session: Session, rows: Table | None, *, by_mode: bool) -> None:
        self._by_mode = by_mode
        graphs = [] if rows is None else graphs_of(rows)
        times = [] if rows is None else rows["time_s"].tolist()
        # All are built before any is run, as in a campaign.
        made = [_unless_refused(partial(session.bench, graph)) for graph in graphs]
        self._timed: list[_Timed] = []
        for bench, then_s in zip(made, times, strict=True):
            call_s = None if bench is None else _unless_refused(bench.warm_up)
            if bench is not None and call_s is not None:
                calls = session.iterations_for(call_s)
                self._timed.append(_Timed(then_s, partial(bench.sample, calls)))

    def sample(self, random: np.random.Generator) -> None:
        """Time each once, in random order."""
        for i in random.permutation(len(self._timed)).tolist():
            if (sample := _unless_refused(self._timed[i].run)) is not None:
                self._timed[i].readings.append(Reading.of(sample, time.time()))

    def slowdown(self) -> Slowdown:
        """Return what the operators take now over what they took then; NaN below five of them."""
        ratios = np.sort(
            [
                summarise(each.readings, by_mode=self._by_mode).time_s / each.then_s
                for each in self._timed
                if each.readings
            ]
        )
        if len(ratios) < SETTLED_SAMPLES:  # of which a median has no interval
            return Slowdown(math.nan, math.nan, math.nan)
        low, high = interval_ranks(len(ratios))
        return Slowdown(float(np.median(ratios)), float(ratios[low]), float(ratios[high]))


class _Timed:
    def __init__(self, then_s: float, run: Callable[[], Sample]) -> None:
        self.then_s, self.run = then_s, run
        self.readings: list[Reading] = []


def _unless_refused(run: Callable[[], _T]) -> _T | None:
    """Return what an operator gives, None where it no longer runs: that must not cost networks."""
    try:
        return run()
    except BrokenContextError:
        raise
    except (Error, RuntimeError, MemoryError):  # PyTorch's are of the second
        return None
