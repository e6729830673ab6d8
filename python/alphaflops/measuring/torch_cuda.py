"""Timing PyTorch on a GPU: calls in a row between two CUDA events.

Calls are enqueued one behind the other, as a network's are, and the device is waited for at the
end: a short kernel takes as long as its launch, a long one as long as itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from alphaflops._core import Graph
from alphaflops.measuring.backends import Bench, Network
from alphaflops.measuring.readings import Sample
from alphaflops.measuring.torch_network import TorchNetwork
from alphaflops.measuring.torch_operators import import_torch
from alphaflops.measuring.torch_pool import Launch, Pool
from alphaflops.measuring.torch_session import Watch

__all__ = ["CudaSession"]

_ROTATION_BYTES = 256 << 20  # several times the last-level cache of a GPU
_COPIES = 8  # of an operator, each with weights of its own
_LEAST_SAMPLE_S = 1e-3


class CudaSession:
    """A GPU at work; `layout` as of ``TorchBackend``."""

    between_s = 0.0

    def __init__(self, layout: str) -> None:
        self._layout = layout
        self._pool = Pool("cuda", _ROTATION_BYTES)

    def bench(self, graph: Graph, pass_: str = "forward") -> Bench:
        """Make a graph's one operator ready."""
        return _CudaBench([Launch(graph, self._layout, self._pool) for _ in range(_COPIES)])

    def network(self, graph: Graph, seed: int) -> Network:
        """Make a network ready."""
        return _TimedCalls([TorchNetwork(graph, self._layout, "cuda", seed).run])

    def iterations_for(self, call_s: float) -> int:
        """So many that waiting for the device does not count."""
        return max(1, math.ceil(_LEAST_SAMPLE_S / call_s))


class _TimedCalls:
    """Calls in turns, all of them between two events."""

    def __init__(self, calls: Sequence[Callable[[], Any]]) -> None:
        self._calls = calls

    def sample(self, iterations: int) -> Sample:
        """Time so many calls together."""
        cuda = import_torch().cuda
        begin, end = cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)
        cuda.synchronize()
        watch = Watch(threads=1)
        begin.record()
        for i in range(iterations):
            self._calls[i % len(self._calls)]()
        end.record()
        end.synchronize()
        return watch.finish(begin.elapsed_time(end) * 1e-3, iterations)  # it gives milliseconds


class _CudaBench:
    """One operator in copies, which take turns so that no weights are found in cache."""

    def __init__(self, launches: Sequence[Launch]) -> None:
        self._launches = launches

    def warm_up(self) -> float:
        """Call a few times, which lets cuDNN choose; return about what one call takes."""
        self._timed(len(self._launches))
        return max(self._timed(len(self._launches)).time_s, 1e-7)

    def sample(self, iterations: int) -> Sample:
        """Time so many calls together."""
        return self._timed(iterations)

    def _timed(self, iterations: int) -> Sample:
        for turn, launch in enumerate(self._launches):
            launch.point_at_weights(turn)  # the pool may have grown
        inputs = self._launches[0].inputs()
        calls = [lambda operator=each.operator: operator(*inputs) for each in self._launches]
        return _TimedCalls(calls).sample(iterations)
