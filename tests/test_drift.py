"""Times that grow with the order of measurement."""

from __future__ import annotations

import numpy as np
import pytest
from measurements import shapes, with_column

import alphaflops as af
from alphaflops.errors import TableError
from alphaflops.fitting import evaluate
from alphaflops.fitting.drift import Drift, drift_s, suspicion
from alphaflops.table import check_table, work_table

DRIFT_S = 4e-4


@pytest.fixture(scope="module")
def drifting():
    """50 GMAC/s and a floor of 20 us, measured with an overhead that grows to 0.4 ms."""
    table = shapes(80, seed=3)
    random = np.random.default_rng(5)
    macs = work_table(table).macs
    cost_s = (2e-5 + macs / 5e10) * np.exp(0.02 * random.normal(size=len(table)))
    position = random.permutation(len(table)) / (len(table) - 1)
    timed = check_table(with_column(table, "time_s", cost_s + DRIFT_S * position))
    return with_column(timed, "at", position * 1000), cost_s


def test_a_known_order_takes_the_drift_out(drifting):
    table, cost_s = drifting
    fitted = af.fit(table, order="at", device_facts={"threads": 1})
    blind = af.fit(table, device_facts={"threads": 1})
    assert fitted.errors.mape < 0.6 * blind.errors.mape
    assert any("times grew by" in note for note in fitted.profile.assumptions)
    truth = with_column(table, "time_s", cost_s)
    assert evaluate(fitted, truth).mape < 0.6 * evaluate(blind, truth).mape


def test_the_line_is_found_beside_a_prediction():
    position = np.linspace(0, 1, 50)
    cost_s = np.geomspace(1e-4, 1e-2, 50)
    found = drift_s(cost_s + 3e-4 * position + 1e-5, cost_s, position)
    assert found == pytest.approx(3e-4, rel=0.02)


def test_a_test_table_with_the_column_is_corrected_alike(drifting):
    table, _ = drifting
    drift = Drift("at", 0.0, 1000.0, DRIFT_S)
    corrected = drift.taken_out_of(table[:10])
    np.testing.assert_allclose(
        corrected["time_s"], table["time_s"][:10] - DRIFT_S * table["at"][:10] / 1000
    )
    assert Drift("row", 0, 9, DRIFT_S).taken_out_of(table) is table


def test_no_time_turns_negative():
    drift = Drift("at", 0.0, 1.0, 1.0)
    assert drift.corrected(np.array([0.5]), np.array([1.0]))[0] == pytest.approx(0.025)


def test_rows_whose_residuals_follow_their_order_are_said():
    random = np.random.default_rng(0)
    cost_s = np.exp(random.normal(-7, 1, 400))
    grown = cost_s + 1e-3 * np.linspace(0, 1, 400)
    assert "order='row'" in suspicion(grown, cost_s)
    assert suspicion(cost_s * np.exp(0.1 * random.normal(size=400)), cost_s) == ""


@pytest.mark.parametrize(
    ("order", "named"), [("when", "'when' not found"), ("device", "numbers"), ("h_in", "same in")]
)
def test_an_order_that_is_none_is_refused(drifting, order, named):
    table, _ = drifting
    table = table.copy()
    table["h_in"] = 1
    table["h_out"] = table["w_out"] = 0
    with pytest.raises(TableError, match=named):
        af.fit(table, order=order, device_facts={"threads": 1})
