"""Timing kernels on a GPU, one operator at a time, as a network meets them or otherwise."""

from __future__ import annotations

import math
import statistics
import time
import warnings
from collections.abc import Callable, Sequence

from alphaflops._core import Graph
from alphaflops._cuda_plan import Plan, probe_plans
from alphaflops.calls import refuse
from alphaflops.cuda.driver import Addresses, Driver, Program
from alphaflops.cuda.nvml import Watch
from alphaflops.cuda.without import usable
from alphaflops.errors import BrokenContextError, DeviceError, UnsupportedError
from alphaflops.measuring.backends import Bench, Network, Reuse
from alphaflops.measuring.cuda_pool import Pool, aligned
from alphaflops.measuring.cuda_steps import Step, bytes_of, steps_of
from alphaflops.measuring.readings import Sample
from alphaflops.measuring.throttling import Throttling

__all__ = ["CACHES", "CudaSession"]

#: context: the caches are flushed and then the input written, as the operator before would have.
#: cold: flushed. hot: the same buffers again and again.
CACHES = ("context", "cold", "hot")

_LEAST_SAMPLE_S = 1e-3
_MOST_ENQUEUED = 100  # launches of a call that is no graph
_MOST_CAPTURED = 2 * _MOST_ENQUEUED  # of a graph of many calls, of which none is a graph by itself
_SHORTEST_S = 1e-7  # call that there can be
_MOST_CALLS = 50  # of a sample that flushes between them
_TRIAL_S = 2e-3  # of a plan, when the fastest is looked for
_MOST_TRIED = 24  # plans
_AWAKE_S = 0.2  # of work, upon which the clock is up
_MOST_AWAKE = 5000  # flushes
_ROUNDS = 5  # of what two events cost
_IN_A_ROW = 200  # empty calls
_HOPELESS = 4.0  # times the fastest: what takes so long once is not asked again
#: Whose inputs were all written just before, not the first of them alone.
_READS_FRESH = {"attention", "matmul"}


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
        self.driver, self.cache = driver, cache
        self.throttling = Throttling(watch, sleep)
        self.pool = Pool(driver)
        self.target = driver.info().target
        self._best: dict[str, int] = {}
        flush = 2 * driver.info().l2_bytes
        self._flush_plans = [] if cache == "hot" else probe_plans("flush", self.target, flush)
        self.pool.need("flush", flush if self._flush_plans else 0)
        self.between_s = self.around_s = 0.0
        if self._flush_plans:
            before = self.before(None, 0)
            self.between_s = 2 * driver.hot(before, 3)
            self.around_s = self._around_s(before)

    def _around_s(self, before: list[Program]) -> float:
        """Measure what two events add to the call between them: an empty call, less one in a row.

        In a network nothing stands between a call and the next.
        """
        plans = probe_plans("empty", self.target)
        if not plans:
            return 0.0
        empty = [self.driver.program([(plans[0], {})])]
        self.driver.hot(before, min(_MOST_AWAKE, math.ceil(2 * _AWAKE_S / self.between_s)))
        alone_s = in_a_row_s = math.inf
        for _ in range(_ROUNDS):
            taken_s = statistics.median(self.driver.cold(empty, before, _MOST_CALLS))
            alone_s = min(alone_s, taken_s)
            in_a_row_s = min(in_a_row_s, self.driver.hot(empty, _IN_A_ROW))
        return max(0.0, alone_s - in_a_row_s)

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

    def program(self, work: Sequence[tuple[Plan, Addresses]]) -> Program:
        """Make launches ready: as a CUDA graph where they are many, as in a network."""
        program = self.driver.program(work)
        if len(program) <= _MOST_ENQUEUED:
            return program
        return self.driver.captured([program])

    def bench(self, graph: Graph, pass_: str = "forward", reuse: Reuse | None = None) -> Bench:
        """Make a graph's one operator ready."""
        refuse(graph)
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
        """Return the fastest plan of a step: each is timed the first time that it is asked for.

        Raises
        ------
        UnsupportedError
            All of them are left out by name.
        DeviceError
            The device refuses all of them; a warning names one that it refuses.
        """
        plans = usable(step.plans)[:_MOST_TRIED]
        if not plans:
            raise UnsupportedError(f"{step.name}: every plan is in ALPHAFLOPS_CUDA_WITHOUT")
        if step.key not in self._best and len(plans) > 1:
            times: list[float] = []
            for plan in plans:
                try:
                    times.append(self._trial_s(plan, addresses, min(times, default=math.inf)))
                except BrokenContextError:
                    raise
                except DeviceError as error:
                    if plan is plans[-1] and min(times) == math.inf:
                        raise
                    warnings.warn(
                        f"{plan.algorithm} {plan.tile} is left out: {error}",
                        RuntimeWarning,
                        stacklevel=2,
                    )
                    times.append(math.inf)
            self._best[step.key] = times.index(min(times))
        return plans[self._best.get(step.key, 0)]

    def _trial_s(self, plan: Plan, addresses: Addresses, least_s: float) -> float:
        """Seconds a call; of a single one where that takes many times `least_s`."""
        program = [self.program([(plan, addresses)])]
        once_s = max(self.driver.hot(program, 1), _SHORTEST_S)
        if once_s > _HOPELESS * least_s:
            return once_s
        return self.driver.hot(program, max(1, min(20, round(_TRIAL_S / once_s))))

    def timed(self, take: Callable[[], float], iterations: int) -> Sample:
        """Take a sample, anew where the device was throttled meanwhile."""
        return self.throttling.timed(take, iterations)


class _CudaBench:
    """One operator; its memory is the session's, at the start of each block."""

    def __init__(self, session: CudaSession, graph: Graph) -> None:
        self._session = session
        self._steps = steps_of(graph, session.target)
        self._sizes = bytes_of(graph, self._steps)
        self._dtype = graph.dtype
        self._reads_fresh = graph.node_op(len(graph) - 1) in _READS_FRESH
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
        self._program = session.program(list(zip(plans, addresses, strict=True)))
        fresh = self._inputs if self._reads_fresh else self._inputs[:1]
        first, last = (self._offsets["source", tensor] for tensor in (fresh[0], fresh[-1]))
        at = session.pool.address(self._dtype) + first
        self._before = session.before(at, last + self._sizes[fresh[-1]] - first)
        self._generation = session.pool.generation
        self._busy: tuple[Program, int] | None = None
        #: What was found fastest, of each launch.
        self.chosen = [f"{plan.algorithm} {plan.tile}".strip() for plan in plans]

    def _call_s(self, calls: int) -> float:
        driver = self._session.driver
        if not self._before:
            return driver.hot([self._program], calls)
        times_s = driver.cold([self._program], self._before, calls)
        return max(statistics.median(times_s) - self._session.around_s, _SHORTEST_S)

    def warm_up(self) -> float:
        """Find the fastest plan and call it a few times; return about what one call takes."""
        self._ready()
        self._call_s(1)
        return max(self._call_s(3), _SHORTEST_S)

    def sample(self, iterations: int) -> Sample:
        """Time so many calls: their median, or their mean where nothing runs between them."""
        self._ready()
        return self._session.timed(lambda: self._call_s(iterations), iterations)

    def busy(self, calls: int) -> int:
        """Do so many calls one behind the other, or a few more, as CUDA graphs; say how many."""
        self._ready()
        driver = self._session.driver
        if self._busy is None:
            turns = max(1, min(calls, _MOST_CAPTURED // len(self._program)))
            graph = driver.captured([self._program], turns) if turns > 1 else self._program
            self._busy = graph, turns
        graph, turns = self._busy
        times = -(-calls // turns)
        driver.enqueued([graph], times)
        return times * turns
