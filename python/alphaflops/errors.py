"""The errors that alphaflops raises: one hierarchy, shared with the C++ core.

Every class is also the built-in that the fault would raise elsewhere (``ValueError``, ``OSError``,
...). A message names the thing, its value, and what would be right.
"""

from __future__ import annotations

from alphaflops._core import (
    Error,
    IoError,
    ModelError,
    OverflowError,
    ProfileError,
    ShapeError,
    UnsupportedError,
)

__all__ = [
    "BrokenContextError",
    "DeviceError",
    "DeviceMemoryError",
    "DriverError",
    "Error",
    "IoError",
    "JournalError",
    "MissingExtraError",
    "ModelError",
    "NoDeviceError",
    "OverflowError",
    "ProfileError",
    "ShapeError",
    "TableError",
    "UnsupportedError",
]


class TableError(Error, ValueError):
    """A measurement table that is malformed, or holds values that no measurement can have."""


class JournalError(Error, ValueError):
    """A journal that belongs to another campaign or device, or is no journal."""


class MissingExtraError(Error, ImportError):
    """An optional package is needed; the message names the extra that installs it."""


class DeviceError(Error, RuntimeError):
    """Something is wrong with a GPU; base of what can be."""


class NoDeviceError(DeviceError):
    """No GPU, no driver, or nothing that could talk to them."""


class DriverError(DeviceError):
    """The driver is older than what it is asked for."""


class DeviceMemoryError(DeviceError, MemoryError):
    """The device's memory does not suffice; the message says what is needed and what is free."""


class BrokenContextError(DeviceError):
    """An earlier fault broke this process's CUDA context: only a new process helps."""
