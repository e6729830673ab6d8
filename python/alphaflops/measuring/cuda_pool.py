"""Memory on a GPU that every bench of a session shares: numbers to read, and room to write."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from alphaflops.cuda.driver import Driver, Memory

__all__ = ["ALIGNMENT", "Pool", "aligned", "random_bytes"]

ALIGNMENT = 256  # of what the driver gives, and of every buffer within
_SEED_BYTES = 8 << 20  # random ones, which are repeated


def aligned(size: int) -> int:
    """Round up to where the next buffer may begin."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def random_bytes(dtype: str, size: int, seed: int, most: float = 1.0) -> npt.NDArray[np.uint8]:
    """Return numbers of both signs, up to `most` but for int8; zeros would draw less power."""
    random = np.random.default_rng(seed)
    if dtype == "int8":
        numbers = random.integers(-127, 128, size, np.int8).view(np.uint8)
    elif dtype == "fp16":
        numbers = random.uniform(-most, most, size // 2).astype(np.float16).view(np.uint8)
    else:
        count = size // (2 if dtype == "bf16" else 4)
        reals = random.uniform(-most, most, count).astype(np.float32)
        bits = reals.view(np.uint32)
        numbers = ((bits >> 16).astype(np.uint16) if dtype == "bf16" else bits).view(np.uint8)
    return np.ascontiguousarray(numbers)


class Pool:
    """Blocks that grow as benches need more; each bench begins at the start of them.

    What reads goes to `source`, by element type, and what is written to `sink`: else what one
    operator wrote would be another's denormal numbers.
    """

    def __init__(self, driver: Driver, seed: int = 0) -> None:
        self._driver, self._seed = driver, seed
        self._needed: dict[str, int] = {}
        self._blocks: dict[str, Memory] = {}
        #: Changes whenever a block has moved.
        self.generation = 0

    def need(self, name: str, size: int) -> None:
        """Remember that `name` (an element type, or sink, workspace, flush) needs so many bytes.

        Raises
        ------
        DeviceMemoryError
            There is no such memory; the message says what is needed and what is free.
        """
        if size <= self._needed.get(name, 0):
            return
        self._check(name, size)
        self._needed[name] = size

    def _check(self, name: str, size: int) -> None:
        from alphaflops.cuda.driver import needs_memory  # noqa: PLC0415

        free, total = self._driver.memory()
        held = sum(len(block) for block in self._blocks.values())
        wanted = sum({**self._needed, name: size}.values())
        if wanted > free + held:
            raise needs_memory(wanted, free + held, total)

    def address(self, name: str) -> int:
        """Return where a block begins."""
        needed = max(self._needed.get(name, 0), ALIGNMENT)
        block = self._blocks.get(name)
        if block is None or len(block) < needed:
            self._blocks.pop(name, None)
            del block  # given back before more is taken
            block = self._blocks[name] = self._driver.allocate(needed)
            self.generation += 1
            if name not in ("sink", "workspace", "flush", "arena"):
                seed = random_bytes(name, min(_SEED_BYTES, aligned(needed)), self._seed)[:needed]
                block.write(seed)
                block.repeat(len(seed))
        return block.address
