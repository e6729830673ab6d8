"""Medians and their intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest

from alphaflops.measuring.readings import Reading, interval_ranks, summarise


def readings(times: list[float], **kwargs: float) -> list[Reading]:
    return [Reading(t, **kwargs) for t in times]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("n", "ranks"), [(1, (0, 0)), (4, (0, 3)), (5, (0, 4)), (7, (0, 6)), (8, (1, 6)), (11, (2, 8))]
)
def test_ranks(n: int, ranks: tuple[int, int]) -> None:
    assert interval_ranks(n) == ranks


@pytest.mark.parametrize("n", range(5, 60))
def test_ranks_are_the_narrowest_of_their_level(n: int) -> None:
    k, high = interval_ranks(n)
    assert high == n - 1 - k

    def outside(k: int) -> float:  # P(fewer than k + 1 of n below the median), both sides
        return 2 * sum(math.comb(n, i) for i in range(k + 1)) / 2**n

    assert outside(k) <= 0.1 < outside(k + 1)


@pytest.mark.parametrize("n", [99, 101, 150, 400])
def test_ranks_of_many(n: int) -> None:
    k, _ = interval_ranks(n)
    outside = 2 * sum(math.comb(n, i) for i in range(k + 1)) / 2**n
    assert 0.05 < outside <= 0.1


def test_interval_covers_the_median_whatever_the_distribution() -> None:
    random = np.random.default_rng(0)
    covered = 0
    for _ in range(500):
        summary = summarise(readings(random.lognormal(0, 1, 11).tolist()))
        covered += summary.time_lo_s <= 1.0 <= summary.time_hi_s
    assert covered / 500 >= 0.9


def test_disturbed_samples_count_only_where_clean_ones_are_few() -> None:
    clean = readings([1.0, 1.1, 1.2])
    stolen = readings([9.0, 9.5], steal_s=0.01)
    switched = readings([8.0], switches=1)
    summary = summarise([*stolen, *clean, *switched])
    assert summary.time_s == 1.1
    assert (summary.time_lo_s, summary.time_hi_s) == (1.0, 1.2)
    assert summary.samples == 3
    assert summary.steal_s == pytest.approx(0.02)
    assert summarise([*stolen, *clean[:2]]).samples == 4
    assert summarise(stolen).time_s == 9.25


def test_settled_and_unstable() -> None:
    assert not summarise(readings([1.0] * 4)).is_settled
    assert summarise(readings([1.0] * 4)).is_unstable
    assert summarise(readings([0.995, 1.0, 1.0, 1.0, 1.005])).is_settled
    loose = summarise(readings([0.97, 1.0, 1.0, 1.0, 1.0]))
    assert not loose.is_settled
    assert not loose.is_unstable
    assert summarise(readings([1.0, 1.0, 1.0, 1.0, 1.2])).is_unstable


def test_readings_of_two_modes():
    slept, awake = readings([9.0, 9.4, 8.8, 9.9, 9.1, 9.7]), readings([1.0, 1.02, 1.01, 0.99, 1.03])
    both = [*slept, *awake]
    assert summarise(both).time_s == 8.8
    by_mode = summarise(both, by_mode=True)
    assert by_mode.time_s == pytest.approx(1.01, rel=0.02)
    assert by_mode.time_lo_s <= by_mode.time_s <= by_mode.time_hi_s
    # A tail is no mode of its own.
    tailed = readings([1.0, 1.05, 1.1, 1.1, 1.12, 1.15, 1.2, 3.0], clock_hz=1e9)
    assert summarise(tailed, by_mode=True) == summarise(tailed)
