"""How much of this machine's processors others use while something is measured."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def busy_s() -> NDArray[np.float64]:
    """Seconds since boot, all processors: used by anyone, stolen by the hypervisor."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    user, nice, system, _, _, irq, soft, steal = (int(each) / 100 for each in fields[:8])
    return np.array([user + nice + system + irq + soft, steal])


class Watch:
    """Processors that others used, and that were stolen, on average since the watch was made."""

    def __init__(self) -> None:
        self._busy, self._own = busy_s(), time.process_time()
        self._begin = time.perf_counter()

    def read(self) -> tuple[float, float]:
        took = time.perf_counter() - self._begin
        used, stolen = busy_s() - self._busy
        own = time.process_time() - self._own
        return max(0.0, used - own) / took, stolen / took
