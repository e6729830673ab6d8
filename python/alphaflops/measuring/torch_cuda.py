"""Timing PyTorch on a GPU: calls in a row between two CUDA events.

Calls are enqueued one behind the other, as a network's are, and the device is waited for at the
end: a short kernel takes as long as its launch, a long one as long as itself. Or they are captured
as a CUDA graph, which leaves the host out of it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

from alphaflops._core import Graph
from alphaflops.calls import refuse
from alphaflops.cuda.nvml import Watch, open_watch
from alphaflops.errors import Error, UnsupportedError
from alphaflops.frontends.traced import Traced
from alphaflops.measuring.backends import Bench, Network, Reuse
from alphaflops.measuring.readings import Sample
from alphaflops.measuring.throttling import Throttling
from alphaflops.measuring.torch_operators import import_torch
from alphaflops.measuring.torch_pool import Launch, Pool
from alphaflops.measuring.torch_runs import of_graph, of_module, raising
from alphaflops.measuring.torch_types import multiplying_in

__all__ = ["CudaSession", "captured", "nvml_name"]

_ROTATION_BYTES = 256 << 20  # several times the last-level cache of a GPU
_COPIES = 8  # of an operator, each with weights of its own
_LEAST_SAMPLE_S = 1e-3
_MOST_CAPTURED = 64  # calls in a graph

Calls = Sequence[Callable[[], Any]]


def nvml_name() -> str:
    """Return what ``open_watch`` knows PyTorch's current GPU by; empty where PyTorch is too old."""
    cuda = import_torch().cuda
    about = cuda.get_device_properties(cuda.current_device())
    if hasattr(about, "pci_bus_id"):
        return f"{about.pci_domain_id:08x}:{about.pci_bus_id:02x}:{about.pci_device_id:02x}.0"
    return f"GPU-{about.uuid}" if hasattr(about, "uuid") else ""


class CudaSession:
    """A GPU at work.

    Parameters
    ----------
    layout
        As of ``TorchBackend``.
    in_graphs
        Whether calls are captured as CUDA graphs.
    watch
        Of the GPU's clocks; opened where left out.
    """

    between_s = 0.0

    def __init__(self, layout: str, *, in_graphs: bool = False, watch: Watch | None = None) -> None:
        self._layout, self.in_graphs = layout, in_graphs
        self.throttling = Throttling(open_watch(nvml_name()) if watch is None else watch)
        self._pool = Pool("cuda", _ROTATION_BYTES)
        cuda = import_torch().cuda
        self._stream = cuda.Stream() if in_graphs else None
        #: All graphs share their memory: they run one by one, and nobody reads what they leave.
        self._graph_memory = cuda.graph_pool_handle() if in_graphs else None
        #: The last graph. PyTorch refuses memory of which no graph is left.
        self._kept: Callable[[], Any] | None = None

    def bench(self, graph: Graph, pass_: str = "forward", reuse: Reuse | None = None) -> Bench:
        """Make a graph's one operator ready."""
        refuse(graph)
        launches = [Launch(graph, self._layout, self._pool) for _ in range(_COPIES)]
        return _CudaBench(self, launches, graph.dtype)

    def network(self, graph: Graph, seed: int) -> Network:
        """Make a network ready."""
        with multiplying_in(graph.dtype):
            run = of_graph(graph, self._layout, "cuda", seed)
        return _CudaNetwork(self, run, graph)

    def module(self, traced: Traced, seed: int) -> Network:
        """Make a user's own module ready."""
        with multiplying_in(traced.graph.dtype):
            run = of_module(traced, self._layout, "cuda", seed)
        return _CudaNetwork(self, run, traced.graph)

    def iterations_for(self, call_s: float) -> int:
        """So many that waiting for the device does not count."""
        return max(1, math.ceil(_LEAST_SAMPLE_S / call_s))

    def ready(self, calls: Calls, call_s: float) -> tuple[Calls, int]:
        """Return what is to be called in turns, and how many of `calls` each of it makes."""
        if not self.in_graphs:
            return calls, 1
        most = max(1, min(_MOST_CAPTURED, round(_LEAST_SAMPLE_S / call_s)))
        row = list(itertools.islice(itertools.cycle(calls), most))
        self._kept = captured(row, self._stream, self._graph_memory)
        return [self._kept], most

    def busy(self, calls: Calls, least: int, each: int, dtype: str) -> int:
        """Do at least so many calls, and say how many."""
        times = -(-least // each)
        with multiplying_in(dtype):
            _span_s(calls, times)
        return times * each

    def timed(self, calls: Calls, least: int, each: int, dtype: str) -> Sample:
        """Sample at least so many calls in turns, where each of `calls` does `each`."""
        times = -(-least // each)
        with multiplying_in(dtype):
            return self.throttling.timed(lambda: _span_s(calls, times) / each, times * each)


def captured(calls: Calls, stream: Any, memory: Any = None) -> Callable[[], Any]:
    """Return what replays calls, which have run before, as a CUDA graph captured on `stream`."""
    cuda = import_torch().cuda
    graph = cuda.CUDAGraph()
    cuda.synchronize()
    # Not with torch.cuda.graph, which collects garbage: longer than a bench may take.
    with cuda.stream(stream):
        calls[0]()  # libraries take memory for each stream that they work on
        cuda.synchronize()
        graph.capture_begin(pool=memory)
        try:
            for call in calls:
                call()
        finally:
            graph.capture_end()
    cuda.synchronize()
    replay: Callable[[], Any] = graph.replay
    return replay


def _span_s(calls: Calls, times: int) -> float:
    """Seconds a call of so many in turns, all of them between two events."""
    cuda = import_torch().cuda
    begin, end = cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)
    cuda.synchronize()
    begin.record()
    for i in range(times):
        calls[i % len(calls)]()
    end.record()
    end.synchronize()
    milliseconds: float = begin.elapsed_time(end)
    return milliseconds * 1e-3 / times


class _CudaBench:
    """One operator in copies, which take turns so that no weights are found in cache."""

    def __init__(self, session: CudaSession, launches: Sequence[Launch], dtype: str) -> None:
        self._session, self._launches, self._dtype = session, launches, dtype
        self._generation = -1
        self._call_s = 0.0

    def _ready(self) -> None:
        """Point at weights and inputs, again where the pool has moved; run each copy once."""
        pool = self._launches[0].pool
        for turn, launch in enumerate(self._launches):
            launch.point_at_weights(turn)
        inputs = self._launches[0].inputs()
        if self._generation == pool.generation:
            return
        self._generation = pool.generation
        calls = [lambda operator=each.operator: operator(*inputs) for each in self._launches]
        with multiplying_in(self._dtype):
            _span_s(calls, len(calls))  # lets cuDNN choose
            self._call_s = max(_span_s(calls, len(calls)), 1e-7)
            self._calls, self._each = self._session.ready(calls, self._call_s)

    def warm_up(self) -> float:
        """Call a few times; return about what one call takes."""
        self._ready()
        return self._call_s

    def sample(self, iterations: int) -> Sample:
        """Time so many calls together, or a few more."""
        self._ready()
        return self._session.timed(self._calls, iterations, self._each, self._dtype)

    def busy(self, calls: int) -> int:
        """Do so many calls one behind the other, or a few more; say how many."""
        self._ready()
        return self._session.busy(self._calls, calls, self._each, self._dtype)


class _CudaNetwork:
    """What runs a graph, in a row; UnsupportedError where that, or a CUDA graph of it, fails."""

    def __init__(self, session: CudaSession, run: Callable[[], Any], graph: Graph) -> None:
        self._session, self._dtype = session, graph.dtype

        def fault(error: Exception) -> Error:
            how = " and captured as a CUDA graph" if session.in_graphs else ""
            return UnsupportedError(
                f"{graph.name}: PyTorch raised {type(error).__name__} when it was run again{how}: "
                f"{error}"
            )

        with raising(fault, "cuda"), multiplying_in(graph.dtype):
            for _ in range(3):
                call_s = max(_span_s([run], 1), 1e-7)
            self._calls, self._each = session.ready([run], call_s)

    def sample(self, passes: int) -> Sample:
        """Time so many passes together, or a few more."""
        return self._session.timed(self._calls, passes, self._each, self._dtype)

    def busy(self, calls: int) -> int:
        """Do so many passes one behind the other, or a few more; say how many."""
        return self._session.busy(self._calls, calls, self._each, self._dtype)
