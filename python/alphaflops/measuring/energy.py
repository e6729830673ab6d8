"""What operators and networks draw on a GPU while they run one behind the other."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from alphaflops._core import Graph
from alphaflops.cuda.energy import Energy, EnergyMeter
from alphaflops.errors import UnsupportedError

__all__ = ["Joules", "chosen", "meter_of"]

_TURN_S = 0.02  # of work between two looks at the counter
_ROW_S = 3.0  # that a row takes, about


class _CanBeBusy(Protocol):
    def busy(self, calls: int) -> int:
        """Do so many calls, or a few more; return how many when the device is done."""


class Joules:
    """Measures energy in a session of a GPU backend."""

    def __init__(self, meter: EnergyMeter) -> None:
        self._meter = meter
        #: What the device draws when nothing runs.
        self.idle_power_w = meter.idle_power_w()

    def of(self, work: Any, call_s: float) -> Energy:
        """Measure a bench or a network of a GPU, whose calls take about `call_s`."""
        ready: _CanBeBusy = work
        calls = max(1, math.ceil(_TURN_S / call_s))
        return self._meter.energy_of(lambda: ready.busy(calls), idle_power_w=self.idle_power_w)

    def of_rows(
        self,
        bench: Callable[[Graph], Any],
        graphs: Sequence[Graph],
        time_s: npt.NDArray[np.float64],
        seconds: float,
    ) -> npt.NDArray[np.float64]:
        """Return joules of each row, NaN of those that the time does not suffice for.

        They are what the device draws while the row's calls follow each other, for `time_s`.
        """
        joules = np.full(len(time_s), np.nan)
        for i in chosen(time_s, seconds):
            ready = bench(graphs[i])
            joules[i] = self.of(ready, max(ready.warm_up(), 1e-7)).power_w * time_s[i]
        return joules


def chosen(time_s: npt.NDArray[np.float64], seconds: float) -> list[int]:
    """Return the rows that so many seconds suffice for, one at least: short and long ones alike."""
    count = int(min(len(time_s), max(1.0, seconds / _ROW_S)))
    order = np.argsort(time_s, kind="stable")
    picks = np.linspace(0, len(order) - 1, count) if count > 1 else np.array([len(order) // 2])
    return sorted({int(order[round(pick)]) for pick in picks})


def meter_of(session: object) -> EnergyMeter:
    """Return what reads the energy of a session's GPU.

    Raises
    ------
    UnsupportedError
        The session is of a processor.
    MissingExtraError
        Nothing reads the GPU's energy.
    """
    throttling = getattr(session, "throttling", None)
    if throttling is None:
        raise UnsupportedError(
            "energy is measured on NVIDIA GPUs only (--backend cuda, or torch with --on cuda)"
        )
    return EnergyMeter(throttling.watch)
