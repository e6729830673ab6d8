"""The heap that PyTorch takes its tensors from, as it is in a process of one network.

glibc gives a tensor the smallest hole that holds it. Hundreds of operators leave holes everywhere,
and tensors that would lie side by side lie far apart. docs/measuring.md says what that costs.
"""

from __future__ import annotations

import math
import mmap
import time
from typing import ClassVar

from alphaflops import _core
from alphaflops.measuring.torch_operators import import_torch

__all__ = ["Heap"]

_FROM_SYSTEM_BYTES = 32 << 20
_TOUCHED_FROM_BYTES = 2 << 20
_TIMES = 3  # until it gives the same blocks again
_TENSORS = 4  # input, output, the output before, and what a convolution sorts
_LEAST_BYTES = 32 << 10  # what is smaller stays in near caches wherever it lies
_EVERY_S = 1.0


class Heap:
    """Keeps the heap of this process in one piece."""

    _keeps: ClassVar[bool | None] = None  # of the process

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

    def make_room(self, largest_bytes: int) -> None:
        """Prepare for an operator whose largest tensor takes so much.

        One operator after the other with tensors of 20 MiB lets go of all its memory again and
        again, so that glibc would give it back, and take it again page by page; a network has other
        tensors all the while. So freed memory stays, and what a few tensors need has been touched.
        What is larger than the heap hands out comes from the system, as in a network, and not from
        what others have left free.
        """
        is_the_systems = largest_bytes >= _FROM_SYSTEM_BYTES
        self._keep(freed=not is_the_systems)
        self._filling.let_go()
        if is_the_systems:
            self._filling.hold(_FROM_SYSTEM_BYTES)
        if is_the_systems or largest_bytes < _TOUCHED_FROM_BYTES:
            return
        torch = import_torch()
        for _ in range(_TIMES):
            tensors = [torch.empty(largest_bytes, dtype=torch.uint8) for _ in range(_TENSORS)]
            for tensor in tensors:
                tensor[:: mmap.PAGESIZE] = 0
            del tensor, tensors

    def let_go(self) -> None:
        """Give freed memory back as glibc does by itself: as a process of a network would."""
        self._filling.let_go()
        self._keep(freed=False)

    def _keep(self, *, freed: bool) -> None:
        if freed != self._keeps:
            _core.keep_freed_memory(freed)
            Heap._keeps = freed

    @property
    def held_bytes(self) -> int:
        """What its holes hold."""
        return self._filling.bytes
