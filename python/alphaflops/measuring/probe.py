"""What this machine can do at most: the roofs that a bench is quoted against."""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import Any

from alphaflops import _core
from alphaflops.errors import ShapeError, UnsupportedError
from alphaflops.measuring.device import describe_device, pinned

__all__ = ["ACCESSES", "BENCH_DTYPES", "LEVELS", "bandwidths", "check_threads", "probe_machine"]

#: Element types with native convolution kernels.
BENCH_DTYPES = ("fp32", "bf16", "int8")
LEVELS = ("l1", "l2", "l3", "dram")
ACCESSES = ("read", "write", "triad")
_PROBES = 25  # about so many share the time


def check_threads(threads: int) -> None:
    """Raise ShapeError or UnsupportedError for a number of threads that cannot be."""
    if threads < 1:
        raise ShapeError(f"threads is {threads}; it must be 1 or more")
    if threads > (most := _core.processor_count()):
        raise UnsupportedError(f"threads is {threads}; this process may use {most} processors")


def probe_machine(
    isa: str | None = None, threads: int = 1, duration_s: float = 2.5
) -> dict[str, Any]:
    """Measure the roofs of this machine; each is the best of many short runs.

    Parameters
    ----------
    isa
        Of the bandwidths and the call; the best of this processor by default. Peaks are measured
        for every dtype and instruction set there is.
    threads
        Working together, each on a processor of its own.
    duration_s
        Seconds that all probes take together, about.

    Returns
    -------
    dict
        ``device``, ``threads``, ``peak_ops_per_s`` (by dtype and isa; a multiply-add counts two),
        ``bandwidth_bytes_per_s`` (by level and access), ``call_s`` (a 1x1 convolution of one
        pixel), ``clock_resolution_s``, ``clock_cost_s``, ``clock_hz``, ``steal_s`` (of the
        processor while probing).

    Raises
    ------
    ShapeError, UnsupportedError
        Threads or an instruction set that are not here.
    """
    check_threads(threads)
    if not (math.isfinite(duration_s) and duration_s > 0):
        raise ShapeError(f"duration_s is {duration_s}; it must be a positive number of seconds")
    device = describe_device(isa)
    each_s = duration_s / _PROBES
    with pinned() if threads == 1 else nullcontext():
        steal_s = _core.steal_time_s()
        peaks = {
            dtype: {
                each: _core.probe_rate(dtype, each, threads, each_s)
                for each in _core.available_isas_for(dtype)
            }
            for dtype in BENCH_DTYPES
        }
        result: dict[str, Any] = {
            "device": device,
            "threads": threads,
            "peak_ops_per_s": peaks,
            "bandwidth_bytes_per_s": bandwidths(device["isa"], threads, 12 * each_s),
            "call_s": _core.probe_call_s(device["isa"], threads),
            "clock_resolution_s": _core.clock_resolution_s(),
            "clock_cost_s": _core.clock_cost_s(),
            "clock_hz": _core.estimate_clock_hz(each_s),
        }
        result["steal_s"] = _core.steal_time_s() - steal_s
    return result


def bandwidths(isa: str, threads: int, duration_s: float) -> dict[str, dict[str, float]]:
    """Bytes a second to and from each level of the memory."""
    sizes = level_bytes(threads)
    each_s = duration_s / (len(LEVELS) * len(ACCESSES))
    return {
        level: {
            access: _core.probe_bandwidth(access, sizes[level], isa, threads, each_s)
            for access in ACCESSES
        }
        for level in LEVELS
    }


def level_bytes(threads: int) -> dict[str, int]:
    """Bytes that stay in a level, and not in the one before."""
    l1, l2, l3 = cache_bytes()
    return {
        "l1": l1 // 2 * threads,
        "l2": l2 // 2 * threads,
        "l3": max(min(l3 // 2, 8 * l2 * threads), 2 * l2 * threads),
        "dram": min(max(3 * l3, 64 << 20), 512 << 20),
    }


def cache_bytes() -> tuple[int, int, int]:
    """Sizes of the data caches; usual ones where the system does not say."""
    info = _core.system_info()
    l1, l2 = int(info["l1d_bytes"]) or 32 << 10, int(info["l2_bytes"]) or 512 << 10
    return l1, l2, max(int(info["l3_bytes"]) or 8 << 20, 2 * l2)
