"""The loop that takes the samples of a bench, in this process or in one of its own.

A bench with several processes runs `python -m alphaflops.measuring.sampler` for each: what to do
comes as JSON on stdin, batches of samples go to stdout as they are taken, one JSON object a line.
"""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, astuple, dataclass, field
from typing import IO, Any

import numpy as np

from alphaflops import _core
from alphaflops.errors import Error
from alphaflops.measuring.cases import Case
from alphaflops.measuring.device import pinned
from alphaflops.measuring.job import Job
from alphaflops.measuring.points import is_settled
from alphaflops.measuring.readings import Reading

__all__ = ["CACHES", "Batch", "Point", "Record", "take", "take_apart"]

CACHES = ("hot", "cold")
#: A task of the job and an index into CACHES.
Point = tuple[int, int]

_SAMPLE_S = 150e-6
_MOST_COLD = 8
_CONTROL_S = 30e-6
_BATCH_S = 0.25
# What choosing an algorithm takes: so long, or so many calls where they are long.
_CHOICE_S, _CHOICE_CALLS = 0.025, 12
_DRAIN_S = 5.0


@dataclass
class Batch:
    """What a process has to say, a few times a second."""

    samples: list[tuple[Point, Reading]] = field(default_factory=list)
    algorithms: dict[int, str] = field(default_factory=dict)  # chosen, by task
    # The best of short probes between the samples: did the machine drift?
    control_flops: float = 0.0
    control_hz: float = 0.0
    settled: int = 0  # points so far, ...
    points: int = 0  # ... of so many

    def to_json(self) -> str:
        """Return one line."""
        samples = [[*point, *astuple(reading)] for point, reading in self.samples]
        return json.dumps({**vars(self), "samples": samples})

    @classmethod
    def from_json(cls, line: str) -> Batch:
        """Take back a line of `to_json`."""
        batch = cls(**json.loads(line))
        rows: list[list[Any]] = batch.samples  # type: ignore[assignment]
        batch.samples = [((row[0], row[1]), Reading(*row[2:])) for row in rows]
        batch.algorithms = {int(task): name for task, name in batch.algorithms.items()}
        return batch


Record = Callable[[Batch], None]


def take(job: Job, record: Record, before: dict[Point, list[Reading]] | None = None) -> None:
    """Time every task in rounds of random order until all are settled or time is up.

    `record` gets what was taken, between two samples, and the rest at the end, however that comes
    about. `before`: readings that an earlier attempt took.
    """
    start = time.monotonic()
    with pinned() if max(job.threads) == 1 else nullcontext():
        workbench = job.workbench()
        run = _Run(job, job.benches(workbench), start, record, before or {})
        try:
            run.prepare()
            run.go(np.random.default_rng(job.seed))
        finally:
            run.report()


class _Run:
    def __init__(
        self,
        job: Job,
        benches: list[_core.ConvBench],
        start: float,
        record: Record,
        before: dict[Point, list[Reading]],
    ) -> None:
        self._job, self._benches, self._start, self._record = job, benches, start, record
        self._readings = {point: list(taken) for point, taken in before.items()}
        self._iterations: dict[Point, int] = {}
        self._cost_s: dict[Point, float] = {}
        self._settled = {point for point, taken in self._readings.items() if is_settled(taken)}
        self._batch, self._reported_at = Batch(), time.monotonic()

    def _left_s(self) -> float:
        return self._job.budget_s - (time.monotonic() - self._start)

    def prepare(self) -> None:
        """Warm up from the least work on, while time is left for a sample of each at hand."""
        macs = [_core.conv_macs(task.case.shape)[0] for task in self._job.tasks]
        need_s, seconds_a_mac = 0.0, 0.0
        for i in sorted(range(len(macs)), key=lambda i: macs[i]):
            points = [(i, c) for c in range(len(CACHES))]
            if self._settled.issuperset(points):
                continue
            chooses = self._benches[i].algorithm == "auto"
            # A warm-up takes up to four calls, the first samples three.
            expected_s = (5 + _CHOICE_CALLS * chooses) * macs[i] * seconds_a_mac
            if need_s + expected_s + _CHOICE_S * chooses > self._left_s():
                break
            call_s = self._benches[i].warm_up()
            if chooses:
                self._batch.algorithms[i] = self._benches[i].algorithm
            seconds_a_mac = call_s / macs[i]
            for point in points:
                most = 100_000 if CACHES[point[1]] == "hot" else _MOST_COLD
                n = min(most, math.ceil(_SAMPLE_S / max(call_s, 1e-9)))
                self._iterations[point] = n
                self._cost_s[point] = (n + 1) * call_s + 300e-6
                need_s += self._cost_s[point]
            self._report_now_and_then()

    def go(self, random: np.random.Generator) -> None:
        """Sample: every point once, then again those that are not settled."""
        first = True
        while points := [p for p in self._iterations if p not in self._settled]:
            taken = 0
            for at in random.permutation(len(points)).tolist():
                if self._cost_s[points[at]] <= self._left_s() or (first and self._left_s() > 0):
                    self._sample(points[at])
                    taken += 1
            first = False
            if taken == 0:
                break

    def _sample(self, point: Point) -> None:
        bench, cold = self._benches[point[0]], CACHES[point[1]] == "cold"
        before = time.monotonic()
        sample = bench.sample(self._iterations[point], cold, self._job.delay)
        if not math.isfinite(bench.checksum):
            raise Error(f"{self._job.tasks[point[0]].case.name}: its outputs are not finite")
        self._cost_s[point] = time.monotonic() - before
        reading = Reading.of(sample, time.time())
        taken = self._readings.setdefault(point, [])
        taken.append(reading)
        if is_settled(taken):
            self._settled.add(point)
        batch = self._batch
        batch.samples.append((point, reading))
        batch.control_hz = max(batch.control_hz, sample.clock_hz)
        batch.control_flops = max(batch.control_flops, _core.probe_rate("fp32", "", 1, _CONTROL_S))
        self._report_now_and_then()

    def _report_now_and_then(self) -> None:
        if time.monotonic() - self._reported_at > _BATCH_S:
            self.report()

    def report(self) -> None:
        """Hand over what was taken since the last time."""
        batch, self._batch = self._batch, Batch()
        self._reported_at = time.monotonic()
        batch.settled = len(self._settled)
        batch.points = len(self._settled | self._iterations.keys())
        self._record(batch)


def take_apart(
    job: Job, process: int, record: Record, before: dict[Point, list[Reading]] | None = None
) -> None:
    """Do what `take` does in a new process, which gets other memory.

    Raises
    ------
    Error
        The process failed, or was killed; what it had handed over is recorded.
    """
    rows = [[*p, *astuple(r)] for p, taken in (before or {}).items() for r in taken]
    with tempfile.TemporaryFile("w+") as errors:
        child = subprocess.Popen(
            [sys.executable, "-m", "alphaflops.measuring.sampler"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,  # Ctrl-C is ours to pass on, once
        )
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            try:
                json.dump({"job": asdict(job), "before": rows}, child.stdin)
                child.stdin.close()
            except BrokenPipeError:
                pass  # it says why on stderr
            for line in child.stdout:
                _hand_over(line, record)
        except KeyboardInterrupt:
            child.send_signal(signal.SIGINT)
            _drain(child.stdout, record, child.kill)
            raise
        finally:
            child.kill()
            status = child.wait()
            child.stdout.close()
        if status != 0:
            raise Error(f"bench process {process + 1}: {_last_words(errors, status)}")


def _hand_over(line: str, record: Record) -> None:
    if line.endswith("\n"):  # else the process died while it wrote
        record(Batch.from_json(line))


def _drain(lines: Iterable[str], record: Record, kill: Callable[[], None]) -> None:
    """Take in what a process still says, for some seconds."""
    timer = threading.Timer(_DRAIN_S, kill)
    timer.start()
    try:
        for line in lines:
            _hand_over(line, record)
    finally:
        timer.cancel()


def _last_words(errors: IO[str], status: int) -> str:
    errors.seek(0)
    lines = errors.read().strip().splitlines()
    if lines:
        kind, _, message = lines[-1].partition(": ")
        return message if kind.startswith("alphaflops.") else lines[-1]
    return f"ended by signal {-status}" if status < 0 else f"exit status {status}"


def _before_of(rows: Sequence[Sequence[Any]]) -> dict[Point, list[Reading]]:
    before: dict[Point, list[Reading]] = {}
    for row in rows:
        before.setdefault((row[0], row[1]), []).append(Reading(*row[2:]))
    return before


def _main() -> None:
    todo = json.load(sys.stdin)
    job = Job(**todo["job"])
    job.cases = [Case(**case) for case in todo["job"]["cases"]]
    try:
        take(job, lambda batch: print(batch.to_json(), flush=True), _before_of(todo["before"]))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    _main()
