"""What is held out together, intervals from held-out residuals, and errors by hand."""

from __future__ import annotations

import numpy as np
import pytest
from measurements import ALPHA_FLOOR, shapes, timed, with_column

from alphaflops.fitting.conformal import Interval, covered_out_of_fold, interval, intervals_by_kind
from alphaflops.fitting.folds import fold_ids
from alphaflops.fitting.metrics import errors_of, spearman


def test_conformal_ranks_by_hand():
    residuals = np.log(np.arange(1, 20))  # 19 rows: the whole range
    assert interval(residuals) == Interval(1.0, pytest.approx(19))
    assert interval(np.linspace(-1, 1, 39)) == pytest.approx((np.exp(-18 / 19), np.exp(18 / 19)))
    nine = np.array([0.1, -0.2, 0.0, 0.05, 0.3, -0.1, 0.2, 0.1, 0.0])
    assert interval(nine) == pytest.approx((np.exp(-0.3), np.exp(0.3)))
    assert interval(nine[:8]) is None
    assert Interval(0.5, 2).widened() == pytest.approx((0.25, 4))
    assert Interval(1e-5, 1e5).widened() == pytest.approx((1e-6, 1e6), rel=1e-4)


def test_conformal_coverage_is_at_least_its_level():
    rng = np.random.default_rng(0)
    for n in (9, 19, 30, 100):
        held = []
        for _ in range(400):
            low, high = np.log(interval(rng.normal(size=n)))
            fresh = rng.normal(size=100)
            held.append(((low <= fresh) & (fresh <= high)).mean())
        assert 0.89 <= np.mean(held) <= 0.95, n


def test_a_kind_of_few_rows_has_the_wider_interval():
    residuals = np.r_[np.linspace(-1, 1, 50), 0.1, 0.1]
    kinds = np.array(["many"] * 50 + ["few"] * 2)
    found = intervals_by_kind(residuals, kinds)
    assert found["few"].upper_factor >= found["many"].upper_factor * 0.9
    covered = covered_out_of_fold(residuals, kinds, np.arange(52) % 5)
    assert covered[-2:].all()


def test_groups_are_never_apart():
    table = with_column(timed(shapes(100, 1), ALPHA_FLOOR), "line", np.arange(100) % 7)
    kinds = np.full(100, "any")
    ids, said = fold_ids(table, kinds, ["line"], 0)
    assert said == "leaving out each of 7 groups by line"
    assert all(len(np.unique(ids[table["line"] == i])) == 1 for i in range(7))
    ids, said = fold_ids(table, kinds, ["h_in", "c_in"], 0)
    assert "20 folds of" in said
    assert len(np.unique(ids)) == 20


def test_rows_of_one_shape_are_never_apart():
    table = shapes(40, 1)
    ids, said = fold_ids(np.concatenate([table, table]), np.full(80, "any"), None, 0)
    assert said == "5-fold over shapes"
    assert (ids[:40] == ids[40:]).all()
    assert np.bincount(ids).min() >= 6


def test_metrics_by_hand():
    errors = errors_of(np.array([1.0, 2.2, 3.0, np.nan]), np.array([1.0, 2.0, 4.0, 1.0]))
    assert errors.n == 3
    assert errors.mape == pytest.approx((0 + 0.1 + 0.25) / 3)
    assert errors.mdape == pytest.approx(0.1)
    assert errors.within_10pct == pytest.approx(1 / 3)  # 0.1 in binary lies just above
    assert errors.spearman == pytest.approx(1)
    assert errors.to_json()["coverage_90"] is None
    assert spearman(np.array([1.0, 2, 3, 4]), np.array([4.0, 3, 2, 1])) == pytest.approx(-1)
    assert spearman(np.array([1.0, 2, 2, 3]), np.array([1.0, 3, 2, 4])) == pytest.approx(0.9486833)
    assert np.isnan(spearman(np.ones(3), np.arange(3.0)))
