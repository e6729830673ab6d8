"""The loop that takes the samples of a bench, in this process or in one of its own.

A bench with several processes runs `python -m alphaflops.measuring.sampler` for each: the job comes
as JSON on stdin, the samples go as JSON to stdout.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from alphaflops import _core
from alphaflops.errors import Error, UnsupportedError
from alphaflops.measuring.cases import Case
from alphaflops.measuring.device import pinned
from alphaflops.measuring.points import as_row, is_settled, reading_of
from alphaflops.measuring.readings import Reading

__all__ = ["CACHES", "Job", "Samples", "Tick", "take", "take_apart"]

CACHES = ("hot", "cold")
#: ``(settled points, points, seconds so far, seconds left)``
Tick = Callable[[int, int, float, float], None]

_SAMPLE_S = 150e-6
_MOST_COLD = 8
_CONTROL_S = 30e-6
_TICK_S = 0.2


@dataclass
class Job:
    """What one process is to time."""

    cases: list[Case]
    algorithm: str = "auto"
    isas: dict[str, str] = field(default_factory=dict)  # by dtype
    threads: int = 1
    seed: int = 0
    budget_s: float = 10.0
    delay: float = 0.0
    limit_bytes: int = 0

    def benches(self, workbench: _core.ConvWorkbench) -> list[_core.ConvBench]:
        """Build one bench a case; a case that cannot be is an error that names it."""
        built = []
        for case in self.cases:
            try:
                built.append(
                    _core.ConvBench(
                        case.shape, workbench, case.dtype, self.isas[case.dtype], self.algorithm
                    )
                )
            except Error as error:
                raise type(error)(f"{case.name} ({case.label}): {error}") from error
        return built


@dataclass
class Samples:
    """Samples of every case, hot and cold; empty where the budget did not reach."""

    rows: list[dict[str, list[list[Any]]]]
    algorithms: list[str]
    memory_bytes: list[int]
    compulsory_bytes: list[int]
    control_flops: float  # the best of short probes between the samples: did the machine drift?
    control_hz: float


def take(job: Job, process: int = 0, tick: Tick | None = None) -> Samples:
    """Time every case in rounds of random order until all are settled or time is up."""
    start = time.monotonic()
    with pinned() if job.threads == 1 else nullcontext():
        workbench = _core.ConvWorkbench(job.threads, job.seed, job.limit_bytes)
        run = _Run(job, job.benches(workbench), start, tick)
        run.prepare()
        run.go(np.random.default_rng(job.seed))
    rows = [
        {c: [as_row(r, process) for r in run.readings.get((i, c), [])] for c in CACHES}
        for i in range(len(job.cases))
    ]
    return Samples(
        rows,
        [b.algorithm for b in run.benches],
        [b.memory_bytes for b in run.benches],
        [b.compulsory_bytes for b in run.benches],
        run.control_flops,
        run.control_hz,
    )


class _Run:
    def __init__(
        self, job: Job, benches: list[_core.ConvBench], start: float, tick: Tick | None
    ) -> None:
        self._job, self.benches, self._start, self._tick = job, benches, start, tick
        self.readings: dict[tuple[int, str], list[Reading]] = {}
        self._iterations: dict[tuple[int, str], int] = {}
        self._cost_s: dict[tuple[int, str], float] = {}
        self._settled: set[tuple[int, str]] = set()
        self.control_flops = self.control_hz = 0.0
        self._ticked_at = -math.inf

    def _left_s(self) -> float:
        return self._job.budget_s - (time.monotonic() - self._start)

    def prepare(self) -> None:
        """Warm up from the least work on, while time is left for a sample of each at hand."""
        macs = [_core.conv_macs(case.shape)[0] for case in self._job.cases]
        need_s, seconds_a_mac = 0.0, 0.0
        for i in sorted(range(len(macs)), key=lambda i: macs[i]):
            # A warm-up takes up to four calls, the first samples three.
            if need_s + 5 * macs[i] * seconds_a_mac > self._left_s():
                break
            call_s = self.benches[i].warm_up()
            seconds_a_mac = call_s / macs[i]
            for cache in CACHES:
                most = 100_000 if cache == "hot" else _MOST_COLD
                n = min(most, math.ceil(_SAMPLE_S / max(call_s, 1e-9)))
                self._iterations[i, cache] = n
                self._cost_s[i, cache] = (n + 1) * call_s + 300e-6
                need_s += self._cost_s[i, cache]

    def go(self, random: np.random.Generator) -> None:
        """Sample: every point once, then again those that are not settled."""
        first = True
        while points := [p for p in self._iterations if p not in self._settled]:
            taken = 0
            for at in random.permutation(len(points)).tolist():
                if self._cost_s[points[at]] <= self._left_s() or (first and self._left_s() > 0):
                    self._sample(*points[at])
                    taken += 1
            first = False
            if taken == 0:
                break

    def _sample(self, i: int, cache: str) -> None:
        point = (i, cache)
        before = time.monotonic()
        sample = self.benches[i].sample(self._iterations[point], cache == "cold", self._job.delay)
        if not math.isfinite(self.benches[i].checksum):
            raise Error(f"{self._job.cases[i].name}: its outputs are not finite")
        self._cost_s[point] = time.monotonic() - before
        taken = self.readings.setdefault(point, [])
        taken.append(Reading.of(sample, time.time()))
        self.control_hz = max(self.control_hz, sample.clock_hz)
        self.control_flops = max(self.control_flops, _core.probe_rate("fp32", "", 1, _CONTROL_S))
        if is_settled(taken):
            self._settled.add(point)
        now = time.monotonic()
        if self._tick is not None and now - self._ticked_at > _TICK_S:
            self._ticked_at = now
            done, total = len(self._settled), len(self._iterations)
            self._tick(done, total, now - self._start, max(0.0, self._left_s()))


def take_apart(job: Job, process: int) -> Samples:
    """Do what `take` does in a new process, which gets other memory."""
    command = [sys.executable, "-m", "alphaflops.measuring.sampler", str(process)]
    done = subprocess.run(
        command, input=json.dumps(asdict(job)), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise UnsupportedError(f"bench process {process}: {lines[-1]}")
    return Samples(**json.loads(done.stdout))


def readings_of(rows: list[list[Any]]) -> list[Reading]:
    """Take back the samples of a point."""
    return [reading_of(row) for row in rows]


def _main() -> None:
    fields = json.load(sys.stdin)
    fields["cases"] = [Case(**case) for case in fields["cases"]]
    json.dump(asdict(take(Job(**fields), int(sys.argv[1]))), sys.stdout)


if __name__ == "__main__":
    _main()
