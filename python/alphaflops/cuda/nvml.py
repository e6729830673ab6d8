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
    def __init__(self, library: Any, pci_bus: str) -> None:
        self._nvml = library
        library.nvmlInit()
        self._handle = library.nvmlDeviceGetHandleByPciBusId(pci_bus.encode())

    def read(self) -> State:
        nvml, handle = self._nvml, self._handle
        try:
            clock = nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM)
            temperature = nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)
            reasons = nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle)
        except nvml.NVMLError:
            return State()
        throttled = tuple(name for name, bit in _DISTURBING.items() if reasons & bit)
        return State(1e6 * clock, float(temperature), throttled)

    def energy_j(self) -> float:
        try:
            return 1e-3 * float(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle))
        except self._nvml.NVMLError:
            return math.nan


def open_watch(pci_bus: str) -> Watch:
    """Return what watches the device at a PCI address; one that knows nothing without NVML."""
    try:
        library = importlib.import_module("pynvml")
    except ImportError:
        return _Blind()
    try:
        return _Nvml(library, pci_bus)
    except library.NVMLError:
        return _Blind()
