"""Pareto fronts against a direct definition, and limits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import alphaflops as af
from alphaflops.errors import ModelError, UnsupportedError


def beaten_by_definition(costs):
    no_worse = (costs[:, None] <= costs[None]).all(axis=2)
    better = (costs[:, None] < costs[None]).any(axis=2)
    return (no_worse & better).any(axis=0)


@settings(max_examples=200, deadline=None)
@given(st.integers(2, 4), st.integers(0, 60), st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_pareto_is_what_its_definition_says(objectives, n, levels, seed):
    # Few levels give many ties and duplicates.
    rng = np.random.default_rng(seed)
    costs = rng.integers(0, levels, (n, objectives)).astype(float)
    costs[rng.random(costs.shape) < 0.05] = rng.choice([np.inf, -np.inf])
    expected = np.flatnonzero(~beaten_by_definition(costs))
    assert af.pareto(costs).tolist() == expected.tolist()


@pytest.mark.parametrize("objectives", [2, 3, 4])
def test_large_populations_go_through_the_sieve(objectives):
    rng = np.random.default_rng(objectives)
    costs = rng.integers(0, 300, (12000, objectives)).astype(float)
    front = af.pareto(costs)
    beats = [(costs <= row).all(axis=1) & (costs < row).any(axis=1) for row in costs[front]]
    assert not np.any(beats)
    others = np.setdiff1d(np.arange(len(costs)), front)
    on_front = costs[front]
    for row in costs[others]:
        assert ((on_front <= row).all(axis=1) & (on_front < row).any(axis=1)).any()


def test_duplicates_are_kept_and_maximise_turns_an_objective_around():
    costs = np.array([[1.0, 5.0], [2.0, 9.0], [1.0, 5.0], [3.0, 8.0]])
    assert af.pareto(costs).tolist() == [0, 2]
    assert af.pareto(costs, maximise=1).tolist() == [0, 1, 2]
    named = {"time_s": costs[:, 0], "accuracy": costs[:, 1]}
    assert af.pareto(named, maximise="accuracy").tolist() == [0, 1, 2]
    assert af.pareto(named, maximise=["time_s", "accuracy"]).tolist() == [1, 3]
    assert af.pareto(costs, maximise=np.int64(1)).tolist() == [0, 1, 2]
    assert af.pareto(costs, maximise=np.array([-1])).tolist() == [0, 1, 2]


def test_costs_may_be_a_structured_array():
    costs = np.zeros(3, [("time_s", float), ("params", np.int64)])
    costs["time_s"], costs["params"] = [1.0, 2.0, 3.0], [30, 10, 20]
    before = costs.copy()
    assert af.pareto(costs, maximise="params").tolist() == [0]
    assert af.pareto(costs).tolist() == [0, 1]
    assert af.within(costs, time_s=2.5, params=15).tolist() == [False, True, False]
    for pair in ((15, 30), [15, 30], np.array([15, 30]), (15, None), (15, np.float32(30))):
        assert af.within(costs, params=pair).tolist() == [True, False, True]
    assert af.within(costs, params=(None, 15)).tolist() == [False, True, False]
    assert af.within(costs, params=None).all()
    assert af.within(costs).all()
    assert (costs == before).all()


def test_empty_populations_have_empty_fronts():
    for objectives in (2, 3):
        assert af.pareto(np.zeros((0, objectives))).shape == (0,)


@pytest.mark.parametrize(
    ("costs", "more", "error", "message"),
    [
        (np.zeros((3, 1)), {}, ModelError, "1 objectives"),
        (np.zeros((3, 5)), {}, ModelError, "5 objectives"),
        (np.zeros(3), {}, ModelError, r"shape \[3\]"),
        ([[0.0, 1.0], [np.nan, 1.0]], {}, ModelError, "0 is NaN in row 1"),
        ({"a": [1.0], "b": [1.0, 2.0]}, {}, ModelError, "a of 1, b of 2"),
        ({"a": ["x"], "b": ["y"]}, {}, ModelError, "a is of"),
        ({}, {}, ModelError, "empty"),
        ({"a": np.zeros((3, 2)), "b": np.zeros(3)}, {}, ModelError, "2 profiles"),
        (np.zeros((3, 2)), {"maximise": "time_s"}, UnsupportedError, "'time_s' is not among"),
        (np.zeros((3, 2)), {"maximise": 2}, UnsupportedError, "objective 2"),
        (np.zeros((3, 2)), {"maximise": True}, UnsupportedError, "True is not among"),
        (np.zeros((3, 2)), {"maximise": (0, 0)}, ModelError, "0 more than once"),
        (np.zeros((3, 2)), {"maximise": (0, -2)}, ModelError, "0 more than once"),
        ({"a": [1.0], "b": [1.0]}, {"maximise": ("b", 1)}, ModelError, "b more than once"),
    ],
)
def test_pareto_refuses(costs, more, error, message):
    with pytest.raises(error, match=message):
        af.pareto(costs, **more)


def test_within_compares_floats_as_doubles_and_integers_exactly():
    column = np.array([0.1, 0.2], np.float32)
    assert not af.within({"time_s": column}, time_s=0.1).any(), "the first is 0.1000000015"
    assert af.within({"time_s": column.astype(np.float16)}, time_s=1e5).all()
    assert af.within({"macs": np.array([2**53 + 1])}, macs=10**400).all()


def test_within_refuses():
    costs = {"time_s": np.array([1.0, np.nan]), "params": np.array([1, 2])}
    assert af.within(costs, params=1).tolist() == [True, False]
    with pytest.raises(ModelError, match="time_s is NaN in row 1"):
        af.within(costs, time_s=1.0)
    with pytest.raises(UnsupportedError, match="'energy_j' is not among"):
        af.within(costs, energy_j=1.0)
    with pytest.raises(ModelError, match="limit of params is NaN"):
        af.within(costs, params=float("nan"))


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ("1M", "is '1M'; give a number, or None"),
        ((1, "2"), "is '2'; give a number"),
        ([1, 2, 3], r"has 3 values; give the most, or a pair \(least, most\)"),
        (np.zeros((2, 2)), "is \\[0.0, 0.0\\]; give a number"),
        ((30, 15), r"from 30 to 15; give \(least, most\)"),
        ((0, np.nan), "is NaN"),
    ],
)
def test_what_is_no_limit(limit, said):
    with pytest.raises(ModelError, match=f"the limit of params (is )?{said}"):
        af.within({"params": np.array([1, 2])}, params=limit)


def test_counts_are_exact_beyond_what_floats_hold():
    counts = np.array([2**53 + 1, 2**53, 2**53 + 2, 2**63 - 1, 2**63 - 2])
    costs = {"macs": counts, "loss": np.arange(5.0)}
    assert af.pareto(costs).tolist() == [0, 1]
    assert af.pareto(costs, maximise="macs").tolist() == [0, 2, 3]
    assert af.pareto({**costs, "macs": -counts}, maximise="macs").tolist() == [0, 1]
    assert af.within(costs, macs=2**53).tolist() == [False, True, False, False, False]
    assert af.within(costs, macs=(2**53 + 2, 2**63 - 2)).tolist() == [
        False,
        False,
        True,
        False,
        True,
    ]
    assert af.within(costs, macs=(np.int64(2**63 - 1), None)).tolist() == [False] * 3 + [
        True,
        False,
    ]
    assert af.within(costs, macs=2**70).all()
    assert not af.within(costs, macs=-(2**70)).any()
    assert af.within({"n": counts.astype(np.uint64)}, n=(-1, 2**53)).sum() == 1
