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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from numpy.typing import ArrayLike

from alphaflops import _core
from alphaflops._core import Graph
from alphaflops.errors import ModelError
from alphaflops.profiles import Profile, load_profile
from alphaflops.spaces.codes import Coded
from alphaflops.spaces.compiled import CompiledSpace


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


class SearchSpace(Coded):
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
        super().__init__(name)
        self._core = _core.SearchSpace(name)
        self._steps: dict[Step, _core.Step] = {}

    def __repr__(self) -> str:
        return f"SearchSpace({self.name!r}, {self.positions} positions, {self.size:.3g} codes)"

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
        self._append(name, choices)
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
        reuse_bytes: float | None = None,
    ) -> CompiledSpace:
        """Price every part once, so that networks are priced by looking up and adding.

        Parameters
        ----------
        profiles
            A profile, a shipped one's name or a path; or several of them.
        batch, dtype
            As of ``graph``.
        mode
            fused, fused_relu or eager; the first profile's own by default.
        reuse_bytes
            What is touched between two uses of the same weights, as of ``estimate``. All networks
            share it, so that costs stay sums: by default that of the mean network.

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
        compiled = self._core.compile([p.core for p in loaded], batch, dtype, how, reuse_bytes)
        return CompiledSpace(self, compiled, tuple(loaded), batch, dtype, how)


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
