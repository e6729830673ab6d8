"""Whole networks, predicted and run: the check that a profile's sums hold."""

from __future__ import annotations

import math
import os
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from alphaflops import _core
from alphaflops._core import Graph
from alphaflops.errors import BrokenContextError, Error, ModelError, ShapeError
from alphaflops.frontends.traced import Traced, graph_of
from alphaflops.measuring.backends import (
    Backend,
    HasProvenance,
    Network,
    RunsModules,
    Session,
    backend_of,
)
from alphaflops.measuring.control import Control, control_in
from alphaflops.measuring.readings import MIN_SAMPLES, Reading, Sample, summarise
from alphaflops.measuring.standing import Progress
from alphaflops.profiles import load_profile

if TYPE_CHECKING:
    from alphaflops.cuda.energy import Energy
    from alphaflops.measuring.energy import Joules

__all__ = ["validate"]

_T = TypeVar("_T")
_TURN_S = 0.03

_DTYPE = [
    ("predicted_s", np.float64),
    ("measured_s", np.float64),
    ("measured_lo_s", np.float64),
    ("measured_hi_s", np.float64),
    ("error", np.float64),
    ("samples", np.int64),
    ("unstable", np.int64),
    ("unpriced_rows", np.int64),
    ("slowdown", np.float64),
    ("slowdown_lo", np.float64),
    ("slowdown_hi", np.float64),
]
_ENERGY = ("predicted_j", "measured_j", "measured_lo_j", "measured_hi_j", "idle_j")


class _Profile(HasProvenance, Protocol):
    @property
    def core(self) -> _core.Profile:
        """The profile as the compiled core reads it."""


def validate(
    networks: Graph | Traced | Sequence[Graph | Traced],
    profile: _Profile | str | os.PathLike[str],
    *,
    backend: Backend | None = None,
    repeats: int | None = None,
    budget_s: float = 20.0,
    energy: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
    on_refused: Callable[[int, Error], None] | None = None,
) -> npt.NDArray[np.void]:
    """Run whole networks beside what a profile predicts for them.

    Networks take turns at random, so that a slow phase of the machine falls on all of them alike;
    so do the operators of the profile's control, which say how fast it is beside the calibration.

    Parameters
    ----------
    networks
        One or several, of a dtype that the profile prices. All are in memory together. PyTorch runs
        the module of a ``Traced`` itself; of a graph alone, and with other backends, the graph's
        operators run.
    profile
        Or a shipped one's name, or a path.
    backend
        What runs them; by default what the profile was measured with, ``backend_of(profile)``.
    repeats
        Runs of each, however long they take; without it, as many as the budget allows, three at
        least.
    budget_s
        Seconds of running; building the networks comes on top.
    energy
        Whether to measure what each draws on an NVIDIA GPU, which takes three seconds each.
    seed
        Of random weights and inputs, and of the order.
    on_refused
        Called with the place in `networks` and the error of each that cannot be priced or run, or
        fails while it is timed; such have no row. Without it the first of these errors is raised.

    Returns
    -------
    ndarray
        A row a network: ``name``, ``predicted_s``, ``measured_s`` (median of one forward pass),
        ``measured_lo_s``, ``measured_hi_s`` (its interval of 90 %), ``error`` (predicted /
        measured - 1), ``samples``, ``unstable``, ``unpriced_rows``; ``slowdown``, the same in every
        row: what operators of the calibration take now over what they took then (median of them),
        with ``slowdown_lo`` and ``slowdown_hi`` (its interval of 90 %), NaN where the profile has
        none that were timed so, and of networks of several dtypes. With `energy` also
        ``predicted_j`` (NaN where the profile has no power), ``measured_j`` of a pass, with
        ``measured_lo_j`` and ``measured_hi_j`` of its windows, and ``idle_j`` of it, which the
        device would have drawn anyway.

    Raises
    ------
    MissingExtraError
        Nothing reads the GPU's energy.
    UnsupportedError
        A network that the backend cannot run; the message names network and layer.
    ModelError
        A module that raises when it is run.
    BrokenContextError
        A network broke the GPU's context, so that no other can run.
    ProfileError
        A network that the profile cannot price.
    TableError
        The profile's control is malformed.
    """
    if isinstance(networks, (Graph, Traced)):
        networks = [networks]
    if not networks:
        raise ShapeError("no network to validate; give at least one")
    if repeats is not None and repeats < 1:
        raise ShapeError(f"repeats is {repeats}; it must be at least 1")
    if not (math.isfinite(budget_s) and budget_s > 0):
        raise ShapeError(f"budget_s is {budget_s}; it must be a positive number of seconds")
    if isinstance(profile, (str, os.PathLike)):
        profile = load_profile(profile)
    runs = backend or backend_of(profile)
    graphs = [graph_of(network) for network in networks]
    # Prices first: what cannot be priced is an error before time is spent.
    refuse = _Refusal(graphs, on_refused)
    core = profile.core
    predictions = _accepted(range(len(graphs)), lambda i: _predict(graphs[i], core, runs), refuse)
    dtypes = {graphs[i].dtype for i in predictions}
    then = control_in(profile, runs.provenance(), dtypes.pop()) if len(dtypes) == 1 else None
    with runs.session() as session:
        meter = None
        if energy:
            from alphaflops.measuring.energy import Joules, meter_of  # noqa: PLC0415

            meter = Joules(meter_of(session))  # while nothing runs yet
        running: list[Graph | Traced] = []
        ready = _accepted(
            predictions, lambda i: _ready(session, networks[i], seed, running), refuse
        )
        control = Control(session, then, by_mode=runs.by_mode)
        readings = _run(
            ready,
            control,
            refuse,
            repeats=repeats,
            budget_s=budget_s,
            random=np.random.default_rng(seed),
            progress=progress,
        )
        energies = {}
        if meter is not None:
            energies = _accepted(readings, lambda i: _drawn(ready[i], meter), refuse)
            readings = {i: readings[i] for i in energies}

    slowdown = control.slowdown()
    width = max((len(graphs[i].name) for i in readings), default=1)
    fields = [*_DTYPE, *((name, np.float64) for name in _ENERGY if energy)]
    rows = np.empty(len(readings), [("name", f"U{max(1, width)}"), *fields])
    for row, (i, taken) in zip(rows, readings.items(), strict=True):
        measured, prediction = summarise(taken), predictions[i]
        row["name"] = graphs[i].name
        row["predicted_s"] = prediction.total_time_s
        row["measured_s"] = measured.time_s
        row["measured_lo_s"] = measured.time_lo_s
        row["measured_hi_s"] = measured.time_hi_s
        row["error"] = prediction.total_time_s / measured.time_s - 1
        row["samples"] = measured.samples
        row["unstable"] = measured.is_unstable
        row["unpriced_rows"] = prediction.unpriced_rows
        row["slowdown"], row["slowdown_lo"], row["slowdown_hi"] = slowdown
    for row, drawn in zip(rows, energies.values(), strict=False):
        power_w = profile.core.power_w
        row["predicted_j"] = np.nan if power_w is None else power_w * row["predicted_s"]
        row["measured_j"], row["idle_j"] = drawn.call_j, drawn.idle_j
        row["measured_lo_j"], row["measured_hi_j"] = drawn.least_j, drawn.most_j
    return rows


class _Refusal:
    """What becomes of a network that fails: it is told, or its error is raised."""

    def __init__(
        self, graphs: Sequence[Graph], on_refused: Callable[[int, Error], None] | None
    ) -> None:
        self._graphs, self._on_refused = graphs, on_refused

    def __call__(self, place: int, error: Error) -> None:
        name = f"{self._graphs[place].name}: "
        named = error if str(error).startswith(name) else type(error)(f"{name}{error}")
        if self._on_refused is None:
            raise named from (None if named is error else error)
        self._on_refused(place, named)


def _accepted(places: Iterable[int], make: Callable[[int], _T], refuse: _Refusal) -> dict[int, _T]:
    """Return what is made for each place, without those that are refused."""
    made = {}
    for i in places:
        try:
            made[i] = make(i)
        except BrokenContextError:  # of which no other network is free
            raise
        except Error as error:
            refuse(i, error)
    return made


def _predict(graph: Graph, profile: _core.Profile, runs: Backend) -> _core.Prediction:
    work = _core.lower(graph, runs.mode)
    return _core.predict(work, profile, reuse_bytes=_core.reuse_distance_bytes(work))


def _ready(
    session: Session, network: Graph | Traced, seed: int, running: list[Graph | Traced]
) -> Network:
    with _its_own_fault("made ready"):
        if isinstance(network, Traced) and isinstance(session, RunsModules):
            _refuse_shared(network, running)
            made = session.module(network, seed)
        else:
            made = session.network(graph_of(network), seed)
    running.append(network)
    return made


def _refuse_shared(network: Traced, before: Sequence[Graph | Traced]) -> None:
    """Refuse to convert a module that another network runs in its own element type."""
    parts, dtype = {id(part) for part in network.module.modules()}, network.graph.dtype
    for other in before:
        if not isinstance(other, Traced) or other.graph.dtype == dtype:
            continue
        if any(id(part) in parts for part in other.module.modules()):
            raise ModelError(
                f"its module, or a part of it, also runs in {other.graph.dtype}, in another "
                f"network; with_dtype('{dtype}') of that one is of a copy"
            )


def _sampled(network: Network, passes: int) -> Sample:
    """Time a network after a pass of its own."""
    with _its_own_fault("timed"):
        network.sample(1)  # which finds another's data in the caches
        return network.sample(passes)


def _drawn(network: Network, meter: Joules) -> Energy:
    with _its_own_fault("run for its energy"):
        return meter.of(network, network.sample(1).time_s)


@contextmanager
def _its_own_fault(when: str) -> Iterator[None]:
    """Make an error of whatever a network raises, memory that is not there with it."""
    try:
        yield
    except Error:
        raise
    except Exception as error:
        traceback.clear_frames(error.__traceback__)  # its tensors: others need memory
        raise ModelError(f"it raised {type(error).__name__} when it was {when}: {error}") from error


def _passes(network: Network) -> int:
    return max(1, math.ceil(_TURN_S / _sampled(network, 1).time_s))


def _run(
    networks: Mapping[int, Network],
    control: Control,
    refuse: _Refusal,
    *,
    repeats: int | None,
    budget_s: float,
    random: np.random.Generator,
    progress: Progress | None,
) -> dict[int, list[Reading]]:
    """Time every network in rounds of random order, and the control after each round."""
    start = time.monotonic()
    least = repeats or MIN_SAMPLES
    most = repeats or math.inf
    passes = _accepted(networks, lambda i: _passes(networks[i]), refuse)
    readings: dict[int, list[Reading]] = {i: [] for i in passes}
    while readings:
        elapsed_s = time.monotonic() - start
        done = min(len(taken) for taken in readings.values())
        if progress is not None:
            progress(done, repeats or done + 1, elapsed_s, max(0.0, budget_s - elapsed_s))
        if done >= most or (done >= least and (repeats or elapsed_s >= budget_s)):
            return readings
        order = random.permutation(list(readings)).tolist()
        samples = _accepted(order, lambda i: _sampled(networks[i], passes[i]), refuse)
        now = time.time()
        readings = {i: readings[i] for i in readings if i in samples}
        for i, taken in readings.items():
            taken.append(Reading.of(samples[i], now))
        control.sample(random)
    return readings
