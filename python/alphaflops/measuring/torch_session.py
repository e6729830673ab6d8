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
from alphaflops.errors import Error
from alphaflops.measuring.backends import Bench, Network, Sample
from alphaflops.measuring.torch_network import TorchNetwork, require_fp32
from alphaflops.measuring.torch_operators import (
    CHANNELS_LAST,
    import_torch,
    operator_of,
    tensor_of,
)

__all__ = ["TorchSample", "TorchSession", "interlude"]

LIMIT_BYTES = 1_500_000_000  # of one operator's tensors, as of the native backend
_FLOAT_BYTES = 4
_HEAP_BLOCK_BYTES = 31 << 20  # the largest that glibc takes from its heap
_LEAST_SAMPLE_S = 200e-6
_MOST_CALLS = 8  # in a sample: what runs between them takes longer than the short ones
_WORTH_REPEATING_S = 2e-3


@dataclass(frozen=True)
class TorchSample:
    """One reading, as a native sample says it."""

    time_s: float
    iterations: int
    wall_s: float
    steal_s: float
    switches: int
    clock_hz: float


class TorchSession:
    """Memory that benches take turns in, and the network that runs between their calls.

    Parameters
    ----------
    layout
        nchw or channels_last.
    threads
        As PyTorch is set to use; with one, this thread stays on its processor.
    """

    def __init__(self, layout: str, threads: int) -> None:
        self.layout, self.threads = layout, threads
        self._torch = import_torch()
        # Once so large a block was freed, glibc keeps freed memory. Before, it may give memory back
        # and take it again, page by page, in every pass; whether it does depends on what the
        # process freed earlier, which no sum of operators can tell.
        self._torch.empty(_HEAP_BLOCK_BYTES // _FLOAT_BYTES)
        self.between = TorchNetwork(interlude(), layout).run
        self.between_s = _median_s(self.between)
        self.clock_s = _median_s(lambda: None)
        l3_bytes = int(_core.system_info()["l3_bytes"])
        self._rotation = min(max(2 * l3_bytes, 48 << 20), 256 << 20) // _FLOAT_BYTES
        self._weights = self._activations = self._torch.empty(0)

    def bench(self, graph: Graph) -> Bench:
        """Make a graph's one operator ready."""
        return _TorchBench(graph, self)

    def network(self, graph: Graph, seed: int) -> Network:
        """Make a network ready."""
        return _TimedNetwork(TorchNetwork(graph, self.layout, seed=seed).run, self)

    def iterations_for(self, call_s: float) -> int:
        """Few, since every call has others before it."""
        return min(max(1, math.ceil(_LEAST_SAMPLE_S / call_s)), _MOST_CALLS)

    def weights(self, floats: int) -> Any:
        """Return positive numbers, a variance may be among them, at least so many.

        They outgrow the last-level cache, so that a bench can rotate through them.
        """
        if len(self._weights) < floats:
            self._weights = self._numbers(max(floats, self._rotation)).abs_().add_(0.1)
        return self._weights

    def activations(self, floats: int) -> Any:
        """Return numbers as an activation leaves them, half of them zero, at least so many."""
        if len(self._activations) < floats:
            self._activations = self._numbers(floats).clamp_(min=0)
        return self._activations

    def _numbers(self, floats: int) -> Any:
        tile = self._torch.randn(min(floats, 1 << 20))
        return tile.repeat(-(-floats // len(tile)))

    def watch(self) -> _Watch:
        """Start to watch for what disturbs this process."""
        return _Watch(self.threads)


def interlude() -> Graph:
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
        x = graph.max_pool(x, 2)
    graph.linear(graph.flatten(graph.global_avg_pool(x)), 10, True)
    return graph


def _median_s(call: Callable[[], object]) -> float:
    times = []
    for _ in range(31):
        before = time.perf_counter()
        call()
        times.append(time.perf_counter() - before)
    return statistics.median(times)


class _Watch:
    """Counts what disturbs this process from its construction to `finish`."""

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
        return TorchSample(
            time_s=max(total_s, 0.0) / iterations,
            iterations=iterations,
            wall_s=time.perf_counter() - self._start,
            steal_s=_core.steal_time_s(self._cpu) - self._steal_s,
            switches=self._switches_so_far() - self._switches,
            clock_hz=_core.estimate_clock_hz(),
        )


class _TorchBench:
    """One operator, called as a network calls it."""

    def __init__(self, graph: Graph, session: TorchSession) -> None:
        require_fp32(graph)
        self._session = session
        node = len(graph) - 1
        self._shapes = [graph.shape(tensor) for tensor in graph.node_inputs(node)]
        self._operator = operator_of(graph, node, is_only_reader=True)
        self._parameters = [
            (parameter, parameter.shape, parameter.stride())
            for parameter in _parameters_of(self._operator, session.layout)
        ]
        self._weights = sum(math.prod(shape) for _, shape, _ in self._parameters)
        for parameter, _, _ in self._parameters:
            parameter.data = parameter.data.new_empty(0)  # it is pointed at the session's
        self._input = max(map(math.prod, self._shapes))
        self._require_room(graph, node)
        self._calls = 0
        self._outputs: Any = None

    def _require_room(self, graph: Graph, node: int) -> None:
        inputs = sum(map(math.prod, self._shapes))
        # Twice the activations: those of this call, and where they are copied from or stood before.
        needed = _FLOAT_BYTES * (self._weights + 2 * (inputs + math.prod(graph.shape(node))))
        if needed > LIMIT_BYTES:
            raise Error(
                f"{graph.node_op(node)}: needs {needed} bytes of weights and activations; the "
                f"limit is {LIMIT_BYTES}, use a smaller batch or extent"
            )

    def _point_at_weights(self, call: int) -> None:
        """Give the module the next weights of the rotation: a network's are not in cache."""
        if not self._parameters:
            return
        flat = self._session.weights(self._weights)
        offset = call % (len(flat) // self._weights) * self._weights
        for parameter, shape, stride in self._parameters:
            parameter.data = flat.as_strided(shape, stride, offset)
            offset += math.prod(shape)

    def _call(self) -> float:
        session, operator = self._session, self._operator
        self._point_at_weights(self._calls)
        self._calls += 1
        session.between()
        flat = session.activations(self._input)
        # Copies are what the operator before would have written: new tensors, in cache as far as
        # they fit. The first input is the newest.
        inputs = [tensor_of(flat, shape, session.layout).clone() for shape in self._shapes[::-1]]
        inputs.reverse()
        before = time.perf_counter()
        output = operator(*inputs)
        inputs.clear()
        after = time.perf_counter()
        self._outputs = output  # and the one before goes: a network has one more alive
        return after - before - session.clock_s

    def warm_up(self) -> float:
        """Call a few times; return about what one call takes, in seconds."""
        for _ in range(3):
            call_s = self._call()
            if call_s > _WORTH_REPEATING_S:
                break
        return max(self._call(), 1e-7)

    def sample(self, iterations: int) -> Sample:
        """Time so many calls, each by itself."""
        watch = self._session.watch()
        total_s = sum(self._call() for _ in range(iterations))
        self._outputs = None
        return watch.finish(total_s, iterations)


def _parameters_of(operator: Any, layout: str) -> list[Any]:
    """Return what a module reads beside its inputs, laid out as it will find it."""
    torch = import_torch()
    if not isinstance(operator, torch.nn.Module):
        return []
    if layout == CHANNELS_LAST:
        operator.to(memory_format=torch.channels_last)
    # Not the counter of batches, which is a scalar.
    return [*operator.parameters(), *(b for b in operator.buffers() if b.dim())]


class _TimedNetwork:
    def __init__(self, run: Callable[[], Any], session: TorchSession) -> None:
        self._run, self._session = run, session

    def sample(self, passes: int) -> Sample:
        """Time so many passes together."""
        watch = self._session.watch()
        before = time.perf_counter()
        for _ in range(passes):
            self._run()
        return watch.finish(time.perf_counter() - before, passes)
