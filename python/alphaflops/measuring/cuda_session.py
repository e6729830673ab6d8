"""Timing kernels on a GPU, one operator at a time, as a network meets them or otherwise."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

from alphaflops._core import Graph
from alphaflops._cuda_plan import Plan, probe_plans
from alphaflops.cuda.driver import Addresses, Driver, Program
from alphaflops.cuda.nvml import Watch
from alphaflops.measuring.backends import Bench, Network
from alphaflops.measuring.cuda_pool import Pool, aligned
from alphaflops.measuring.cuda_steps import Step, steps_of, tensor_bytes
from alphaflops.measuring.readings import Sample

__all__ = ["CACHES", "CudaSample", "CudaSession"]

#: context: the caches are flushed and then the input written, as the operator before would have.
#: cold: flushed. hot: the same buffers again and again.
CACHES = ("context", "cold", "hot")

_LEAST_SAMPLE_S = 1e-3
_MOST_CALLS = 50  # of a sample that flushes between them
_TRIAL_S = 2e-3  # of a plan, when the fastest is looked for
_MOST_TRIED = 24  # plans
_HOPELESS = 4.0  # times the fastest: what takes so long once is not asked again
_AGAIN = 3  # times that a throttled sample is taken anew
_PAUSE_S = 0.2  # for the device to cool down, before it is


@dataclass(frozen=True)
class CudaSample:
    """A reading, as ``Sample`` has it; what throttling disturbed counts as a switch."""

    time_s: float
    iterations: int
    wall_s: float
    switches: int
    clock_hz: float
    steal_s: float = 0.0
    reorder_s: float = 0.0


class CudaSession:
    """A GPU at work.

    Parameters
    ----------
    driver
        The way to it.
    watch
        Of its clocks.
    cache
        One of ``CACHES``.
    """

    def __init__(
        self,
        driver: Driver,
        watch: Watch,
        cache: str,
        *,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.driver, self.watch, self.cache, self._sleep = driver, watch, cache, sleep
        self.pool = Pool(driver)
        self.target = driver.info().target
        self.thrown_away = self.kept_throttled = 0
        self.throttled_by: set[str] = set()
        self._best: dict[str, int] = {}
        flush = 2 * driver.info().l2_bytes
        self._flush_plans = [] if cache == "hot" else probe_plans("flush", self.target, flush)
        self.pool.need("flush", flush if self._flush_plans else 0)
        self.between_s = 0.0
        if self._flush_plans:
            before = self.before(None, 0)
            self.between_s = 2 * driver.hot(before, 3)

    def before(self, source: int | None, size: int) -> list[Program]:
        """Return what runs before a timed call: the flush, and the input's being written.

        `source` is where the input of `size` bytes lies, and it is written over with itself.
        """
        programs = []
        if self._flush_plans:
            flush = self._flush_plans[0]
            programs.append(
                self.driver.program([(flush, {"workspace": self.pool.address("flush")})])
            )
        if self.cache == "context" and source is not None:
            copies = probe_plans("copy", self.target, size)
            if copies:
                addresses = {"input": source, "output": source}
                programs.append(self.driver.program([(copies[0], addresses)]))
        return programs

    def bench(self, graph: Graph, pass_: str = "forward") -> Bench:
        """Make a graph's one operator ready."""
        return _CudaBench(self, graph)

    def network(self, graph: Graph, seed: int) -> Network:
        """Make a network ready, as one CUDA graph."""
        from alphaflops.measuring.cuda_network import CudaNetwork  # noqa: PLC0415

        return CudaNetwork(self, graph, seed)

    def iterations_for(self, call_s: float) -> int:
        """So many that a sample is long beside the steps of the device's clock."""
        calls = max(1, math.ceil(_LEAST_SAMPLE_S / call_s))
        return calls if self.cache == "hot" else min(calls, _MOST_CALLS)

    def best_plan(self, step: Step, addresses: Addresses) -> Plan:
        """Return the fastest plan of a step: each is timed the first time that it is asked for."""
        if len(step.plans) == 1:
            return step.plans[0]
        if step.key not in self._best:
            times: list[float] = []
            for plan in step.plans[:_MOST_TRIED]:
                program = [self.driver.program([(plan, addresses)])]
                once_s = max(self.driver.hot(program, 1), 1e-7)
                if times and once_s > _HOPELESS * min(times):
                    times.append(once_s)
                    continue
                calls = max(1, min(20, round(_TRIAL_S / once_s)))
                times.append(self.driver.hot(program, calls))
            self._best[step.key] = times.index(min(times))
        return step.plans[self._best[step.key]]

    def timed(self, take: Callable[[], float], iterations: int) -> Sample:
        """Take a sample, anew where the device was throttled meanwhile."""
        start = time.perf_counter()
        for attempt in range(_AGAIN + 1):
            before = self.watch.read()
            time_s = take()
            after = self.watch.read()
            reasons = {*before.throttled_by, *after.throttled_by}
            if not reasons:
                break
            self.throttled_by |= reasons
            if attempt < _AGAIN:
                self.thrown_away += 1
                self._sleep(_PAUSE_S)
            else:
                self.kept_throttled += 1
        return CudaSample(
            time_s=max(time_s, 1e-9),
            iterations=iterations,
            wall_s=time.perf_counter() - start,
            switches=len(reasons),
            clock_hz=after.clock_hz,
        )

    def say_what_was_thrown_away(self) -> None:
        """Warn of samples that throttling made worthless."""
        if self.thrown_away or self.kept_throttled:
            warnings.warn(
                f"the GPU was throttled ({', '.join(sorted(self.throttled_by))}): "
                f"{self.thrown_away} samples were thrown away and taken again"
                + (
                    f", and {self.kept_throttled} stayed throttled, which count only where no "
                    "others do"
                    if self.kept_throttled
                    else ""
                )
                + "; let the device cool down, or lower its clock",
                RuntimeWarning,
                stacklevel=2,
            )


class _CudaBench:
    """One operator; its memory is the session's, at the start of each block."""

    def __init__(self, session: CudaSession, graph: Graph) -> None:
        self._session = session
        self._steps = steps_of(graph, session.target)
        self._sizes = {node: tensor_bytes(graph, node) for node in range(len(graph))}
        self._dtype = graph.dtype
        self._generation = -1
        self._place()

    def _place(self) -> None:
        """Find a place within the blocks for every tensor."""
        read = {tensor for step in self._steps for tensor in step.inputs.values()}
        written = {step.output for step in self._steps}
        self._offsets: dict[tuple[str, int | str], int] = {}
        self._inputs = sorted(read - written)
        ends = {"source": 0, "sink": 0}

        def place(block: str, what: int | str, size: int) -> None:
            self._offsets[block, what] = ends[block]
            ends[block] += aligned(size)

        for tensor in self._inputs:
            place("source", tensor, self._sizes[tensor])
        for number, step in enumerate(self._steps):
            for buffer, size in step.parameters.items():
                place("source", f"{number} {buffer}", size)
        for tensor in sorted(written):
            place("sink", tensor, self._sizes[tensor])
        workspace = max(p.workspace_bytes for step in self._steps for p in step.plans)
        pool = self._session.pool
        pool.need(self._dtype, ends["source"])
        pool.need("sink", ends["sink"])
        pool.need("workspace", workspace)

    def _addresses(self, number: int, step: Step) -> Addresses:
        pool = self._session.pool
        source, sink = pool.address(self._dtype), pool.address("sink")

        def tensor(each: int) -> int:
            if ("sink", each) in self._offsets:
                return sink + self._offsets["sink", each]
            return source + self._offsets["source", each]

        return {
            **{buffer: tensor(each) for buffer, each in step.inputs.items()},
            **{
                buffer: source + self._offsets["source", f"{number} {buffer}"]
                for buffer in step.parameters
            },
            "output": tensor(step.output),
            "workspace": pool.address("workspace"),
        }

    def _ready(self) -> None:
        """Make programs, again where the pool has moved."""
        session = self._session
        addresses = [self._addresses(i, step) for i, step in enumerate(self._steps)]
        if self._generation == session.pool.generation:
            return
        plans = [
            session.best_plan(step, each) for step, each in zip(self._steps, addresses, strict=True)
        ]
        self._program = session.driver.program(list(zip(plans, addresses, strict=True)))
        first = self._inputs[0]
        at = session.pool.address(self._dtype) + self._offsets["source", first]
        self._before = session.before(at, self._sizes[first])
        self._generation = session.pool.generation
        #: What was found fastest, of each launch.
        self.chosen = [f"{plan.algorithm} {plan.tile}".strip() for plan in plans]

    def _call_s(self, calls: int) -> float:
        driver = self._session.driver
        if not self._before:
            return driver.hot([self._program], calls)
        times_s = sorted(driver.cold([self._program], self._before, calls))
        return (times_s[(calls - 1) // 2] + times_s[calls // 2]) / 2

    def warm_up(self) -> float:
        """Find the fastest plan and call it a few times; return about what one call takes."""
        self._ready()
        self._call_s(1)
        return max(self._call_s(3), 1e-7)

    def sample(self, iterations: int) -> Sample:
        """Time so many calls: their median, or their mean where nothing runs between them."""
        self._ready()
        return self._session.timed(lambda: self._call_s(iterations), iterations)
