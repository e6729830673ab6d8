"""Search spaces: networks that differ in one choice at each of a number of positions.

>>> space = SearchSpace("two-layers")
>>> space.image(3, 32, 32)
>>> for layer in range(2):
...     space.choose(f"layer{layer}", {"k3": Conv(16, 3), "k5": Conv(16, 5)})
>>> space.graph("0-1")

where ``Conv(16, 3)`` is a function of a graph and a tensor that adds a convolution and returns its
result. Choices need not know of each other: a convolution finds the channels of what reaches it.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alphaflops import _core
from alphaflops._core import Graph
from alphaflops.errors import ModelError
from alphaflops.profiles import Profile, load_profile
from alphaflops.spaces.compiled import CompiledSpace

Codes: TypeAlias = NDArray[np.uint8]

_TEXT = re.compile(r"[0-9]{1,3}(-[0-9]{1,3})*", re.ASCII)


class Flow(NamedTuple):
    """What one part of a network hands on to the next.

    Attributes
    ----------
    tensors : tuple of int
    notes : tuple of int
        Whatever later parts need to know, such as how many layers a stage still has.
    """

    tensors: tuple[int, ...]
    notes: tuple[int, ...] = ()

    @property
    def x(self) -> int:
        """The only tensor."""
        (x,) = self.tensors
        return x


#: Adds a part to a graph: of the graph, what flows in, and the choice (0 where none is read).
Step: TypeAlias = Callable[[Graph, Flow, int], Flow]
#: Adds a part to a graph behind one tensor and returns its result.
Build: TypeAlias = Callable[[Graph, int], int]


@dataclass(frozen=True)
class _Branch:
    """One of a few builds, behind the only tensor."""

    builds: tuple[Build, ...]

    def __call__(self, graph: Graph, flow: Flow, choice: int) -> Flow:
        return Flow((self.builds[choice](graph, flow.x),), flow.notes)


@dataclass(frozen=True)
class _Image:
    channels: int
    sizes: tuple[tuple[int, int], ...]

    def __call__(self, graph: Graph, flow: Flow, choice: int) -> Flow:
        height, width = self.sizes[choice]
        (batch,) = flow.notes
        return Flow((graph.input([batch, self.channels, height, width], "image"),))


class SearchSpace:
    """Networks with one choice at each position, and how to build each.

    A network is a code: one number a position, an index into the position's choices. As text it is
    those numbers joined by dashes, ``"7-8-1"``.

    A space is put together part by part, in the order of the network: an input (``image``), parts
    that all networks have (``then``), and positions (``choose``). Positions that several parts
    read, parts with several tensors, and choices that concern later parts take ``position`` and
    ``add``. Launches are never fused across parts.

    Attributes
    ----------
    name : str
    names : tuple of str
        Of the positions.
    choices : tuple of tuple of str
        What each number stands for, position by position.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.names: tuple[str, ...] = ()
        self.choices: tuple[tuple[str, ...], ...] = ()
        self._core = _core.SearchSpace(name)
        self._steps: dict[Step, _core.Step] = {}
        self._lasts = np.zeros(0, np.uint8)

    def __repr__(self) -> str:
        return f"SearchSpace({self.name!r}, {self.positions} positions, {self.size:.3g} codes)"

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

    # Putting a space together

    def image(self, channels: int, height: int, width: int) -> None:
        """Begin with images [batch, channels, height, width]."""
        self.add("", _Image(channels, ((height, width),)))

    def resolution(self, name: str, channels: int, sides: Sequence[int]) -> int:
        """Begin with square images, their side being a choice; return the position."""
        position = self.position(name, [str(side) for side in sides])
        self.add("", _Image(channels, tuple((side, side) for side in sides)), position)
        return position

    def then(self, name: str, build: Build) -> None:
        """Add a part that every network has: ``build(graph, x)`` returns its result."""
        self.add(name, _Branch((build,)))

    def choose(self, name: str, choices: Mapping[str, Build]) -> int:
        """Add a position, and a part that it chooses; return the position.

        Builds that are equal and hashable (functions, instances of a frozen dataclass) are priced
        once for the same shape, wherever they stand.
        """
        position = self.position(name, list(choices))
        self.add(name, _Branch(tuple(choices.values())), position)
        return position

    def position(self, name: str, choices: Sequence[str]) -> int:
        """Add a position to the code; return its number.

        Raises
        ------
        ModelError
            None or more than 256 choices.
        """
        number = self._core.position(name, list(choices))
        self.names += (name,)
        self.choices += (tuple(choices),)
        self._lasts = np.array([len(c) - 1 for c in self.choices], np.uint8)
        return number

    def add(self, name: str, step: Step, reads: int | None = None) -> None:
        """Add a part: ``step(graph, flow, choice)`` builds it and returns what flows on.

        Parameters
        ----------
        name
            Comes before the names of its layers.
        step
            It must do the same whenever shapes and notes of the flow, and the choice, are the same.
            The first step of a space gets no tensors and one note, the batch.
        reads
            The position that says which choice; none by default. Several parts may read one.
        """
        try:
            known = self._steps.setdefault(step, _core.Step(_wrapped(step)))
        except TypeError:  # no hash
            known = _core.Step(_wrapped(step))
        self._core.add(name, known, -1 if reads is None else reads)

    # Networks

    def graph(self, code: ArrayLike | str, batch: int = 1, dtype: str = "fp32") -> Graph:
        """Build one network.

        Parameters
        ----------
        code
            [positions] indices into the choices, or their text.
        batch
            Images a call.
        dtype
            Element type: fp32, tf32, fp16, bf16 or int8.

        Raises
        ------
        ModelError
            The code is not of this space.
        """
        return self._core.graph(self._one(code), batch, dtype)

    def compile(
        self,
        profiles: Profile | str | Sequence[Profile | str],
        *,
        batch: int = 1,
        dtype: str = "fp32",
        mode: str | None = None,
    ) -> CompiledSpace:
        """Price every part once, so that networks are priced by looking up and adding.

        Parameters
        ----------
        profiles
            A profile, a shipped one's name or a path; or several of them.
        batch, dtype
            As of ``graph``.
        mode
            fused or eager; the first profile's own by default.

        Raises
        ------
        ProfileError
            A profile does not price an operator of the space; all are listed.
        UnsupportedError
            The tables would be too large; the message says how large.
        """
        several = [profiles] if isinstance(profiles, (Profile, str)) else list(profiles)
        loaded = [load_profile(p) if isinstance(p, str) else p for p in several]
        if not loaded:
            raise ModelError(f"{self.name}: give at least one profile to compile for")
        how = mode or loaded[0].mode
        compiled = self._core.compile([p.core for p in loaded], batch, dtype, how)
        return CompiledSpace(self, compiled, tuple(loaded), batch, dtype, how)

    # Codes

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
            `n` is negative.
        """
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
        several = self.check(np.atleast_2d(np.asarray(codes)))
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
        a, b = (self.check(np.atleast_2d(np.asarray(codes))) for codes in (first, second))
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
        array = np.asarray(codes)
        if array.ndim != 2 or array.shape[1] != self.positions:  # noqa: PLR2004
            raise ModelError(
                f"{self.name}: codes have shape {list(array.shape)}; it must be "
                f"[n, {self.positions}]"
            )
        if array.dtype.kind not in "iu":
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
        array = np.asarray(code)
        if array.shape != (self.positions,):
            has = f"{len(array)} positions" if array.ndim == 1 else f"shape {list(array.shape)}"
            raise ModelError(f"{self.name}: a code has {has}; it must have {self.positions}")
        one: Codes = np.ascontiguousarray(self.check(array[np.newaxis])[0])
        return one


def _wrapped(
    step: Step,
) -> Callable[[Graph, list[int], list[int], int], tuple[tuple[int, ...], tuple[int, ...]]]:
    def run(
        graph: Graph, tensors: list[int], notes: list[int], choice: int
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        out = step(graph, Flow(tuple(tensors), tuple(notes)), choice)
        try:
            made, left = out
            return tuple(map(operator.index, made)), tuple(map(operator.index, left))
        except (TypeError, ValueError):
            raise ModelError(
                f"it returned {out!r}; a step returns Flow(tensors, notes), all of them integers, "
                "and a build the tensor that it made"
            ) from None

    return run
