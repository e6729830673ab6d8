"""Which shapes to measure next."""

from __future__ import annotations

import numpy as np
import pytest
from measurements import ALPHA_FLOOR, shapes, timed

import alphaflops as af
from alphaflops.errors import ShapeError
from alphaflops.measuring.adaptive import choose, seconds_to_measure
from alphaflops.table import work_table


@pytest.fixture(scope="module")
def known():
    return timed(shapes(40, seed=1), ALPHA_FLOOR, noise=0.02)


def test_what_is_known_already_is_not_chosen(known):
    fresh = shapes(40, seed=2)
    pool = np.concatenate([fresh, known[list(fresh.dtype.names)]])
    chosen = choose(known, pool, 1.0)
    assert len(chosen) > 0
    assert len(set(chosen)) == len(chosen)
    assert (chosen[:10] < len(fresh)).all()


def test_the_budget_pays_for_what_is_chosen(known):
    pool = timed(shapes(300, seed=3), ALPHA_FLOOR)
    for budget_s in (0.2, 1.0):
        cost_s = seconds_to_measure(pool["time_s"][choose(known, pool, budget_s)]).sum()
        assert 0.5 * budget_s < cost_s < 1.3 * budget_s


def test_of_two_alike_only_one_is_chosen_early(known):
    pool = shapes(30, seed=4)
    doubled = np.concatenate([pool, pool])
    chosen = choose(known, doubled, 0.3)
    assert len({int(i) % 30 for i in chosen}) == len(chosen)


def test_cheap_shapes_come_first(known):
    pool = shapes(300, seed=5)
    macs = work_table(pool).macs
    chosen = choose(known, pool, 0.5)
    assert np.median(macs[chosen]) < np.median(macs)


def test_next_shapes_can_be_measured_and_are_the_same_for_a_seed(known):
    first, again = (af.next_shapes(known, 0.3, seed=7) for _ in range(2))
    assert (first == again).all()
    assert "time_s" not in first.dtype.names
    assert len(work_table(first).macs) == len(first)


@pytest.mark.parametrize("budget_s", [0.0, -1.0, float("nan")])
def test_a_budget_that_is_none_is_refused(known, budget_s):
    with pytest.raises(ShapeError, match="budget_s"):
        af.next_shapes(known, budget_s)
