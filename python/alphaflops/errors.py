"""The errors that alphaflops raises: one hierarchy, shared with the C++ core.

Every class is also the built-in that the fault would raise elsewhere (``ValueError``, ``OSError``,
...). A message names the thing, its value, and what would be right.
"""

from __future__ import annotations

from alphaflops._core import (
    Error,
    IoError,
    OverflowError,
    ProfileError,
    ShapeError,
    UnsupportedError,
)

__all__ = [
    "Error",
    "IoError",
    "MissingExtraError",
    "ModelError",
    "OverflowError",
    "ProfileError",
    "ShapeError",
    "TableError",
    "UnsupportedError",
]


class TableError(Error, ValueError):
    """A measurement table that is malformed, or holds values that no measurement can have."""


class ModelError(Error, ValueError):
    """A model file or name that cannot be read as a network."""


class MissingExtraError(Error, ImportError):
    """An optional package is needed; the message names the extra that installs it."""
