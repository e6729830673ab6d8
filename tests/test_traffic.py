"""A cache beyond which bytes cost more: found where there is one, and only there."""

from __future__ import annotations

import numpy as np
import pytest
from measurements import shapes, timed

from alphaflops.fitting import fit
from alphaflops.fitting.forms import rows_of
from alphaflops.fitting.solve import fit_forms
from alphaflops.table import work_table

RATES = {
    "seconds_per_byte_read": 2e-11,
    "seconds_per_byte_written": 3e-11,
    "floor_s": 1e-6,
    "sharpness": 3.0,
}
CACHE = 2.0**20
OPS = ("relu", "batch_norm", "max_pool")
KINDS = ("elementwise", "norm", "pool")


def beyond(rate):
    """Return parameters of every kind, on a device whose cache has CACHE bytes."""
    return dict.fromkeys(KINDS, RATES | {"seconds_per_byte_beyond": rate, "cache_bytes": CACHE})


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_a_cache_is_found(noise):
    fitted = fit(timed(shapes(120, 1, ops=OPS), beyond(9e-11), noise=noise))
    for kind in KINDS:
        found = fitted.parameters[kind]
        assert found["cache_bytes"] == pytest.approx(CACHE, rel=0.01 + 5 * noise), kind
        assert found["seconds_per_byte_beyond"] == pytest.approx(9e-11, rel=0.05 + 2 * noise)
        assert fitted.forms["macs"].parameters[kind] == found  # the same in every form
    fresh = timed(shapes(60, 2, ops=OPS), beyond(9e-11))
    assert fit(fresh, form="macs").errors.mape < 0.02
    assert "beyond [ms/MB]" in str(fitted)


def test_what_needs_no_cache_has_none():
    table = shapes(120, 1, ops=OPS)
    rows = rows_of(work_table(table))
    with_one = 0
    for seed in range(20):
        time_s = timed(table, dict.fromkeys(KINDS, RATES), noise=0.1, seed=seed)["time_s"]
        forms, _ = fit_forms(rows, time_s, rich=False)
        with_one += any("cache_bytes" in forms["macs"][kind].parameters for kind in KINDS)
    assert with_one <= 3  # 4 of 100 have one


def test_a_kind_that_is_not_slower_beyond_has_no_price_for_it():
    device = beyond(9e-11) | {"norm": RATES}
    found = fit(timed(shapes(150, 3, ops=OPS), device, noise=0.02)).parameters
    assert "cache_bytes" not in found["norm"]
    assert found["pool"]["cache_bytes"] == found["elementwise"]["cache_bytes"]


def test_few_rows_have_no_cache():
    found = fit(timed(shapes(9, 1, ops=("relu",)), beyond(9e-10))).parameters["elementwise"]
    assert "cache_bytes" not in found


def test_a_better_description_of_large_and_small():
    table = timed(shapes(120, 4, ops=OPS), beyond(9e-11), noise=0.05)
    fitted = fit(table)
    rows, time_s = fitted.held_out.rows, fitted.held_out.time_s
    large = rows.bytes_moved > 4 * CACHE
    error = np.abs(fitted.held_out.predicted_s["macs"] / time_s - 1)
    assert error[large].mean() < 0.08
    assert error[~large].mean() < 0.08
