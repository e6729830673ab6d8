"""What fills memory before a kernel writes to it, and lies behind it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from alphaflops.cuda.driver import Memory

__all__ = ["poisoned", "wrote_beyond"]

_GUARD = 512  # bytes after each buffer that is written
# A NaN as fp16 and as bf16, and twice as fp32; one still where that is rounded to tf32.
_PATTERN = np.array([0xC0, 0x7F], np.uint8)


def poisoned(size: int) -> npt.NDArray[np.uint8]:
    """Return what stands in a buffer of so many bytes, and in its guard."""
    return np.resize(_PATTERN, size + _GUARD)


def wrote_beyond(memory: Memory, size: int) -> bool:
    """Return whether its guard has changed."""
    return memory.read(_GUARD, size) != poisoned(size)[size:].tobytes()
