"""The samples of a bench as they come in: in memory and, where there is one, in a journal."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from alphaflops.measuring.job import Job
from alphaflops.measuring.journal import Journal
from alphaflops.measuring.points import as_row
from alphaflops.measuring.readings import Reading
from alphaflops.measuring.sampler import CACHES, Batch, Point

__all__ = ["Ledger"]


class Ledger:
    """What all processes of a bench have said so far.

    Parameters
    ----------
    job, processes
        What the bench is. With a journal of the same, its samples are there from the start.
    about
        What else the samples of one bench agree in (device, settings), for the journal.
    path
        The journal; None for memory alone.
    """

    def __init__(
        self, job: Job, processes: int, about: Mapping[str, object], path: Path | None
    ) -> None:
        tasks = job.tasks
        self.algorithms = list(job.algorithms)
        self.control_flops = self.control_hz = 0.0
        self.done: set[int] = set()  # processes that came to their end
        self.seed = job.seed
        self._taken: list[dict[Point, list[Reading]]] = [{} for _ in range(processes)]
        self._points = len(tasks) * len(CACHES)
        self._journal: Journal | None = None
        if path is not None:
            texts = [
                json.dumps([asdict(task.case), task.threads, cache, process])
                for process in range(processes)
                for task in tasks
                for cache in CACHES
            ]
            about = {**about, "shapes": len(job.cases)}
            key = hashlib.sha256(json.dumps([about, texts, job.algorithms]).encode()).hexdigest()
            self._journal = Journal(path, key, about, texts)
            try:
                self._resume(self._journal)
            except BaseException:
                self._journal.close()
                raise

    def _resume(self, journal: Journal) -> None:
        for place, readings in journal.load().items():
            process, rest = divmod(place, self._points)
            self._taken[process][divmod(rest, len(CACHES))] = readings
        if "state" in (notes := journal.notes()):
            state = json.loads(notes["state"])
            self.algorithms, self.done = state["algorithms"], set(state["done"])
            self.control_flops, self.control_hz = state["controls"]
            self.seed = state["seed"]

    @property
    def samples(self) -> int:
        """How many there are."""
        return sum(len(own) for taken in self._taken for own in taken.values())

    @property
    def where(self) -> Path | None:
        """The journal's path."""
        return None if self._journal is None else self._journal.path

    def readings(self, process: int) -> dict[Point, list[Reading]]:
        """Return what a process has taken."""
        return self._taken[process]

    def rows(self, task: int, cache: str) -> list[list[Any]]:
        """Return the samples of a point, of all processes, as JSON keeps them."""
        point = (task, CACHES.index(cache))
        return [as_row(r, k) for k, taken in enumerate(self._taken) for r in taken.get(point, ())]

    def record(self, process: int, batch: Batch) -> None:
        """Take a batch in, and commit it."""
        for task, name in batch.algorithms.items():
            self.algorithms[task] = name
        self.control_flops = max(self.control_flops, batch.control_flops)
        self.control_hz = max(self.control_hz, batch.control_hz)
        for (task, cache), reading in batch.samples:
            self._taken[process].setdefault((task, cache), []).append(reading)
            if self._journal is not None:
                place = process * self._points + task * len(CACHES) + cache
                self._journal.add(place, reading)
        self._commit()

    def end(self, process: int) -> None:
        """Note that a process came to its end: it is not run again."""
        self.done.add(process)
        self._commit()

    def _commit(self) -> None:
        if self._journal is None:
            return
        state = {
            "algorithms": self.algorithms,
            "controls": [self.control_flops, self.control_hz],
            "done": sorted(self.done),
            "seed": self.seed,
        }
        self._journal.note("state", json.dumps(state))
        self._journal.commit()

    def kept(self) -> str:
        """Say what a bench that was cut short has, and how to go on."""
        if self._journal is None:
            return f"{self.samples} samples were taken; with a journal (-o FILE) it can be resumed"
        return f"{self.samples} samples are in {self.where}: run the same again to resume"

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._journal is not None:
            self._journal.close()
