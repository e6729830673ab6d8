"""Samples of a GPU, with those thrown away that were taken while it was throttled."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

from alphaflops.cuda.nvml import State, Watch
from alphaflops.measuring.readings import Sample

__all__ = ["GpuSample", "Throttling"]

_AGAIN = 3  # times that a throttled sample is taken anew
_PAUSE_S = 0.2  # for the device to cool down, before it is
_SLOW_S = 1e-3  # look at the device, after which it is not looked at for ten times as long


@dataclass(frozen=True)
class GpuSample:
    """A reading, as ``Sample`` has it; what throttling disturbed counts as a switch."""

    time_s: float
    iterations: int
    wall_s: float
    switches: int
    clock_hz: float
    steal_s: float = 0.0
    reorder_s: float = 0.0


class Throttling:
    """Watches a GPU around each sample.

    Parameters
    ----------
    watch
        Of its clocks.
    sleep
        What waits for it to cool down.
    """

    def __init__(self, watch: Watch, sleep: Callable[[float], object] = time.sleep) -> None:
        self.watch, self._sleep = watch, sleep
        self.thrown_away = self.kept = 0
        self._stays = False  # waiting did not help the last time
        self._seen, self._seen_at, self._look_s = State(), -math.inf, 0.0
        self._reasons: set[str] = set()

    def timed(self, take: Callable[[], float], iterations: int) -> Sample:
        """Take a sample, whose seconds a call `take` returns, anew where there was throttling.

        Where that did not help, later samples are taken once, until there is no throttling.
        """
        start = time.perf_counter()
        most = 0 if self._stays else _AGAIN
        for attempt in range(most + 1):
            before = self._look()
            time_s = take()
            after = self._look()
            reasons = {*before.throttled_by, *after.throttled_by}
            if not reasons:
                break
            self._reasons |= reasons
            if attempt < most:
                self.thrown_away += 1
                self._sleep(_PAUSE_S)
            else:
                self.kept += 1
        self._stays = bool(reasons)
        return GpuSample(
            time_s=max(time_s, 1e-9),
            iterations=iterations,
            wall_s=time.perf_counter() - start,
            switches=len(reasons),
            clock_hz=after.clock_hz,
        )

    def _look(self) -> State:
        now = time.perf_counter()
        if self._look_s < _SLOW_S or now - self._seen_at > 10 * self._look_s:
            self._seen = self.watch.read()
            self._seen_at = time.perf_counter()
            self._look_s = self._seen_at - now
        return self._seen

    def say(self) -> None:
        """Warn of samples that throttling made worthless."""
        if not (self.thrown_away or self.kept):
            return
        stayed = (
            f", and {self.kept} stayed throttled, which count only where no others do"
            if self.kept
            else ""
        )
        warnings.warn(
            f"the GPU was throttled ({', '.join(sorted(self._reasons))}): {self.thrown_away} "
            f"samples were thrown away and taken again{stayed}; let the device cool down, or "
            "lower its clock",
            RuntimeWarning,
            stacklevel=3,
        )
