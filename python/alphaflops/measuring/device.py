"""The device that the native backend measures: this processor, and what it can do at most."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypedDict

from alphaflops import _core

__all__ = ["Device", "Peaks", "describe_device", "pinned", "probe"]


class Device(TypedDict):
    """What is recorded beside a measurement; sizes in bytes, 0 or empty where unknown."""

    name: str
    isa: str
    hypervisor: str
    compiler: str
    kernel: str
    logical_cpus: int
    l1d_bytes: int
    l2_bytes: int
    l3_bytes: int
    memory_bytes: int
    library: str


class Peaks(TypedDict):
    """The most that one core does."""

    peak_flops: float  # fp32 operations a second, a multiply-add being two
    read_bytes_per_s: float  # from memory
    clock_hz: float


def describe_device(isa: str | None = None) -> Device:
    """Describe this processor as the kernels of `isa` see it, the best it has by default.

    Raises
    ------
    UnsupportedError
        An instruction set of another name, or one that this processor lacks.
    """
    info = _core.system_info()
    return Device(
        name=str(info["cpu_model"]) or "unknown processor",
        isa=_core.resolve_isa(isa or ""),
        hypervisor=str(info["hypervisor"]),
        compiler=str(info["compiler"]),
        kernel=str(info["kernel"]),
        logical_cpus=int(info["logical_cpus"]),
        l1d_bytes=int(info["l1d_bytes"]),
        l2_bytes=int(info["l2_bytes"]),
        l3_bytes=int(info["l3_bytes"]),
        memory_bytes=int(info["memory_bytes"]),
        library=_core.__version__,
    )


def probe(isa: str | None = None, duration_s: float = 1.0) -> Peaks:
    """Measure peak arithmetic, read bandwidth and clock of one core in about `duration_s`."""
    with pinned():
        flops, read = _core.probe_peak(isa or "", duration_s)
        clock = _core.estimate_clock_hz(0.02)
    return Peaks(peak_flops=flops, read_bytes_per_s=read, clock_hz=clock)


_MOST_TRIED = 16
_TRIAL_S = 0.01


def quietest_cpu() -> int | None:
    """Try the processors this thread may use; None where the system does not let it choose."""
    cpus = _core.thread_affinity()
    if len(cpus) <= 1:
        return cpus[0] if cpus else None
    try:
        speeds = {cpu: _speed(cpu) for cpu in cpus[:: -(-len(cpus) // _MOST_TRIED)]}
    finally:
        _core.set_thread_affinity(cpus)
    return max(speeds, key=lambda cpu: speeds[cpu])


def _speed(cpu: int) -> float:
    """Clock of a processor times the share of it that this thread gets."""
    _core.set_thread_affinity([cpu])
    wall_s, own_s = time.perf_counter(), time.thread_time()
    clock = _core.estimate_clock_hz(_TRIAL_S)
    return clock * (time.thread_time() - own_s) / (time.perf_counter() - wall_s)


@contextmanager
def pinned() -> Iterator[int | None]:
    """Bind this thread to one quiet processor for the time of the block; yields which."""
    before = _core.thread_affinity()
    cpu = quietest_cpu()
    if cpu is not None:
        _core.set_thread_affinity([cpu])
    try:
        yield cpu
    finally:
        if before:
            _core.set_thread_affinity(before)
