"""A whole network on a GPU: one program, its tensors in one arena."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from alphaflops._core import Graph
from alphaflops.cuda.driver import Addresses, needs_memory
from alphaflops.errors import UnsupportedError
from alphaflops.measuring.cuda_pool import aligned, random_bytes
from alphaflops.measuring.cuda_steps import Step, bytes_of, steps_of, views_of
from alphaflops.measuring.readings import Sample

if TYPE_CHECKING:
    from alphaflops.measuring.cuda_session import CudaSession

__all__ = ["CudaNetwork", "arena_of"]

_BLOCK_BYTES = 1 << 18  # of random weights, which are repeated


def arena_of(
    sizes: Mapping[int, int], first: Mapping[int, int], last: Mapping[int, int]
) -> tuple[dict[int, int], int]:
    """Place tensors so that none of those that live at a time overlap; return places and size.

    `first` and `last` say from which to which step a tensor lives. The largest comes first, each to
    the lowest place that is free as long as it lives.
    """
    places: dict[int, int] = {}
    for tensor in sorted(sizes, key=lambda t: (-sizes[t], t)):
        taken = sorted(
            (places[other], places[other] + sizes[other])
            for other in places
            if first[other] <= last[tensor] and first[tensor] <= last[other]
        )
        at = 0
        for begin, end in taken:
            if at + sizes[tensor] <= begin:
                break
            at = max(at, end)
        places[tensor] = at
    return places, max((places[t] + sizes[t] for t in places), default=0)


class CudaNetwork:
    """A graph with random weights; a pass is one launch of a CUDA graph.

    Raises
    ------
    UnsupportedError
        An operator without a kernel, or int8, whose sums no next layer takes.
    DeviceMemoryError
        It does not fit; the message says what is needed and what is free.
    """

    def __init__(self, session: CudaSession, graph: Graph, seed: int) -> None:
        if graph.dtype == "int8":
            raise UnsupportedError(
                f"{graph.name}: whole networks in int8 are not known to the cuda backend, whose "
                "layers give sums of 32 bits; use fp16"
            )
        self._session = session
        self.steps = steps_of(graph, session.target)
        self._bytes = bytes_of(graph, self.steps)
        self._owner = {t: t for t in range(len(self._bytes))} | views_of(graph)
        self._allocate(graph, seed)
        programs = []
        for number, step in enumerate(self.steps):
            addresses = self._addresses(number, step)
            plan = session.best_plan(step, addresses)
            programs.append(session.driver.program([(plan, addresses)]))
        self._programs = programs
        self._graph = session.driver.captured(programs)

    def _allocate(self, graph: Graph, seed: int) -> None:
        tensors, first, last = self._lives(graph)
        sizes = {t: aligned(self._bytes[t]) for t in tensors}
        self._places, arena = arena_of(sizes, first, last)
        self._weights: dict[tuple[int, str], int] = {}
        end = 0
        for number, step in enumerate(self.steps):
            for buffer, size in step.parameters.items():
                self._weights[number, buffer] = end
                end += aligned(size)
        workspace = max((p.workspace_bytes for s in self.steps for p in s.plans), default=0)
        driver = self._session.driver
        free, total = driver.memory()
        if (needed := arena + end + workspace) > free:
            raise needs_memory(needed, free, total)
        numbers = random_bytes(graph.dtype, 1 << 20, seed)
        self._arena = driver.allocate(max(arena, len(numbers)))
        self._parameters = driver.allocate(max(end, len(numbers)))
        self._workspace = driver.allocate(max(workspace, 1))
        for memory in (self._arena, self._parameters):
            memory.write(numbers)
            memory.repeat(len(numbers))
        for number, step in enumerate(self.steps):
            if step.fan_in:
                self._fill_weights(number, step, graph.dtype, seed)

    def _fill_weights(self, number: int, step: Step, dtype: str, seed: int) -> None:
        """Write weights of He's variance: infinite activations would draw less power."""
        size = step.parameters["weights"]
        numbers = random_bytes(dtype, min(size, _BLOCK_BYTES), seed, math.sqrt(6 / step.fan_in))
        self._parameters.write(np.resize(numbers, size), self._weights[number, "weights"])

    def _lives(self, graph: Graph) -> tuple[list[int], dict[int, int], dict[int, int]]:
        """Return the tensors that have memory, and from which to which step each is needed."""
        first: dict[int, int] = {}
        last: dict[int, int] = {}
        for number, step in enumerate(self.steps):
            written = self._owner[step.output]
            first.setdefault(written, number)
            last[written] = max(last.get(written, number), number)
            for tensor in step.inputs.values():
                read = self._owner[tensor]
                first.setdefault(read, 0)  # an input of the network
                last[read] = number
        for tensor in [t for t in first if t < len(graph) and not graph.node_inputs(t)]:
            last[tensor] = len(self.steps)  # the next pass reads it again
        return sorted(first), first, last

    def _addresses(self, number: int, step: Step) -> Addresses:
        def tensor(each: int) -> int:
            return self._arena.address + self._places[self._owner[each]]

        weights = self._parameters.address
        return {
            **{buffer: tensor(each) for buffer, each in step.inputs.items()},
            **{buffer: weights + self._weights[number, buffer] for buffer in step.parameters},
            "output": tensor(step.output),
            "workspace": self._workspace.address,
        }

    def sample(self, passes: int) -> Sample:
        """Time so many passes in a row, each one launch of the graph."""
        driver = self._session.driver
        return self._session.timed(lambda: driver.hot([self._graph], passes), passes)

    def sample_enqueued(self, passes: int) -> Sample:
        """Time passes whose kernels the host launches one by one, by its clock."""
        driver = self._session.driver
        programs = self._programs

        def call_s() -> float:
            return driver.enqueued(programs, passes * len(programs)) * len(programs)

        return self._session.timed(call_s, passes)

    def busy(self, calls: int) -> int:
        """Do so many passes one behind the other."""
        self._session.driver.enqueued([self._graph], calls)
        return calls
