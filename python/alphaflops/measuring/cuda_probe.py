"""What a GPU can do at most: its arithmetic, its memories, a launch."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from typing import Any, TypedDict

from alphaflops import _core
from alphaflops._cuda_plan import Plan, probe_plans
from alphaflops.cuda.driver import Driver, Memory, open_driver
from alphaflops.cuda.nvml import Watch, open_watch
from alphaflops.errors import ShapeError
from alphaflops.measuring.cuda_pool import random_bytes

__all__ = ["GpuPeaks", "probe_gpu"]

_LARGE_BYTES = 1 << 30  # many times the last-level cache
_PROBES = 12  # about so many share the time
_FMA_ITERATIONS = 4096
_READINGS = 5
_LAUNCHES = 200


class GpuPeaks(TypedDict):
    """The most that a GPU does; a dtype or level without a kernel is left out."""

    device: dict[str, Any]
    path: str
    peak_ops_per_s: dict[str, float]  # a multiply-add counts two
    copy_bytes_per_s: float  # read and written
    l2_read_bytes_per_s: float
    launch_s: float  # of an empty kernel, in a stream of them that the host launches
    launch_graph_s: float  # the same in a CUDA graph
    launch_device_s: float  # on the device, one behind the other
    clock_hz: float
    temperature_c: float


def probe_gpu(
    duration_s: float = 2.5,
    *,
    path: str | None = None,
    driver: Driver | None = None,
    watch: Watch | None = None,
) -> GpuPeaks:
    """Measure the roofs of a GPU; each is the best of some readings.

    Parameters
    ----------
    duration_s
        Seconds that all probes take together, about.
    path
        native or cupy; the first of them that is installed.
    driver, watch
        Opened where left out.

    Raises
    ------
    ShapeError
        A duration that is not positive.
    MissingExtraError, NoDeviceError, DriverError, DeviceMemoryError, BrokenContextError
        As of ``alphaflops.cuda.open_driver``.
    """
    if not (math.isfinite(duration_s) and duration_s > 0):
        raise ShapeError(f"duration_s is {duration_s}; it must be a positive number of seconds")
    driver = open_driver(path) if driver is None else driver
    info = driver.info()
    watch = open_watch(info.pci_bus) if watch is None else watch
    probes = _Probes(driver, duration_s / _PROBES)
    peaks = {dtype: probes.operations(dtype) for dtype in _core.DTYPES}
    copy = probes.bytes("copy", min(_LARGE_BYTES, info.memory_bytes // 8))
    l2 = probes.bytes("read", info.l2_bytes // 2)
    launches = probes.launches()
    state = watch.read()
    return GpuPeaks(
        device={
            "name": info.name,
            "compute_capability": info.arch / 10,
            "sm_count": info.sm_count,
            "l2_bytes": info.l2_bytes,
            "memory_bytes": info.memory_bytes,
            "most_clock_hz": info.clock_hz,
        },
        path=driver.path,
        peak_ops_per_s={dtype: rate for dtype, rate in peaks.items() if rate > 0},
        copy_bytes_per_s=copy,
        l2_read_bytes_per_s=l2,
        launch_s=launches[0],
        launch_graph_s=launches[1],
        launch_device_s=launches[2],
        clock_hz=_or_zero(state.clock_hz),
        temperature_c=_or_zero(state.temperature_c),
    )


def _or_zero(value: float) -> float:
    """JSON has no NaN."""
    return 0.0 if math.isnan(value) else value


class _Probes:
    def __init__(self, driver: Driver, each_s: float) -> None:
        self._driver, self._each_s = driver, each_s
        self._target = driver.info().target

    def _least_s(self, plan: Plan, addresses: dict[str, int]) -> float:
        """Seconds of the fastest of some readings, which take the time of a probe together."""
        program = [self._driver.program([(plan, addresses)])]
        once_s = max(self._driver.hot(program, 1), 1e-7)
        calls = max(1, round(self._each_s / _READINGS / once_s))
        return min(self._driver.hot(program, calls) for _ in range(_READINGS))

    def _memory(self, dtype: str, size: int) -> Memory:
        memory = self._driver.allocate(max(size, 4096))
        numbers = random_bytes(dtype, 4096, 0)
        memory.write(numbers)
        memory.repeat(len(numbers))
        return memory

    def operations(self, dtype: str) -> float:
        """Operations a second of a dtype's pipe; 0 without a kernel."""
        plans = probe_plans("fma", self._target, _FMA_ITERATIONS, dtype)
        if not plans:
            return 0.0
        out = self._memory("fp32", 1 << 24)
        addresses = {"output": out.address, "input": out.address, "workspace": out.address}
        return max(float(plan.operations) / self._least_s(plan, addresses) for plan in plans)

    def bytes(self, probe: str, size: int) -> float:
        """Bytes a second of a probe that moves so many; 0 without a kernel."""
        plans = probe_plans(probe, self._target, size)
        if not plans:
            return 0.0
        read, write = self._memory("fp32", size), self._memory("fp32", size)
        addresses = {"input": read.address, "output": write.address, "workspace": write.address}
        return max(plan.bytes / self._least_s(plan, addresses) for plan in plans)

    def launches(self) -> tuple[float, float, float]:
        """Seconds of an empty launch: from the host, in a graph, and on the device alone."""
        plans = probe_plans("empty", self._target)
        if not plans:
            return 0.0, 0.0, 0.0
        program = self._driver.program([(plans[0], {})])
        graph = self._driver.captured([program], _LAUNCHES)

        def typical(take: Callable[[], float]) -> float:
            return statistics.median(take() for _ in range(_READINGS))

        return (
            typical(lambda: self._driver.enqueued([program], _LAUNCHES)),
            typical(lambda: self._driver.hot([graph], 1)) / _LAUNCHES,
            typical(lambda: self._driver.hot([program], _LAUNCHES)),
        )
