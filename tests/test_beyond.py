"""What convolutions move beyond the device's cache: priced beside every form, where rows ask."""

from __future__ import annotations

import numpy as np
import pytest
from costs import ROOFLINE, predict, tiled
from measurements import shapes, timed, with_column

from alphaflops.fitting import fit
from alphaflops.fitting.forms import rows_of
from alphaflops.fitting.solve import fit_forms
from alphaflops.table import work_table

CACHE = 2.0**20
PRICE = 9e-11
BEYOND = {"seconds_per_byte_beyond": PRICE, "cache_bytes": CACHE}
MOVING = {"seconds_per_byte_read": 2e-11, "seconds_per_byte_written": 3e-11, "floor_s": 1e-6}
ALPHA = {"seconds_per_mac": 1e-11, "beta": 0.02, "gamma": 0.7}
FORMS = {"alpha": ALPHA, "roofline-alpha": ROOFLINE, "tiled": tiled({}, processors=4.0)}


@pytest.mark.parametrize("form", FORMS)
def test_a_price_beside_every_form(form):
    work = work_table(shapes(200, 1))
    over = rows_of(work).bytes_beyond(CACHE)
    assert 40 < (over > 0).sum() < 160
    plain = predict(work, form, FORMS[form])
    got = predict(work, form, FORMS[form] | BEYOND)
    np.testing.assert_allclose(got.time_s, plain.time_s + PRICE * over, rtol=1e-13)
    np.testing.assert_array_equal(got.alpha, plain.alpha)


def device(price, *, noise=0.03, seed=1):
    """Return depthwise convolutions and element operators of one device."""
    table = shapes(160, seed, ops=("conv2d", "relu"), kernels=(3, 5), groups=True)
    more = {**BEYOND, "seconds_per_byte_beyond": price}
    time_s = timed(table, {"elementwise": MOVING | BEYOND, "conv_grouped": MOVING})["time_s"]
    convolutions = table["op"] == "conv2d"
    work = work_table(table[convolutions])
    time_s[convolutions] = predict(work, "roofline-alpha", ROOFLINE | more).time_s
    scatter = np.exp(noise * np.random.default_rng(seed).normal(size=len(table)))
    return with_column(table, "time_s", time_s * scatter)


def test_convolutions_have_it_where_their_rows_ask():
    fitted = fit(device(PRICE))
    for form in ("roofline-alpha", "tiled"):
        found = fitted.forms[form].parameters["conv_grouped"]
        assert found["cache_bytes"] == pytest.approx(CACHE, rel=0.2)
        assert found["seconds_per_byte_beyond"] == pytest.approx(PRICE, rel=0.35)
    errors = fitted.forms["roofline-alpha"].standard_errors["conv_grouped"]
    assert 0 < errors["seconds_per_byte_beyond"] < 0.3 * PRICE
    assert fitted.errors.mape < 0.06
    assert "beyond [ms/MB]" in str(fitted)
    model = next(m for m in fitted.profile.data["models"] if m["kind"] == "conv_grouped")
    assert model["parameters"]["seconds_per_byte_beyond"] > 0


def test_convolutions_do_without_it_where_they_do_not():
    with_one = 0
    for seed in range(6):
        table = device(0.0, noise=0.1, seed=seed)
        forms, _ = fit_forms(rows_of(work_table(table)), table["time_s"])
        assert "cache_bytes" in forms["macs"]["elementwise"].parameters
        with_one += "cache_bytes" in forms["roofline-alpha"]["conv_grouped"].parameters
    assert with_one <= 1


def test_nothing_is_found_where_nothing_tells_a_cache():
    table = device(PRICE)
    alone = fit(table[table["op"] == "conv2d"])
    for form in ("roofline-alpha", "tiled"):
        assert "cache_bytes" not in alone.forms[form].parameters["conv_grouped"]
