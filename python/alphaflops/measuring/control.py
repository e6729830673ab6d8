"""Operators of a calibration, timed again, for how much longer they take now."""

from __future__ import annotations

import math
import time
from typing import NamedTuple

import numpy as np

from alphaflops.errors import BrokenContextError, Error
from alphaflops.measuring.backends import Bench, HasProvenance, Session
from alphaflops.measuring.measured import table_of
from alphaflops.measuring.readings import Reading, interval_ranks, summarise
from alphaflops.measuring.shapes import graphs_of
from alphaflops.table import Table, check_table

__all__ = ["Control", "Slowdown", "control_in"]


class Slowdown(NamedTuple):
    """Times now over times at the calibration: median of the operators, its 90 % interval."""

    ratio: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.ratio:.2f} [{self.low:.2f}, {self.high:.2f}]"

    def without(self, error: float) -> float:
        """Return what an error, predicted / measured - 1, would be at the calibration's speed."""
        return self.ratio * (1 + error) - 1


def control_in(profile: HasProvenance, backend: str, dtype: str) -> Table | None:
    """Return the operators that a profile has for this, with their times; None without any.

    Raises
    ------
    TableError
        The profile's control is malformed.
    """
    data = profile.data
    if not data.get("control") or data["provenance"]["backend"] != backend:
        return None
    origin = f"profile '{data['name']}', control"
    rows = check_table(table_of(data["control"], origin), origin=origin)
    rows = rows[rows["dtype"] == dtype]
    return rows if len(rows) else None


class Control:
    """Benches of what ``control_in`` found, and what they took; without rows, nothing is timed."""

    def __init__(self, session: Session, rows: Table | None, *, by_mode: bool) -> None:
        self._by_mode = by_mode
        self._benches: list[tuple[Bench, int]] = []
        self._then_s: list[float] = []
        graphs = [] if rows is None else graphs_of(rows)
        times = [] if rows is None else rows["time_s"].tolist()
        for graph, then_s in zip(graphs, times, strict=True):
            try:
                bench = session.bench(graph)
                calls = session.iterations_for(bench.warm_up())
            except BrokenContextError:
                raise
            except (Error, RuntimeError):  # it ran elsewhere; PyTorch's are of the latter
                continue
            self._benches.append((bench, calls))
            self._then_s.append(then_s)
        self._readings: list[list[Reading]] = [[] for _ in self._benches]

    def sample(self, random: np.random.Generator) -> None:
        """Time each once, in random order."""
        for i in random.permutation(len(self._benches)).tolist():
            bench, calls = self._benches[i]
            self._readings[i].append(Reading.of(bench.sample(calls), time.time()))

    def slowdown(self) -> Slowdown:
        """Return what the operators take now over what they took then; NaN where none runs."""
        if not any(self._readings):
            return Slowdown(math.nan, math.nan, math.nan)
        now_s = [summarise(taken, by_mode=self._by_mode).time_s for taken in self._readings]
        ratios = np.sort(np.array(now_s) / np.array(self._then_s))
        low, high = interval_ranks(len(ratios))
        return Slowdown(float(np.median(ratios)), float(ratios[low]), float(ratios[high]))
