"""A search space: networks that differ in one choice at each of a number of positions."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alphaflops._core import Graph
from alphaflops.errors import ModelError

Codes: TypeAlias = NDArray[np.uint8]

_TEXT = re.compile(r"[0-9]{1,3}(-[0-9]{1,3})*", re.ASCII)


@dataclass(frozen=True)
class SearchSpace:
    """Networks with one choice at each position, and how to build each.

    A network is a code: one number a position, an index into `choices`. As text it is those
    numbers joined by dashes, ``"7-8-1"``.

    Attributes
    ----------
    name : str
    positions : int
        How many choices make a network.
    choices : tuple of str
        What each number stands for; the same at every position.
    """

    name: str
    positions: int
    choices: tuple[str, ...]
    _build: Callable[[Graph, int, tuple[int, ...]], int] = field(repr=False)
    _image: tuple[int, int, int] = field(repr=False)

    @property
    def size(self) -> int:
        """How many codes there are; different codes may be the same network."""
        return int(len(self.choices) ** self.positions)

    def graph(self, code: ArrayLike | str, batch: int = 1, dtype: str = "fp32") -> Graph:
        """Build one network.

        Parameters
        ----------
        code
            [positions] indices into `choices`, or their text.
        batch
            Images a call.
        dtype
            Element type: fp32, tf32, fp16, bf16 or int8.

        Raises
        ------
        ModelError
            The code is not of this space.
        """
        numbers = self._one(code)
        graph = Graph(f"{self.name} {self.encode(numbers)}", dtype)
        image = graph.input([batch, *self._image], "image")
        self._build(graph, image, tuple(numbers.tolist()))
        return graph

    def decode(self, text: str) -> Codes:
        """Return the code [positions] that a text such as ``"7-8-1"`` stands for.

        Raises
        ------
        ModelError
            The text is no code of this space.
        """
        stripped = text.strip()
        if not _TEXT.fullmatch(stripped):
            raise ModelError(
                f"{self.name}: {text!r} is no code; write {self.positions} numbers from 0 to "
                f"{len(self.choices) - 1} joined by '-'"
            )
        return self._one([int(number) for number in stripped.split("-")])

    def encode(self, code: ArrayLike) -> str:
        """Return the text of a code [positions].

        Raises
        ------
        ModelError
            The code is not of this space.
        """
        return "-".join(map(str, self._one(code).tolist()))

    def sample(self, n: int, rng: np.random.Generator | int | None = None) -> Codes:
        """Draw codes [n, positions], every choice equally likely; `rng` may be a seed.

        Raises
        ------
        ModelError
            `n` is negative.
        """
        if n < 0:
            raise ModelError(f"{self.name}: cannot sample {n} codes; ask for 0 or more")
        drawn = np.random.default_rng(rng).integers(len(self.choices), size=(n, self.positions))
        return drawn.astype(np.uint8)

    def check(self, codes: ArrayLike) -> Codes:
        """Return codes [n, positions] as uint8.

        Raises
        ------
        ModelError
            The shape or a number is not of this space; the message names row and position.
        """
        array = np.asarray(codes)
        if array.ndim != 2 or array.shape[1] != self.positions:  # noqa: PLR2004
            raise ModelError(
                f"{self.name}: codes have shape {list(array.shape)}; it must be "
                f"[n, {self.positions}]"
            )
        if array.dtype.kind not in "iu":
            raise ModelError(f"{self.name}: codes are {array.dtype}; they must be integers")
        outside = np.argwhere((array < 0) | (array >= len(self.choices)))
        if len(outside):
            row, position = outside[0]
            raise ModelError(
                f"{self.name}: code {row} has {array[row, position]} at position {position}; "
                f"choices run from 0 to {len(self.choices) - 1}"
            )
        return array.astype(np.uint8)

    def _one(self, code: ArrayLike | str) -> Codes:
        if isinstance(code, str):
            return self.decode(code)
        array = np.asarray(code)
        if array.shape != (self.positions,):
            has = f"{len(array)} positions" if array.ndim == 1 else f"shape {list(array.shape)}"
            raise ModelError(f"{self.name}: a code has {has}; it must have {self.positions}")
        one: Codes = self.check(array[np.newaxis])[0]
        return one
