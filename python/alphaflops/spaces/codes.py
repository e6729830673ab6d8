"""Codes of a search space: checked, read from text, drawn at random, mutated and crossed."""

from __future__ import annotations

import operator
import re
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alphaflops.errors import ModelError, OverflowError

Codes: TypeAlias = NDArray[np.uint8]

_TEXT = re.compile(r"[0-9]{1,3}(-[0-9]{1,3})*", re.ASCII)


def whole(value: Any, called: str, *, below: int = 2**63) -> int:
    """Return an integer argument, of any integer type; errors say what it is called.

    Raises
    ------
    ModelError
        It is no integer.
    OverflowError
        It is not below a bound, 2^63 where none is given.
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise ModelError(f"{called} is {value!r:.60}; it must be an integer") from None
    if not -below <= number < below:
        raise OverflowError(f"{called} is {number}; it must be less than {below}")
    return number


def array_of(codes: ArrayLike) -> NDArray[Any]:
    """Return codes as an array, as they are.

    Raises
    ------
    ModelError
        Rows of unequal lengths.
    """
    try:
        return np.asarray(codes)
    except ValueError as error:
        raise ModelError(f"codes are no array, as rows are of unequal lengths: {error}") from error


class Coded:
    """Named positions with choices, and codes of them; ``SearchSpace`` says what they mean."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.names: tuple[str, ...] = ()
        self.choices: tuple[tuple[str, ...], ...] = ()
        self._lasts = np.zeros(0, np.uint8)

    def _append(self, name: str, choices: Sequence[str]) -> None:
        self.names += (name,)
        self.choices += (tuple(choices),)
        self._lasts = np.array([len(c) - 1 for c in self.choices], np.uint8)

    @property
    def positions(self) -> int:
        """How many choices make a network."""
        return len(self.choices)

    @property
    def size(self) -> int:
        """How many codes there are; different codes may be the same network."""
        size = 1
        for choices in self.choices:
            size *= len(choices)
        return size

    @property
    def choice_mask(self) -> NDArray[np.bool_]:
        """[positions, most choices]: True where a position has such a choice."""
        counts = np.array([len(choices) for choices in self.choices], int)
        mask: NDArray[np.bool_] = np.arange(counts.max(initial=0)) < counts[:, np.newaxis]
        return mask

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
                f"{self.name}: {text!r} is no code; write {self.positions} numbers joined by '-', "
                "each an index into the choices of its position"
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

    def describe(self, code: ArrayLike | str) -> dict[str, str]:
        """Return what a code chooses: the choice's name by the position's."""
        return {
            name: choices[number]
            for name, choices, number in zip(
                self.names, self.choices, self._one(code).tolist(), strict=True
            )
        }

    def sample(self, n: int, rng: np.random.Generator | int | None = None) -> Codes:
        """Draw codes [n, positions], every choice equally likely; `rng` may be a seed.

        Raises
        ------
        ModelError
            `n` is negative, or no integer.
        """
        n = whole(n, f"{self.name}: the number of codes to sample")
        if n < 0:
            raise ModelError(f"{self.name}: cannot sample {n} codes; ask for 0 or more")
        drawn = np.random.default_rng(rng).integers(self._lasts + 1, size=(n, self.positions))
        return drawn.astype(np.uint8)

    def mutate(
        self, codes: ArrayLike, rng: np.random.Generator | int | None = None, changes: int = 1
    ) -> Codes:
        """Return codes with another choice at so many positions of each, drawn at random.

        Parameters
        ----------
        codes
            [n, positions], or one code [positions].
        rng
            A generator or a seed.
        changes
            Positions to change; positions without a second choice are left alone.

        Raises
        ------
        ModelError
            Not codes of this space; fewer positions have a second choice.
        """
        several = self.check(np.atleast_2d(array_of(codes)))
        free = np.flatnonzero(self._lasts > 0)
        if not 0 <= changes <= len(free):
            raise ModelError(
                f"{self.name}: cannot change {changes} positions; {len(free)} have a second choice"
            )
        draw = np.random.default_rng(rng)
        order = draw.random((len(several), len(free))).argsort(axis=1)[:, :changes]
        at = free[order]
        rows = np.arange(len(several))[:, np.newaxis]
        result = several.copy()
        # A step of 1 to choices - 1, around the end, never leads back.
        step = draw.integers(1, self._lasts[at].astype(np.int64) + 1)
        result[rows, at] = (result[rows, at] + step) % (self._lasts[at].astype(np.int64) + 1)
        return result.reshape(np.shape(codes))

    def crossover(
        self, first: ArrayLike, second: ArrayLike, rng: np.random.Generator | int | None = None
    ) -> Codes:
        """Return codes that take each position from one of two parents, either equally likely.

        Parameters
        ----------
        first, second
            [n, positions] each, or one code [positions] each.
        rng
            A generator or a seed.

        Raises
        ------
        ModelError
            Not codes of this space, or not as many of one as of the other.
        """
        a, b = (self.check(np.atleast_2d(array_of(codes))) for codes in (first, second))
        if a.shape != b.shape:
            raise ModelError(
                f"{self.name}: {len(a)} and {len(b)} parents; a child needs one of each"
            )
        take = np.random.default_rng(rng).random(a.shape) < 0.5  # noqa: PLR2004
        return np.where(take, a, b).reshape(np.shape(first))

    def check(self, codes: ArrayLike) -> Codes:
        """Return codes [n, positions] as uint8.

        Raises
        ------
        ModelError
            The shape or a number is not of this space; the message names row and position.
        """
        array = array_of(codes)
        if array.ndim != 2 or array.shape[1] != self.positions:  # noqa: PLR2004
            raise ModelError(
                f"{self.name}: codes have shape {list(array.shape)}; it must be "
                f"[n, {self.positions}]: a single code is [code], a text space.decode(text)"
            )
        if array.dtype.kind not in "iu" and array.size:
            raise ModelError(f"{self.name}: codes are {array.dtype}; they must be integers")
        outside = np.argwhere((array < 0) | (array > self._lasts))
        if len(outside):
            row, position = outside[0]
            raise ModelError(
                f"{self.name}: code {row} has {array[row, position]} at position {position} "
                f"('{self.names[position]}'); choices run from 0 to {self._lasts[position]}"
            )
        return array.astype(np.uint8, copy=False)

    def _one(self, code: ArrayLike | str) -> Codes:
        if isinstance(code, str):
            return self.decode(code)
        array = array_of(code)
        if array.shape != (self.positions,):
            has = f"{len(array)} positions" if array.ndim == 1 else f"shape {list(array.shape)}"
            raise ModelError(f"{self.name}: a code has {has}; it must have {self.positions}")
        one: Codes = np.ascontiguousarray(self.check(array[np.newaxis])[0])
        return one
