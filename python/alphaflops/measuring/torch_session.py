"""Timing PyTorch on a processor: one operator as a network meets it, and whole networks.

An operator's call is timed with everything that it costs a network: its module's call, the output's
allocation, and letting go of inputs that nothing else reads. docs/measuring.md gives the reasons.
"""

from __future__ import annotations

import math
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from alphaflops import _core
from alphaflops._core import Graph
from alphaflops.errors import UnsupportedError
from alphaflops.frontends.traced import Traced
from alphaflops.measuring.backends import Bench, Network, Reuse
from alphaflops.measuring.readings import Sample
from alphaflops.measuring.shapes import largest_bytes, weight_bytes
from alphaflops.measuring.torch_heap import Heap
from alphaflops.measuring.torch_network import TorchNetwork
from alphaflops.measuring.torch_operators import import_torch
from alphaflops.measuring.torch_pool import Launch, Pool
from alphaflops.measuring.torch_runs import of_graph, of_module
from alphaflops.measuring.torch_stages import Stage, backward, calls, forward, optimizer

__all__ = ["TorchSession", "Watch"]

_LEAST_SAMPLE_S = 200e-6
_MOST_CALLS = 8  # in a sample: what runs between them takes longer than the short ones
_WORTH_REPEATING_S = 2e-3
# What takes no longer is called once before it is timed: a network has called it a pass ago.
# Without, predictions in NCHW were up to 34 % too slow; with two such calls, those in channels_last
# up to 17 % too fast, both with two threads (Intel, 2 MB of second-level cache).
_SETTLES_BELOW_S = 5e-3


class TorchSession:
    """A processor at work.

    Parameters
    ----------
    layout
        nchw or channels_last.
    threads
        As PyTorch is set to use; with one, this thread stays on its processor.
    training
        Operators are those of training, and forward calls record what gradients need.
    """

    def __init__(self, layout: str, threads: int, *, training: bool = False) -> None:
        self.layout, self.threads = layout, threads
        self.heap = Heap()
        l3_bytes = int(_core.system_info()["l3_bytes"])
        self.pool = Pool("cpu", min(max(2 * l3_bytes, 48 << 20), 256 << 20))
        interlude = TorchNetwork(_interlude(), layout).run
        self.run_between = import_torch().no_grad()(interlude) if training else interlude
        self.between_s = _median_s(self.run_between)
        self.clock_s = statistics.median(_Stopwatch(threads).read_s() for _ in range(101))
        self._training = training

    def bench(self, graph: Graph, pass_: str = "forward", reuse: Reuse | None = None) -> Bench:
        """Make one pass of a graph's one operator ready."""
        if graph.dtype != "fp32" and (self._training or pass_ != "forward"):
            raise UnsupportedError(
                f"{graph.name}: training in {graph.dtype} is not supported by the torch backend; "
                "use fp32"
            )
        if graph.calls:
            return _TorchBench(calls(graph.calls, self.run_between, training=self._training), self)
        if pass_ == "optimizer":
            return _TorchBench(optimizer(graph, self.pool, self.run_between), self)
        launch = Launch(graph, self.layout, self.pool)
        if pass_ == "forward":
            stage = forward(launch, self.run_between, training=self._training)
        else:
            stage = backward(launch, graph, pass_, self.run_between)
        weights = weight_bytes(_core.lower(graph))  # which a convolution sorts
        largest = max(largest_bytes(graph), int(weights.max(initial=0)))
        return _TorchBench(stage, self, largest_bytes=largest)

    def network(self, graph: Graph, seed: int) -> Network:
        """Make a network ready."""
        return self.timed(of_graph(graph, self.layout, seed=seed))

    def module(self, traced: Traced, seed: int) -> Network:
        """Make a user's own module ready."""
        return self.timed(of_module(traced, self.layout, seed=seed))

    def timed(self, run: Callable[[], Any]) -> Network:
        """Make whatever runs a network ready: a module's call."""
        return _TimedNetwork(run, self)

    def iterations_for(self, call_s: float) -> int:
        """Few, since every call has others before it."""
        return min(max(1, math.ceil(_LEAST_SAMPLE_S / call_s)), _MOST_CALLS)


def _interlude() -> Graph:
    """Make a small network of common operators.

    It runs before every timed call, so that the call finds PyTorch's code and tables as cold as a
    call within a network does.
    """
    graph = Graph("interlude")
    x = graph.input((1, 32, 14, 14))
    for _ in range(2):
        x = graph.relu(graph.batch_norm(graph.conv2d(x, 32, 3, padding=1)))
        y = graph.batch_norm(graph.conv2d(x, 32, 3, padding=1, groups=32))
        x = graph.concat([graph.add(x, graph.activation(y, "relu6")), y])
        x = graph.max_pool(graph.conv2d(x, 32), 2)
    graph.linear(graph.flatten(graph.global_avg_pool(x)), 10, True)
    return graph


def _median_s(call: Callable[[], object]) -> float:
    times = []
    for _ in range(31):
        before = time.perf_counter()
        call()
        times.append(time.perf_counter() - before)
    return statistics.median(times)


@dataclass(frozen=True)
class _TorchSample:
    time_s: float
    iterations: int
    wall_s: float
    steal_s: float
    switches: int
    clock_hz: float
    reorder_s: float = 0.0  # not told apart


class Watch:
    """Counts what disturbs this process from its construction to `finish`.

    Parameters
    ----------
    threads
        With one, only its own processor is watched.
    """

    def __init__(self, threads: int) -> None:
        self._is_alone = threads == 1
        self._cpu = _core.current_cpu() if self._is_alone else -1
        self._steal_s, self._switches = _core.steal_time_s(self._cpu), self._switches_so_far()
        self._start = time.perf_counter()

    def _switches_so_far(self) -> int:
        if self._is_alone:
            return _core.involuntary_switches()
        return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw  # of every thread

    def finish(self, total_s: float, iterations: int) -> Sample:
        """Make the sample of calls that took `total_s` together."""
        return _TorchSample(
            time_s=max(total_s, 1e-9) / iterations,
            iterations=iterations,
            wall_s=time.perf_counter() - self._start,
            steal_s=_core.steal_time_s(self._cpu) - self._steal_s,
            switches=self._switches_so_far() - self._switches,
            clock_hz=_core.estimate_clock_hz(),
        )


class _Stopwatch:
    """Seconds from its construction on; with one thread, without what other programs took of them.

    A call of 50 ms on a busy machine is hardly ever left alone, however often it is repeated. What
    one thread works is its processor time, which is longer than the wall's only by the reading.
    """

    def __init__(self, threads: int) -> None:
        self._is_alone = threads == 1
        self._own = time.thread_time()
        self._wall = time.perf_counter()

    def read_s(self) -> float:
        wall_s = time.perf_counter() - self._wall
        return min(wall_s, time.thread_time() - self._own) if self._is_alone else wall_s


class _TorchBench:
    """One operator, called as a network calls it."""

    def __init__(self, stage: Stage, session: TorchSession, *, largest_bytes: int = 0) -> None:
        self._stage, self._session, self._largest_bytes = stage, session, largest_bytes
        self._calls = 0
        self._settles = False
        self._output: Any = None

    def _call(self) -> float:
        session = self._session
        time_s, output = self._stage.call(self._calls, lambda: _Stopwatch(session.threads))
        self._calls += 1
        self._output = output  # and the one before goes: a network has one more alive
        return (time_s - session.clock_s) * self._stage.share

    def warm_up(self) -> float:
        """Call a few times; return about what one call takes, in seconds."""
        self._session.heap.make_room(self._largest_bytes)
        call_s = self._call()
        for _ in range(3):
            if call_s > _WORTH_REPEATING_S and self._calls > 1:
                break
            call_s = self._call()
        self._settles = call_s < _SETTLES_BELOW_S
        self._output = None  # of a few megabytes, and others are warmed up before a sample
        return max(call_s, 1e-7)

    def sample(self, iterations: int) -> Sample:
        """Time so many calls, each by itself; their median. One before these settles the caches.

        Threads that wait for each other all wait while one of them has lost its processor: every
        now and then a call takes a hundred times as long.
        """
        heap = self._session.heap
        is_new = heap.tidy()
        heap.make_room(self._largest_bytes)
        if is_new or self._settles:
            self._call()
        watch = Watch(self._session.threads)
        call_s = statistics.median(self._call() for _ in range(iterations))
        self._output = None
        return watch.finish(call_s * iterations, iterations)


class _TimedNetwork:
    def __init__(self, run: Callable[[], Any], session: TorchSession) -> None:
        self._run, self._session = run, session

    def sample(self, passes: int) -> Sample:
        """Time so many passes together."""
        self._session.heap.let_go()
        if self._session.heap.tidy():
            self._run()
        watch = Watch(self._session.threads)
        stopwatch = _Stopwatch(self._session.threads)
        for _ in range(passes):
            self._run()
        return watch.finish(stopwatch.read_s(), passes)
