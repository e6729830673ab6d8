"""A measuring campaign: time the operators of a table on this device within a budget.

Rounds go over the shapes in random order, so that a slow phase of the machine falls on all of them
alike; a shape drops out once its median is settled. docs/measuring.md gives the reasons.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from alphaflops.calls import launches
from alphaflops.errors import (
    BrokenContextError,
    Error,
    ShapeError,
    TableError,
    UnsupportedError,
)
from alphaflops.measuring.backends import Backend, Bench, Reuse, Session, named
from alphaflops.measuring.journal import Journal
from alphaflops.measuring.measured import measured_table, shapes_of
from alphaflops.measuring.pace import at_one_pace
from alphaflops.measuring.readings import MIN_SAMPLES, Reading, summarise
from alphaflops.measuring.shapes import graphs_of
from alphaflops.measuring.standing import OnPoint, OnStanding, Progress, Standing
from alphaflops.table import Table, TableLike, work_table
from alphaflops.table.columns import INTEGERS

if TYPE_CHECKING:
    from alphaflops.measuring.energy import Joules

__all__ = ["measure"]

_COMMIT_S = 0.25
_PROGRESS_S = 0.1
_MOST_BYTES = 2.0**62
_SHAPE_COLUMNS = ("op", *INTEGERS, "dtype", "pass")


def measure(
    table: TableLike,
    *,
    backend: str | Backend = "native",
    budget_s: float = 60.0,
    journal: str | os.PathLike[str] | None = None,
    isa: str | None = None,
    cache: str = "context",
    layout: str | None = None,
    threads: int | None = None,
    on: str | None = None,
    path: str | None = None,
    energy_s: float = 0.0,
    seed: int = 0,
    progress: Progress | None = None,
    on_point: OnPoint | None = None,
    on_resume: Callable[[int], None] | None = None,
    on_standing: OnStanding | None = None,
) -> Table:
    """Time every operator of a table.

    Parameters
    ----------
    table
        Shapes, as ``check_table(table, need_time=False)`` takes them.
        Columns of an earlier measurement are replaced. Where there is a column ``reuse_bytes``,
        weights of its rows are used again after so many bytes; an empty cell is from memory.
        ``reuse_s`` are the seconds that pass at least until then.
    backend
        What runs the operators: ``"native"``, the kernels of this package, one thread; ``"torch"``,
        PyTorch, eagerly, as its users run it; ``"cuda"``, the kernels of this package on an NVIDIA
        GPU. Or one that ``named`` made, with its options.
    budget_s
        Seconds that preparing and measuring take together. A shape is left alone earlier once the
        90 % interval of its median is within 1 %. The sample under way when time is up is finished.
    journal
        File for the raw samples. The same call with the same file resumes: settled shapes are not
        measured again, and the whole budget is for what remains.
    isa
        scalar, avx2, avx512 or neon; the best of this processor by default. Native only.
    cache
        ``"context"``: as an operator runs inside a network. ``"hot"``: the same buffers every call,
        native and cuda. ``"cold"``: caches flushed before every call, cuda only.
    layout
        Torch only: nchw, which is the default, or channels_last.
    threads
        Torch only: threads of an operator, 1 by default.
    on
        Torch only: cpu or cuda; cuda where PyTorch finds a GPU.
    path
        Cuda only: native or cupy, what runs the kernels; the first of them that is installed.
    energy_s
        NVIDIA GPUs only: seconds beyond the budget for the column ``energy_j``, about three a row;
        as many rows as that suffices for, short and long ones alike, have it, others NaN.
    seed
        Of the order of the samples.
    progress, on_point
        Called during the campaign.
    on_resume
        Called before it, where the journal has samples, with how many.
    on_standing
        Called right before `progress`, and as often without it, with counts of shapes and samples:
        ``shapes``, ``ready``, ``timed``, ``samples``, ``settled``.

    Returns
    -------
    Table
        The rows that got a sample: the shapes, ``time_s`` (median, s, at the pace that the machine
        mostly had, see docs/measuring.md), ``time_lo_s``, ``time_hi_s`` (its distribution-free
        interval of 90 %), ``samples``, ``steal_s``, ``clock_hz``, ``unstable`` (1 where the
        interval reaches beyond 5 %, or fewer than five samples count), ``backend``, ``device``,
        ``isa``, ``cache``; with torch also ``mode``, ``torch`` (version), ``on``, ``layout``,
        ``threads``, ``cuda_graph``, ``cudnn_benchmark``; with cuda also ``path``; ``energy_j``
        where asked for: the power drawn while the row's calls follow each other, times ``time_s``.
        A ``RuntimeWarning`` names rows that the budget did not reach, and each that the device
        refused when it was first run.

    Raises
    ------
    TableError
        The table is malformed, or the budget did not reach any row.
    UnsupportedError
        A backend, instruction set, layout or dtype that is not here.
    ShapeError
        A budget that is no positive number, or an option that the backend does not have.
    MissingExtraError
        PyTorch is not installed, or what the cuda backend needs.
    NoDeviceError, DriverError, BrokenContextError
        There is no GPU to work with; the message says what is missing.
    DeviceMemoryError
        A row needs more than the GPU has free.
    Error
        A row needs more memory than a campaign may take (1.5 GB on a processor).
    IoError, JournalError
        The journal cannot be used; the message says why.
    KeyboardInterrupt
        Again, after the samples are saved, saying how to resume.
    """
    runs = backend
    if isinstance(runs, str):
        runs = named(runs, isa=isa, cache=cache, layout=layout, threads=threads, on=on, path=path)
    if not (math.isfinite(energy_s) and energy_s >= 0):
        raise ShapeError(f"energy_s is {energy_s}; it must be a number of seconds, or 0 for none")
    if not (math.isfinite(budget_s) and budget_s > 0):
        raise ShapeError(f"budget_s is {budget_s}; it must be a positive number of seconds")
    shapes = shapes_of(table)
    _check_reuse(shapes, runs)
    about = {**runs.about(), "shapes": len(shapes)}
    here = shapes.dtype.names or ()
    columns = [n for n in (*_SHAPE_COLUMNS, "reuse_bytes", "reuse_s") if n in here]
    texts = [json.dumps([row[n].item() for n in columns]) for row in shapes]
    key = hashlib.sha256(json.dumps([about, texts]).encode()).hexdigest()
    book = nullcontext() if journal is None else Journal(journal, key, about, texts)
    with book as opened, runs.session(_is_of_training(shapes)) as session:
        meter = _meter_of(session) if energy_s > 0 else None  # while nothing runs yet
        run = _Campaign(
            shapes,
            session=session,
            by_mode=runs.by_mode,
            journal=opened,
            progress=progress,
            on_point=on_point,
            on_standing=on_standing,
        )
        if on_resume is not None and any(run.readings):
            on_resume(run.samples)
        try:
            run.go(budget_s, np.random.default_rng(seed))
        except KeyboardInterrupt:
            raise KeyboardInterrupt(run.interrupted()) from None
        finally:
            run.save()
        readings = at_one_pace(run.readings)
        energy_j = run.energy_j(readings, meter, energy_s) if meter else None
    if not any(run.readings):
        if run.refused:
            raise next(iter(run.refused.values()))
        raise TableError(
            f"table: the budget of {budget_s:g} s did not reach any of {len(shapes)} rows; "
            "give more time"
        )
    return measured_table(
        shapes,
        readings,
        runs.provenance(),
        by_mode=runs.by_mode,
        energy_j=energy_j,
        refused=run.refused,
    )


def _meter_of(session: Session) -> Joules:
    from alphaflops.measuring.energy import Joules, meter_of  # noqa: PLC0415

    return Joules(meter_of(session))


def _check_reuse(shapes: Table, runs: Backend) -> None:
    if "reuse_bytes" in (shapes.dtype.names or ()) and not runs.times_reuse:
        for row in np.flatnonzero(~np.isnan(shapes["reuse_bytes"])).tolist():
            raise UnsupportedError(
                f"table: row {row + 1}, column 'reuse_bytes': only the native backend, with cache "
                "context, times such rows; leave the cell empty"
            )


def _is_of_training(shapes: Table) -> bool:
    of_training = np.unique(shapes["training"] != 0).tolist()
    if len(of_training) > 1:
        raise TableError(
            "table: column 'training' mixes rows of inference and of training; measure each by "
            "itself"
        )
    return bool(of_training[0])


class _Campaign:
    """The samples taken so far, and how the next are chosen."""

    def __init__(
        self,
        shapes: Table,
        *,
        session: Session,
        by_mode: bool,
        journal: Journal | None,
        progress: Progress | None,
        on_point: OnPoint | None,
        on_standing: OnStanding | None,
    ) -> None:
        self._shapes, self._session, self._by_mode = shapes, session, by_mode
        self._journal, self._progress, self._on_point = journal, progress, on_point
        self._on_standing = on_standing
        self.readings: list[list[Reading]] = [[] for _ in shapes]
        if journal is not None:
            for shape, taken in journal.load().items():
                self.readings[shape] = taken
        self._settled = {i for i in range(len(shapes)) if self._is_settled(i)}
        self._benches: dict[int, Bench] = {}
        #: What went wrong with rows that the device did not run.
        self.refused: dict[int, Exception] = {}
        self._call_s: dict[int, float] = {}
        self._sample_s: dict[int, float] = {}  # wall time of a sample
        self._shown_at = self._committed_at = -math.inf

    @property
    def samples(self) -> int:
        """How many there are."""
        return sum(len(taken) for taken in self.readings)

    def go(self, budget_s: float, random: np.random.Generator) -> None:
        """Take samples until every shape is settled or time is up."""
        self._start, self._budget_s = time.monotonic(), budget_s
        self._show()
        self._prepare()
        while open_shapes := [i for i in self._benches if i not in self._settled]:
            # Until each has its first samples, no shape gets more of them than another.
            fewest = min(len(self.readings[i]) for i in open_shapes)
            if fewest < MIN_SAMPLES:
                open_shapes = [i for i in open_shapes if len(self.readings[i]) == fewest]
            taken = 0
            for i in random.permutation(open_shapes).tolist():
                if self._sample_s[i] <= self._left_s():
                    self._sample(i)
                    taken += 1
            if taken == 0:
                break
        self._show(force=True)

    def _left_s(self) -> float:
        return self._budget_s - (time.monotonic() - self._start)

    def _prepare(self) -> None:
        """Build and warm up a bench for every shape that is not settled, while time lasts."""
        graphs, passes = graphs_of(self._shapes), self._shapes["pass"].tolist()
        reuse = self._reuse()
        waiting = [i for i in range(len(self._shapes)) if i not in self._settled]
        # All are built before any is run: a shape that cannot be is an error before time is spent.
        benches = {}
        for i in waiting:
            try:
                benches[i] = self._session.bench(graphs[i], passes[i], reuse[i])
            except Error as error:
                raise type(error)(f"table: row {i + 1}: {error}") from error
        # From the shortest on, until those at hand need what time is left for their first samples.
        effort = self._effort()
        need_s, seconds_an_effort = 0.0, 0.0
        for i in sorted(waiting, key=lambda i: effort[i]):
            expected_s = effort[i] * seconds_an_effort
            if need_s + (1 + MIN_SAMPLES) * expected_s > self._left_s():
                break
            try:
                call_s = benches[i].warm_up()
            except BrokenContextError:
                raise
            except (Error, RuntimeError, MemoryError) as error:  # PyTorch's: of the second
                self.refused[i] = error
                continue
            self._benches[i], self._call_s[i] = benches[i], call_s
            calls = self._session.iterations_for(call_s)
            self._sample_s[i] = calls * (call_s + self._session.between_s)
            seconds_an_effort = call_s / effort[i]
            need_s += max(0, MIN_SAMPLES - len(self.readings[i])) * self._sample_s[i]
            self._show()

    def _reuse(self) -> list[Reuse | None]:
        names = self._shapes.dtype.names or ()
        if "reuse_bytes" not in names:
            return [None] * len(self._shapes)
        given = self._shapes["reuse_bytes"]
        seconds = self._shapes["reuse_s"] if "reuse_s" in names else np.zeros(len(given))
        return [
            None if math.isnan(each) else Reuse(int(min(each, _MOST_BYTES)), after)
            for each, after in zip(given.tolist(), np.nan_to_num(seconds).tolist(), strict=True)
        ]

    def energy_j(
        self, readings: Sequence[Sequence[Reading]], meter: Joules, seconds: float
    ) -> npt.NDArray[np.float64]:
        """Return joules of each shape, NaN of those that were not measured."""
        reached = [i for i, taken in enumerate(readings) if taken]
        times = [summarise(readings[i], by_mode=self._by_mode).time_s for i in reached]
        graphs = graphs_of(self._shapes)
        joules = np.full(len(readings), np.nan)
        joules[reached] = meter.of_rows(
            self._session.bench, [graphs[i] for i in reached], np.array(times), seconds
        )
        return joules

    def _effort(self) -> npt.NDArray[np.float64]:
        """Return about how long each shape takes, in a unit that is the same for all."""
        work = work_table(self._shapes)
        elements = work.activations_read + work.weights_read + work.elements_written
        calls = np.where(launches(work), 0, work.steps)
        return np.asarray(work.macs + 8.0 * elements + 1000.0 * calls, np.float64)

    def _sample(self, i: int) -> None:
        sample = self._benches[i].sample(self._session.iterations_for(self._call_s[i]))
        reading = Reading.of(sample, time.time())
        self.readings[i].append(reading)
        self._sample_s[i] = sample.wall_s
        self._call_s[i] = sample.time_s
        if self._journal is not None:
            self._journal.add(i, reading)
            if time.monotonic() - self._committed_at >= _COMMIT_S:
                self.save()
        if len(self.readings[i]) >= MIN_SAMPLES:
            summary = summarise(self.readings[i], by_mode=self._by_mode)
            if summary.is_settled:
                self._settled.add(i)
            if self._on_point is not None:
                self._on_point(i, summary)
        self._show()

    def _is_settled(self, i: int) -> bool:
        taken = self.readings[i]
        return len(taken) >= MIN_SAMPLES and summarise(taken, by_mode=self._by_mode).is_settled

    def save(self) -> None:
        """Commit the samples taken since the last time."""
        if self._journal is not None:
            self._journal.commit()
            self._committed_at = time.monotonic()

    def interrupted(self) -> str:
        """Say what an interrupted campaign has, and how to go on."""
        if self._journal is None:
            return f"interrupted; {self.samples} samples are lost, give a journal to keep them"
        path = self._journal.path
        return f"interrupted; {self.samples} samples are in {path}: run the same again to resume"

    def _show(self, force: bool = False) -> None:
        now = time.monotonic()
        if now - self._shown_at < _PROGRESS_S and not force:
            return
        self._shown_at = now
        done, total = len(self._settled), len(self._shapes)
        if self._on_standing is not None:
            ready = len(self._settled | self._benches.keys())
            timed = sum(map(bool, self.readings))
            self._on_standing(Standing(total, ready, timed, self.samples, done))
        if self._progress is not None:
            self._progress(done, total, now - self._start, max(0.0, self._left_s()))
