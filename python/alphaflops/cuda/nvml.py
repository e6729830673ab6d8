"""Clocks, temperature, throttling and energy of a GPU, where nvidia-ml-py is installed."""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass
from typing import Any, Protocol

__all__ = ["State", "Watch", "open_watch"]

#: Reasons for a lower clock that make a sample worthless: the device is hot, or short of power from
#: outside. That it keeps to its own power limit is how it works, and stays.
_DISTURBING = {
    "hardware slowdown": 0x08,
    "hot (software)": 0x20,
    "hot (hardware)": 0x40,
    "power brake": 0x80,
}


@dataclass(frozen=True)
class State:
    """What the device says of itself."""

    clock_hz: float = math.nan
    temperature_c: float = math.nan
    throttled_by: tuple[str, ...] = ()


class Watch(Protocol):
    """Asks the device what state it is in."""

    def read(self) -> State:
        """Ask now."""

    def energy_j(self) -> float:
        """Energy drawn so far, of which differences count; NaN where it does not say."""


class _Blind:
    """Without the library, nothing is known."""

    def read(self) -> State:
        return State()

    def energy_j(self) -> float:
        return math.nan


class _Nvml:
    def __init__(self, library: Any, name: str) -> None:
        self._nvml = library
        library.nvmlInit()
        by_uuid = name.startswith("GPU-")
        find = "nvmlDeviceGetHandleByUUID" if by_uuid else "nvmlDeviceGetHandleByPciBusId"
        self._handle = getattr(library, find)(name.encode())

    def read(self) -> State:
        nvml = self._nvml
        clock = self._ask("nvmlDeviceGetClockInfo", nvml.NVML_CLOCK_SM)
        reasons = self._ask("nvmlDeviceGetCurrentClocksEventReasons")
        if math.isnan(reasons):  # drivers before 535 know it by its former name
            reasons = self._ask("nvmlDeviceGetCurrentClocksThrottleReasons")
        bits = 0 if math.isnan(reasons) else int(reasons)
        return State(
            1e6 * clock,
            self._temperature_c(),
            tuple(name for name, bit in _DISTURBING.items() if bits & bit),
        )

    def _temperature_c(self) -> float:
        sensor = self._nvml.NVML_TEMPERATURE_GPU
        known = self._ask("nvmlDeviceGetTemperatureV", sensor)  # what CUDA 14 leaves of them
        return self._ask("nvmlDeviceGetTemperature", sensor) if math.isnan(known) else known

    def energy_j(self) -> float:
        return 1e-3 * self._ask("nvmlDeviceGetTotalEnergyConsumption")

    def _ask(self, name: str, *arguments: int) -> float:
        """Return what a function of the library says; NaN where library or driver lack it."""
        function = getattr(self._nvml, name, None)
        if function is None:
            return math.nan
        try:
            return float(function(self._handle, *arguments))
        except self._nvml.NVMLError:
            return math.nan


def open_watch(name: str) -> Watch:
    """Return what watches the device of a PCI address or UUID; without NVML it knows nothing."""
    try:
        library = importlib.import_module("pynvml")
    except ImportError:
        return _Blind()
    try:
        return _Nvml(library, name)
    except library.NVMLError:
        return _Blind()
