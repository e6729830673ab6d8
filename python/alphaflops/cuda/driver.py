"""Two ways to a GPU behind one interface: the compiled module ``_cuda``, and CuPy."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from alphaflops._cuda_plan import Plan, Target
from alphaflops.errors import DeviceMemoryError, MissingExtraError, UnsupportedError

__all__ = [
    "PATHS",
    "Addresses",
    "DeviceInfo",
    "Driver",
    "Memory",
    "Program",
    "devices",
    "needs_memory",
    "open_driver",
]

#: native: the kernels compiled into ``_cuda``. cupy: the same headers, compiled at run time.
PATHS = ("native", "cupy")

#: Device addresses by the name of a plan's buffer.
Addresses = Mapping[str, int]

_ALONE_ARCH = 90  # whose own instructions have a name of their own, sm_90a


@dataclass(frozen=True)
class DeviceInfo:
    """A GPU. ``arch`` is ten times its compute capability; versions are 1000 major + 10 minor."""

    index: int
    name: str
    pci_bus: str
    arch: int
    sm_count: int
    shared_per_block_bytes: int
    l2_bytes: int
    memory_bytes: int
    clock_hz: float
    driver_version: int
    runtime_version: int

    @property
    def target(self) -> Target:
        """What plans are made for."""
        return Target(
            self.arch, self.arch == _ALONE_ARCH, self.sm_count, self.shared_per_block_bytes
        )


class Memory(Protocol):
    """Memory of the device, given back when it is let go."""

    @property
    def address(self) -> int:
        """On the device."""

    def __len__(self) -> int: ...

    def write(self, from_: Any, offset: int = 0) -> None:
        """Copy a host buffer there."""

    def read(self, bytes: int, offset: int = 0) -> bytes:
        """Copy from there."""

    def repeat(self, bytes: int) -> None:
        """Fill all of it with copies of its first bytes."""


class Program(Protocol):
    """Launches with their addresses filled in."""

    def launch(self, stream: int = 0) -> None:
        """Enqueue them on a stream, given as the runtime's handle."""

    def __len__(self) -> int:
        """Kernels that run, those of a graph as well."""


class Driver(Protocol):
    """A GPU at work."""

    @property
    def path(self) -> str:
        """One of ``PATHS``."""

    def info(self) -> DeviceInfo:
        """Describe the GPU."""

    def memory(self) -> tuple[int, int]:
        """Free bytes, and all."""

    def allocate(self, size: int) -> Memory:
        """Take memory; raises DeviceMemoryError before the driver is asked for too much."""

    def program(self, steps: Sequence[tuple[Plan, Addresses]]) -> Program:
        """Make plans ready, to run one after the other."""

    def captured(self, programs: Sequence[Program], turns: int = 1) -> Program:
        """Put programs into one CUDA graph, so many times."""

    def hot(self, programs: Sequence[Program], calls: int) -> float:
        """Seconds a call of so many in a row; the programs take turns."""

    def cold(
        self, programs: Sequence[Program], before: Sequence[Program], calls: int
    ) -> list[float]:
        """Seconds of each call, with what runs before each left out."""

    def enqueued(self, programs: Sequence[Program], calls: int) -> float:
        """Seconds a call by the host's clock, nothing held back."""


def needs_memory(needed: int, free: int, total: int) -> DeviceMemoryError:
    """Make the error of memory that is not there."""
    return DeviceMemoryError(
        f"needs {needed} bytes of device memory; {free} of {total} are free; use a smaller batch, "
        "or end what else runs on the GPU"
    )


def _native(device: int) -> Driver:
    from alphaflops.cuda.native_driver import NativeDriver  # noqa: PLC0415

    return NativeDriver(device)


def _cupy(device: int) -> Driver:
    from alphaflops.cuda.cupy_driver import CupyDriver  # noqa: PLC0415

    return CupyDriver(device)


_OPENERS: dict[str, Callable[[int], Driver]] = {"native": _native, "cupy": _cupy}
_MODULES = {"native": "alphaflops._cuda", "cupy": "cupy"}
_MISSING = {
    "native": "the module alphaflops._cuda is not built: pip install "
    "-C cmake.define.ALPHAFLOPS_CUDA=ON with the CUDA toolkit (12.8 or later) installed",
    "cupy": 'CuPy is not installed: pip install "alphaflops[cuda13]", or cuda12 for a driver of '
    "CUDA 12",
}


def _is_installed(path: str) -> bool:
    try:
        importlib.import_module(_MODULES[path])
    except ImportError:
        return False
    return True


def open_driver(path: str | None = None, device: int = 0) -> Driver:
    """Return the way to a GPU: ``"native"`` where it is built, else ``"cupy"``.

    Raises
    ------
    MissingExtraError
        Neither is installed, or not the one that was asked for; the message says how to get it.
    NoDeviceError
        There is no GPU or no driver.
    DriverError
        The driver is too old.
    UnsupportedError
        No such path, or no such device.
    BrokenContextError
        An earlier fault in this process leaves nothing to work with.
    """
    if path is not None and path not in PATHS:
        raise UnsupportedError(f"path {path!r} is not known; use {' or '.join(PATHS)}")
    for each in (path,) if path is not None else PATHS:
        if _is_installed(each):
            return _OPENERS[each](device)
    if path is not None:
        raise MissingExtraError(_MISSING[path])
    raise MissingExtraError(
        f"nothing here talks to a GPU. {_MISSING['cupy']}. Or: {_MISSING['native']}"
    )


def devices() -> list[DeviceInfo]:
    """Return the GPUs that can be used here.

    Raises
    ------
    MissingExtraError, NoDeviceError, DriverError
        As of ``open_driver``.
    """
    first = open_driver()
    count = int(getattr(first, "device_count", 1))
    return [first.info(), *(open_driver(first.path, i).info() for i in range(1, count))]
