"""A GPU that is not there: the interface of a driver, with times that follow from the plans."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from alphaflops._cuda_plan import Launch, Plan
from alphaflops.cuda.driver import DeviceInfo, needs_memory
from alphaflops.cuda.nvml import State

#: Seconds of one block of 128 threads that goes over its whole depth, on one multiprocessor.
_BLOCK_S = 2e-6


def info(**changes: object) -> DeviceInfo:
    usual = {
        "index": 0,
        "name": "Fake H1",
        "pci_bus": "0000:01:00.0",
        "arch": 90,
        "sm_count": 100,
        "shared_per_block_bytes": 227 << 10,
        "l2_bytes": 32 << 20,
        "memory_bytes": 4 << 30,
        "clock_hz": 1.7e9,
        "driver_version": 13000,
        "runtime_version": 13000,
    }
    return DeviceInfo(**{**usual, **changes})


def _blocks(launch: Launch, sides: Sequence[int]) -> int:
    """Count blocks, or tiles where blocks stay and walk over those of what they store."""
    for tensor in launch.tensor_maps:
        if tensor.rank == 4:
            columns, groups, rows, splits = tensor.sizes[:4]
            return -(-rows // sides[0]) * -(-columns // sides[1]) * groups * splits
    return int(np.prod(launch.grid))


class FakeMemory:
    def __init__(self, driver: FakeDriver, address: int, size: int) -> None:
        self._driver, self.address, self._size = driver, address, size
        self.written = 0

    def __len__(self) -> int:
        return self._size

    def __del__(self) -> None:
        self._driver.taken -= self._size

    def write(self, from_: object, offset: int = 0) -> None:
        self.written = max(self.written, offset + memoryview(from_).nbytes)
        assert self.written <= self._size

    def repeat(self, bytes: int) -> None:
        assert bytes <= self.written
        self.written = self._size


class FakeProgram:
    def __init__(self, steps: Sequence[tuple[Plan, Mapping[str, int]]], time_s: float) -> None:
        self.steps, self.time_s = list(steps), time_s

    def launch(self, stream: int = 0) -> None:
        raise AssertionError("a bench launches nothing by itself")

    def __len__(self) -> int:
        return max(1, sum(len(plan.launches) for plan, _ in self.steps))


class FakeDriver:
    """Counts what it is asked for; a call takes a time of its plan, with some noise."""

    path = "native"

    def __init__(self, noise: float = 0.002, seed: int = 0, **changes: object) -> None:
        self._info = info(**changes)
        self._random = np.random.default_rng(seed)
        self._noise = noise
        self.taken = 0
        self._next = 1 << 20
        self.programs: list[FakeProgram] = []
        self.slower = 1.0  # factor of every time
        self.events_s = 0.0  # that those around a call add
        self.cold_calls: list[tuple[int, int]] = []  # programs before each call, calls

    def info(self) -> DeviceInfo:
        return self._info

    def memory(self) -> tuple[int, int]:
        return self._info.memory_bytes - self.taken, self._info.memory_bytes

    def allocate(self, size: int) -> FakeMemory:
        free, total = self.memory()
        if size > free:
            raise needs_memory(size, free, total)
        self.taken += size
        memory = FakeMemory(self, self._next, size)
        self._next += -(-size // 512) * 512
        return memory

    def program(self, steps: Sequence[tuple[Plan, Mapping[str, int]]]) -> FakeProgram:
        for plan, addresses in steps:
            for launch in plan.launches:
                for pointer in (*launch.pointers, *launch.tensor_maps):
                    assert addresses.get(pointer.buffer), f"{launch.symbol}: {pointer.buffer}"
        made = FakeProgram(steps, sum(self._time_s(plan) for plan, _ in steps))
        self.programs.append(made)
        return made

    def _time_s(self, plan: Plan) -> float:
        # Larger tiles take longer a block: what the name of the tile says of rows and columns, and
        # no less than a result a thread.
        sides = [int(n) for n in re.findall(r"\d+", plan.tile)[:2]]
        blocks = sum(_blocks(each, sides) for each in plan.launches)
        area = float(np.prod(sides or [1]))
        threads = max(float(np.prod(each.block)) for each in plan.launches)
        waves = -(-blocks // self._info.sm_count)
        return len(plan.launches) * 2e-6 + waves * _BLOCK_S * max(area, threads) / 4096

    def captured(self, programs: Sequence[FakeProgram], turns: int = 1) -> FakeProgram:
        steps = [step for program in programs for step in program.steps] * turns
        return FakeProgram(steps, turns * sum(p.time_s for p in programs))

    def _read_s(self, program: FakeProgram) -> float:
        return self.slower * program.time_s * float(np.exp(self._random.normal(0, self._noise)))

    def hot(self, programs: Sequence[FakeProgram], calls: int) -> float:
        return float(np.mean([self._read_s(programs[i % len(programs)]) for i in range(calls)]))

    def cold(
        self, programs: Sequence[FakeProgram], before: Sequence[FakeProgram], calls: int
    ) -> list[float]:
        self.cold_calls.append((len(before), calls))
        times_s = [self._read_s(programs[i % len(programs)]) for i in range(calls)]
        return [self.events_s + time_s for time_s in times_s]

    def enqueued(self, programs: Sequence[FakeProgram], calls: int) -> float:
        return 3e-6 + self.hot(programs, calls)


class FakeWatch:
    """Says each of `states` in turn, the last of them from then on."""

    def __init__(self, states: Sequence[State] = (State(1.5e9, 40.0),)) -> None:
        self.states, self.asked = list(states), 0

    def read(self) -> State:
        self.asked += 1
        return self.states[min(self.asked, len(self.states)) - 1]

    def energy_j(self) -> float:
        return float("nan")


class FakeMeter:
    """An energy counter that steps every 20 ms, and a clock that work and naps move."""

    def __init__(self, idle_power_w: float = 100.0) -> None:
        self._now_s = self._drawn_j = self._told_j = 0.0
        self._step_s = 0.0
        self._idle_power_w = idle_power_w

    def pass_by(self, seconds: float, power_w: float | None = None) -> None:
        self._now_s += seconds
        self._drawn_j += seconds * (self._idle_power_w if power_w is None else power_w)
        if self._now_s >= self._step_s + 0.02:
            self._step_s, self._told_j = self._now_s, self._drawn_j

    def clock(self) -> float:
        return self._now_s

    def energy_j(self) -> float:
        return self._told_j
