"""Energy of a call: windows of seconds, with what the idle device draws measured beside them.

A GPU's energy counter steps some tens of times a second, so that a call by itself cannot be read.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from alphaflops.cuda.nvml import Watch
from alphaflops.errors import MissingExtraError, ShapeError

__all__ = ["Energy", "energy_of"]


@dataclass(frozen=True)
class Energy:
    """Joules of a call, of which ``idle_j`` would have been drawn by doing nothing as long."""

    call_j: float
    idle_j: float
    power_w: float
    idle_power_w: float
    calls: int
    seconds: float


def energy_of(
    run: Callable[[], object],
    watch: Watch,
    *,
    window_s: float = 2.0,
    idle_s: float = 1.0,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], object] = time.sleep,
) -> Energy:
    """Measure what a call draws; `run` does one, and returns when the device has done it.

    Raises
    ------
    ShapeError
        Windows that are not positive.
    MissingExtraError
        Nothing reads the device's energy.
    """
    if not (window_s > 0 and idle_s > 0):
        raise ShapeError(f"window_s is {window_s} and idle_s {idle_s}; both must be positive")
    if math.isnan(watch.energy_j()):
        raise MissingExtraError(
            'nothing reads the energy of this GPU: pip install "alphaflops[energy]"; GPUs before '
            "Volta do not tell theirs"
        )
    start, before = clock(), watch.energy_j()
    sleep(idle_s)
    idle_power_w = (watch.energy_j() - before) / (clock() - start)
    calls = 0
    start, before = clock(), watch.energy_j()
    while clock() - start < window_s:
        run()
        calls += 1
    seconds, joules = clock() - start, watch.energy_j() - before
    return Energy(
        call_j=joules / calls,
        idle_j=idle_power_w * seconds / calls,
        power_w=joules / seconds,
        idle_power_w=idle_power_w,
        calls=calls,
        seconds=seconds,
    )
