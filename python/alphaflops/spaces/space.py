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

import copy
import operator
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from numpy.typing import ArrayLike

from alphaflops import _core
from alphaflops._core import Graph
from alphaflops.errors import Error, ModelError, OverflowError, ShapeError, UnsupportedError
from alphaflops.profiles import ProfileLike, as_profiles
from alphaflops.spaces.codes import Coded, whole
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
        """The only tensor.

        Raises
        ------
        ModelError
            There are none, or several.
        """
        if len(self.tensors) != 1:
            raise ModelError(
                f"it reads the one tensor that flows in, and {len(self.tensors)} do; begin with "
                "image(), and take several with add()"
            )
        return self.tensors[0]


#: What a build raises and the core raises again, with part and choice.
_TOLD_BY_PLACE = (ModelError, OverflowError, ShapeError, UnsupportedError)
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
        if flow.tensors or len(flow.notes) != 1:
            raise ModelError("images begin a space: one image() or resolution(), before all parts")
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
        self._parts: list[tuple[str, Step, int | None]] = []

    def __repr__(self) -> str:
        return f"SearchSpace({self.name!r}, {self.positions} positions, {self.size:.3g} codes)"

    def __reduce__(self) -> tuple[Any, ...]:
        positions = tuple(zip(self.names, self.choices, strict=True))
        own = vars(SearchSpace(self.name))
        others = {name: value for name, value in vars(self).items() if name not in own}
        return _put_together, (type(self), self.name, positions, tuple(self._parts)), others

    # Putting a space together

    def image(self, channels: int, height: int, width: int) -> None:
        """Begin with images [batch, channels, height, width]."""
        sizes = [
            whole(size, f"{self.name}: {called} of the image")
            for called, size in (("channels", channels), ("height", height), ("width", width))
        ]
        self.add("", _Image(sizes[0], ((sizes[1], sizes[2]),)))

    def resolution(self, name: str, channels: int, sides: Sequence[int]) -> int:
        """Begin with square images, their side being a choice; return the position."""
        channels = whole(channels, f"{self.name}: channels of the image")
        sides = [whole(side, f"{self.name}: a side of position '{name}'") for side in sides]
        position = self.position(name, [str(side) for side in sides])
        self.add("", _Image(channels, tuple((side, side) for side in sides)), position)
        return position

    def then(self, name: str, build: Build) -> None:
        """Add a part that every network has: ``build(graph, x)`` returns its result."""
        self._check_builds(name, [build])
        self.add(name, _Branch((build,)))

    def choose(self, name: str, choices: Mapping[str, Build]) -> int:
        """Add a position, and a part that it chooses; return the position.

        Builds that are equal and hashable (functions, instances of a frozen dataclass) are priced
        once for the same shape, wherever they stand.

        Raises
        ------
        ModelError
            A position of this name is there; none or more than 256 choices; what is no function.
        """
        if not isinstance(choices, Mapping):
            raise ModelError(
                f"{self.name}: choices of '{name}' are {choices!r:.60}; give a dict of functions "
                "by the names of the choices"
            )
        self._check_builds(name, choices.values())
        position = self.position(name, list(choices))
        self.add(name, _Branch(tuple(choices.values())), position)
        return position

    def position(self, name: str, choices: Sequence[str]) -> int:
        """Add a position to the code; return its number.

        Raises
        ------
        ModelError
            A position of this name is there; none or more than 256 choices, one twice, or one that
            is no text.
        """
        is_list = isinstance(choices, Sequence) and not isinstance(choices, str)
        if not is_list or not all(isinstance(choice, str) for choice in choices):
            raise ModelError(
                f"{self.name}: choices of position '{name}' are {choices!r:.60}; give a list of "
                "names, which are texts"
            )
        if len(set(choices)) < len(choices):
            raise ModelError(
                f"{self.name}: position '{name}' has a choice twice; give each a name of its own"
            )
        if name in self.names:
            raise ModelError(
                f"{self.name}: position '{name}' is there already; give each a name of its own"
            )
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

        Raises
        ------
        ModelError
            There is no such position, or the step is no function.
        """
        if not callable(step):
            raise ModelError(
                f"{self.name}: part '{name}' is {step!r:.60}; give a function of graph, flow and "
                "choice"
            )
        position = -1 if reads is None else whole(reads, f"{self.name}: what part '{name}' reads")
        try:
            known = self._steps.setdefault(step, _core.Step(_wrapped(step)))
        except TypeError:  # no hash
            known = _core.Step(_wrapped(step))
        self._core.add(name, known, position)
        self._parts.append((name, step, reads))

    def _check_builds(self, name: str, builds: Iterable[Build]) -> None:
        for build in builds:
            if not callable(build):
                raise ModelError(
                    f"{self.name}: part '{name}' has {build!r:.60}; give a function of a graph and "
                    "a tensor"
                )

    def _check_parts(self) -> None:
        if not self._parts:
            raise ModelError(f"{self.name}: the space has no parts; begin with image()")

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
            The code is not of this space, the space has no parts, or the batch is no integer; a
            build raised, and what it raised is the cause.
        """
        self._check_parts()
        images = whole(batch, f"{self.name}: batch")
        with _causes_kept():
            return self._core.graph(self._one(code), images, dtype)

    def compile(
        self,
        profiles: ProfileLike | Sequence[ProfileLike],
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
            A profile, a shipped one's name or a path; or several of them, of one mode.
        batch, dtype
            As of ``graph``.
        mode
            fused, fused_relu or eager, of all profiles; by default the one that they were timed in.
        reuse_bytes
            What is touched between two uses of the same weights, as of ``estimate``, by default
            each network's own. What a cache is worth is no sum: tables follow within some percent.

        Raises
        ------
        ModelError
            Profiles of different modes without `mode`; the batch is no integer; a build raised, and
            what it raised is the cause.
        ProfileError
            A profile does not price an operator of the space; all are listed.
        UnsupportedError
            The tables would be too large; the message says how large.
        """
        self._check_parts()
        loaded = as_profiles(profiles)
        if not loaded:
            raise ModelError(f"{self.name}: give at least one profile to compile for")
        images = whole(batch, f"{self.name}: batch")
        with _causes_kept():
            compiled = self._core.compile(
                [p.core for p in loaded], images, dtype, mode, reuse_bytes
            )
        own = copy.copy(self)  # which later parts of this one do not change
        return CompiledSpace(own, compiled, tuple(loaded), images, dtype, reuse_bytes)


def _put_together(
    kind: type[SearchSpace],
    name: str,
    positions: Sequence[tuple[str, Sequence[str]]],
    parts: Sequence[tuple[str, Step, int | None]],
) -> SearchSpace:
    """Make a space anew; what a class derived from it does for that is not done again."""
    space = kind.__new__(kind)
    SearchSpace.__init__(space, name)
    for position, choices in positions:
        SearchSpace.position(space, position, choices)
    for part in parts:
        SearchSpace.add(space, *part)
    return space


def _wrapped(
    step: Step,
) -> Callable[[Graph, list[int], list[int], int], tuple[tuple[int, ...], tuple[int, ...]]]:
    def run(
        graph: Graph, tensors: list[int], notes: list[int], choice: int
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        try:
            out = step(graph, Flow(tuple(tensors), tuple(notes)), choice)
        except Exception as e:
            _raised.cause = e
            if isinstance(e, _TOLD_BY_PLACE):
                raise
            raise ModelError(f"it raised {type(e).__name__}: {_told(e)}") from e
        try:
            made, left = out
            return tuple(map(operator.index, made)), tuple(map(operator.index, left))
        except (TypeError, ValueError):
            raise ModelError(
                f"it returned {out!r}; a step returns Flow(tensors, notes), all of them integers, "
                "and a build the tensor that it made"
            ) from None

    return run


class _Raised(threading.local):
    """What a build raised last, in this thread: the core tells part and choice, not the line."""

    cause: Exception | None = None


_raised = _Raised()


@contextmanager
def _causes_kept() -> Iterator[None]:
    """Let an error of the core have what a build raised as its cause."""
    _raised.cause = None
    try:
        yield
    except Error as e:
        raise e from _raised.cause
    finally:
        _raised.cause = None


def _told(e: Exception) -> str:
    """Return what an exception says; of a method of `Graph`, not all that it would have taken."""
    text = str(e)
    if "incompatible function arguments" not in text:
        return text
    given = text.rpartition("Invoked with: ")[2].partition("), ")[2]  # behind the graph
    return f"{text.partition('(')[0]}() takes no such arguments: {given}; sizes are integers"
