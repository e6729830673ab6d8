"""The pace of the machine is taken out of readings: what is common to them, and nothing else."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from alphaflops.measuring.pace import at_one_pace
from alphaflops.measuring.readings import Reading, summarise

TURNS = 30


def is_slow(at: float) -> bool:
    return int(at) % 2 == 0


def campaign(
    rows: int = 60, *, slow: float = 1.3, noise: float = 0.02, seed: int = 0
) -> tuple[list[list[Reading]], np.ndarray]:
    """Return readings in random rounds, slower in every second second, and the rows' seconds."""
    random = np.random.default_rng(seed)
    time_s = 10.0 ** random.uniform(-5, -3, rows)
    readings: list[list[Reading]] = [[] for _ in range(rows)]
    at = 0.0
    for _ in range(TURNS):
        for row in random.permutation(rows).tolist():
            at += 0.003
            pace = slow if is_slow(at) else 1.0
            seconds = time_s[row] * pace * math.exp(noise * random.normal())
            readings[row].append(Reading(seconds, at=at, reorder_s=seconds / 4))
    return readings, time_s


def errors(readings: list[list[Reading]], time_s: np.ndarray) -> np.ndarray:
    """Return those of rows, but for one that all have in common: which pace is the usual one."""
    found = np.log([summarise(taken).time_s for taken in readings] / time_s)
    return found - np.median(found)


@pytest.mark.parametrize("seed", range(3))
def test_a_slow_phase_leaves_no_trace(seed: int) -> None:
    readings, time_s = campaign(seed=seed)
    steady, _ = campaign(seed=seed, slow=1.0)
    even = at_one_pace(readings)
    assert np.abs(errors(even, time_s)).max() < 0.02
    assert np.std(errors(even, time_s)) < 1.3 * np.std(errors(steady, time_s))
    assert np.std(errors(readings, time_s)) > 5 * np.std(errors(even, time_s))
    # Half of the readings are slow: medians of what was read lie anywhere between.
    wide = [summarise(taken).spread for taken in readings]
    narrow = [summarise(taken).spread for taken in even]
    assert np.median(narrow) < 0.5 * np.median(wide)


def test_rows_read_in_different_phases_are_at_one_pace() -> None:
    readings, time_s = campaign(rows=40, slow=1.5)
    for row, taken in enumerate(readings):
        if row % 4 == 0:
            readings[row] = [r for r in taken if is_slow(r.at) == (row % 8 == 0)]
    found = errors(at_one_pace(readings), time_s)
    assert found[::8].mean() == pytest.approx(found[4::8].mean(), abs=0.02)
    raw = errors(readings, time_s)
    assert raw[::8].mean() > raw[4::8].mean() + 0.3


def test_a_steady_machine_loses_nothing() -> None:
    readings, time_s = campaign(slow=1.0)
    before, after = errors(readings, time_s), errors(at_one_pace(readings), time_s)
    assert np.std(after) < 1.2 * np.std(before)
    assert after.mean() == pytest.approx(before.mean(), abs=0.003)


def test_what_a_row_does_by_itself_stays() -> None:
    """One row has two times of its own: no other says so, and it keeps both."""
    readings, _ = campaign(slow=1.0, noise=0.005)
    readings[7] = [
        replace(r, time_s=r.time_s * factor)
        for r, factor in zip(readings[7], itertools.cycle([1.0, 2.0]), strict=False)
    ]
    ratios = [
        a.time_s / b.time_s for a, b in zip(at_one_pace(readings)[7], readings[7], strict=True)
    ]
    assert ratios == pytest.approx([1.0] * TURNS, abs=0.01)


@pytest.mark.parametrize("rows", [1, 2, 4])
def test_few_rows_tell_no_pace(rows: int) -> None:
    """Their common noise would be taken for the machine's, and intervals for narrower."""
    readings, _ = campaign(rows=rows)
    assert at_one_pace(readings) == readings


def test_too_few_readings_tell_nothing() -> None:
    readings, _ = campaign()
    few = [taken[:2] for taken in readings]
    assert at_one_pace(few) == few
    assert at_one_pace([[], []]) == [[], []]
    assert at_one_pace([]) == []


def test_disturbed_readings_tell_nothing_and_are_told() -> None:
    readings, _ = campaign(noise=0.001)
    disturbed = []
    for taken in readings[::5]:
        slow, fast = (next(i for i, r in enumerate(taken) if is_slow(r.at) == s) for s in (1, 0))
        for i in (slow, fast):
            taken[i] = replace(taken[i], time_s=taken[i].time_s * 5, switches=1)
        disturbed.append((slow, fast))
    even = at_one_pace(readings)
    paces = np.array(
        [
            [taken[i].time_s / after[i].time_s for i in both]
            for taken, after, both in zip(readings[::5], even[::5], disturbed, strict=True)
        ]
    )
    assert np.median(paces[:, 0] / paces[:, 1]) == pytest.approx(1.3, abs=0.01)


@pytest.mark.filterwarnings("error")
def test_calls_that_take_no_more_than_the_clock_tell_nothing() -> None:
    readings, _ = campaign()
    even = at_one_pace(readings)
    readings[3] = [replace(r, time_s=0.0) for r in readings[3]]
    found = at_one_pace(readings)
    assert {r.time_s for r in found[3]} == {0.0}
    moved = [a.time_s / b.time_s for a, b in zip(found[4], even[4], strict=True)]
    assert moved == pytest.approx([1.0] * TURNS, abs=0.02)


def test_the_part_that_changed_the_layout_is_divided_likewise() -> None:
    parts = [r.reorder_s / r.time_s for taken in at_one_pace(campaign()[0]) for r in taken]
    assert parts == pytest.approx([0.25] * len(parts))
