"""The GPU by way of the compiled module ``_cuda``."""

from __future__ import annotations

from collections.abc import Sequence

from alphaflops import _cuda
from alphaflops._cuda_plan import Plan, probe_plans
from alphaflops.cuda.driver import Addresses, DeviceInfo, Memory, Program

__all__ = ["NativeDriver"]

# After which the blocking kernel lets go by itself: many times what the host takes to enqueue a
# batch, and little beside a campaign should the driver make the host wait for a large graph.
_MOST_HELD_NS = 200_000_000


class NativeDriver:
    """Kernels that were compiled into the package.

    Raises
    ------
    NoDeviceError, DriverError, UnsupportedError, BrokenContextError
        As of ``open_driver``.
    """

    path = "native"

    def __init__(self, device: int = 0) -> None:
        self._device = device
        self._info = DeviceInfo(**_cuda.device_info(device))
        self.device_count = _cuda.device_count()
        self._timer = _cuda.Timer(device)
        blockers = probe_plans("block", self._info.target, _MOST_HELD_NS)
        if blockers:
            self._timer.set_blocker(self.program([(blockers[0], {"flag": self._timer.flag})]))

    def info(self) -> DeviceInfo:
        """Describe the GPU."""
        return self._info

    def memory(self) -> tuple[int, int]:
        """Free bytes, and all."""
        return _cuda.memory_info(self._device)

    def allocate(self, size: int) -> Memory:
        """Take memory."""
        return _cuda.DeviceMemory(size, self._device)

    def program(self, steps: Sequence[tuple[Plan, Addresses]]) -> _cuda.Program:
        """Make plans ready."""
        program = _cuda.Program(self._device)
        for plan, addresses in steps:
            program.append(plan, dict(addresses))
        return program

    def captured(self, programs: Sequence[Program], turns: int = 1) -> _cuda.Program:
        """Put programs into one CUDA graph."""
        return _cuda.Program.captured(programs, turns, self._device)

    def hot(self, programs: Sequence[Program], calls: int) -> float:
        """Seconds a call of so many in a row."""
        return self._timer.hot(programs, calls)

    def cold(
        self, programs: Sequence[Program], before: Sequence[Program], calls: int
    ) -> list[float]:
        """Seconds of each call, with what runs before each left out."""
        return self._timer.cold(programs, before, calls)

    def enqueued(self, programs: Sequence[Program], calls: int) -> float:
        """Seconds a call by the host's clock."""
        return self._timer.enqueued(programs, calls)
