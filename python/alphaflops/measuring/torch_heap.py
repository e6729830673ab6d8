"""The heap that PyTorch takes its tensors from, as it is in a process of one network.

glibc gives a tensor the smallest hole that holds it. Hundreds of operators leave holes everywhere,
and tensors that would lie side by side lie far apart. docs/measuring.md says what that costs.
"""

from __future__ import annotations

import math
import time

from alphaflops import _core
from alphaflops.measuring.torch_operators import import_torch

__all__ = ["Heap"]

_LEAST_BYTES = 32 << 10  # what is smaller stays in near caches wherever it lies
_EVERY_S = 1.0


class Heap:
    """Keeps the heap of this process in one piece."""

    def __init__(self) -> None:
        self._filling = _core.HeapFilling()
        self._next_at = -math.inf
        # Once so large a block was freed, glibc keeps freed memory. Before, it may give memory back
        # and take it again, page by page, in every pass; whether it does depends on what the
        # process freed earlier, which no sum of operators can tell.
        import_torch().empty(_core.HeapFilling.largest_bytes, dtype=import_torch().uint8)

    def tidy(self) -> bool:
        """Fill its holes, once a second however often it is called.

        Returns whether there were any: then the next call may touch new pages.
        """
        if time.monotonic() < self._next_at:
            return False
        filled = self._filling.fill(_LEAST_BYTES)
        self._next_at = time.monotonic() + _EVERY_S
        return filled > 0

    @property
    def held_bytes(self) -> int:
        """What its holes hold."""
        return self._filling.bytes
