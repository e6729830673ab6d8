"""Energy of a call: windows of seconds, with what the idle device draws measured beside them.

A GPU's energy counter steps some tens of times a second at most, so that a call by itself cannot be
read, and a window begins and ends where it steps.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from alphaflops.cuda.nvml import Watch
from alphaflops.errors import DeviceError, MissingExtraError, ShapeError

__all__ = ["Energy", "EnergyMeter"]

_LEAD_S = 0.3  # of work before a window: power follows load with a delay
_STILL_S = 2.0  # without a step, after which the counter is held to be broken
_NAP_S = 2e-3


@dataclass(frozen=True)
class Energy:
    """Joules of a call.

    Attributes
    ----------
    call_j, least_j, most_j
        Median of the windows, and the ends.
    idle_j
        What of it would have been drawn by doing nothing as long.
    power_w
        While calls run one behind the other.
    calls
        In all windows together.
    """

    call_j: float
    least_j: float
    most_j: float
    idle_j: float
    power_w: float
    calls: int


class EnergyMeter:
    """Reads a GPU's energy counter.

    Parameters
    ----------
    watch
        Of the device.
    clock, sleep
        Of the host, in seconds.

    Raises
    ------
    MissingExtraError
        Nothing reads the device's energy.
    """

    def __init__(
        self,
        watch: Watch,
        *,
        clock: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        if math.isnan(watch.energy_j()):
            raise MissingExtraError(
                'nothing reads the energy of this GPU: pip install "alphaflops[energy]"; GPUs '
                "before Volta do not tell theirs"
            )
        self._watch, self._clock, self._sleep = watch, clock, sleep

    def idle_power_w(self, seconds: float = 1.0) -> float:
        """Measure what the device draws when nothing runs."""

        def nap() -> int:
            self._sleep(_NAP_S)
            return 0

        joules, passed_s, _ = self._window(nap, seconds)
        return joules / passed_s

    def energy_of(
        self,
        run: Callable[[], int],
        *,
        idle_power_w: float,
        windows: int = 3,
        window_s: float = 0.7,
    ) -> Energy:
        """Measure what a call draws.

        `run` does some calls, a few hundredths of a second's, and returns their number when the
        device is done; the counter is read in between.

        Raises
        ------
        ShapeError
            Windows that are not positive.
        DeviceError
            The counter stands still.
        """
        if not (window_s > 0 and windows > 0):
            raise ShapeError(f"window_s is {window_s} and windows {windows}; both must be positive")
        start = self._clock()
        while self._clock() - start < _LEAD_S:
            run()
        taken = [self._window(run, window_s) for _ in range(windows)]
        each_j = [joules / calls for joules, _, calls in taken]
        made = sum(calls for _, _, calls in taken)
        passed_s = sum(seconds for _, seconds, _ in taken)
        return Energy(
            call_j=statistics.median(each_j),
            least_j=min(each_j),
            most_j=max(each_j),
            idle_j=idle_power_w * passed_s / made,
            power_w=sum(joules for joules, _, _ in taken) / passed_s,
            calls=made,
        )

    def _window(self, run: Callable[[], int], least_s: float) -> tuple[float, float, int]:
        """Run from a step of the counter to another; return joules, seconds and calls."""
        self._to_step(run)
        start, before, calls = self._clock(), self._watch.energy_j(), 0
        while self._clock() - start < least_s:
            calls += run()
        calls += self._to_step(run)
        return self._watch.energy_j() - before, self._clock() - start, calls

    def _to_step(self, run: Callable[[], int]) -> int:
        """Run until the counter steps; return how many calls."""
        start, was, calls = self._clock(), self._watch.energy_j(), 0
        while self._watch.energy_j() == was:
            if self._clock() - start > _STILL_S:
                raise DeviceError(
                    f"the GPU's energy counter stood still for {_STILL_S:g} s; a virtual GPU may "
                    "have none of its own"
                )
            calls += run()
        return calls
