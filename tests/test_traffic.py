"""A cache, factors of operators, a price of taps: found where there are such, and only there."""

from __future__ import annotations

import numpy as np
import pytest
from measurements import shapes, timed

from alphaflops import _core
from alphaflops.fitting import fit
from alphaflops.fitting.forms import rows_of
from alphaflops.fitting.solve import fit_forms
from alphaflops.profiles import Profile
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


def pools(n, seed=0):
    """Return rows of pools with windows of 2 x 2 and 3 x 3."""
    table = shapes(n, seed, ops=("max_pool", "avg_pool"))
    kernel = np.random.default_rng(seed + 1000).choice([2, 3], n)
    table["h_in"] = table["w_in"] = np.maximum(table["h_in"], 4)
    for column in ("k_h", "k_w"):
        table[column] = kernel
    for column in ("stride_h", "stride_w"):
        table[column] = 2
    return table


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
    assert with_one <= 2


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


UNLIKE = {"hardsigmoid": 1.6, "hardswish": 1.0, "relu": 0.5}


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_factors_of_operators_are_found(noise):
    table = shapes(90, 1, ops=tuple(UNLIKE))
    fitted = fit(timed(table, {"elementwise": RATES | {"op_factors": UNLIKE}}, noise=noise))
    found = fitted.parameters["elementwise"]
    factors, errors = (
        found["op_factors"],
        fitted.forms["macs"].standard_errors["elementwise"]["op_factors"],
    )
    assert list(factors) == sorted(UNLIKE)
    for op in ("hardsigmoid", "relu"):
        ratio = factors[op] / factors["hardswish"]
        assert ratio == pytest.approx(UNLIKE[op], rel=0.02 + noise), op
        assert 0 < errors[op] < 0.1 + noise
    assert np.log(list(factors.values())).sum() == pytest.approx(0.0, abs=1e-9)  # 1 is typical
    assert "cache_bytes" not in found
    assert fitted.errors.mape < 0.01 + noise
    assert "operator of the kind:\nelementwise  hardsigmoid 1." in str(fitted)


def test_an_operator_that_was_not_timed_is_a_typical_one():
    table = timed(shapes(90, 1, ops=tuple(UNLIKE)), {"elementwise": RATES | {"op_factors": UNLIKE}})
    profile = fit(table, form="macs").profile
    data = profile.data
    del data["models"][0]["parameters"]["op_factors"]
    typical = Profile.from_dict(data)
    for op in ("mul", "hardsigmoid"):
        work = work_table(shapes(20, 3, ops=(op,)))
        got, without = (_core.predict(work, p.core).time_s for p in (profile, typical))
        assert ((got == without) if op == "mul" else (got > without)).all(), op


def test_operators_alike_have_no_factors():
    table = shapes(120, 1, ops=("add", "relu", "mul", "batch_norm", "layer_norm"))
    rows = rows_of(work_table(table))
    device, unlike = {"elementwise": RATES, "norm": RATES}, 0
    for seed in range(20):
        time_s = timed(table, device, noise=0.1, seed=seed)["time_s"]
        forms, _ = fit_forms(rows, time_s, rich=False)
        unlike += any("op_factors" in forms["macs"][kind].parameters for kind in device)
    assert unlike <= 1


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_taps_have_a_price_where_windows_tell(noise):
    device = {"pool": RATES | {"seconds_per_tap": 4e-10, "op_factors": {"avg_pool": 0.4}}}
    found = fit(timed(pools(80), device, noise=noise)).parameters["pool"]
    assert found["seconds_per_tap"] / found["seconds_per_byte_read"] == pytest.approx(
        20.0, rel=0.01 + 6 * noise
    )
    factors = found["op_factors"]
    assert factors["avg_pool"] / factors["max_pool"] == pytest.approx(0.4, rel=0.01 + noise)
    plain = fit(timed(pools(80), {"pool": RATES}, noise=noise)).parameters["pool"]
    assert "seconds_per_tap" not in plain


def test_few_rows_have_no_factors():
    device = {"elementwise": RATES | {"op_factors": {"add": 3.0}}}
    few = fit(timed(shapes(5, 1, ops=("add", "relu")), device, noise=0.05))
    assert "op_factors" not in few.parameters["elementwise"]


def test_factors_are_no_cache():
    """A fit with a cache begins where that without ends, and is pulled to the same centre."""
    ops = ("add", "hardsigmoid", "hardswish", "mul", "relu", "relu6")
    factors = dict(zip(ops, (3, 2, 1, 1, 0.5, 0.3), strict=True))
    device = {"elementwise": RATES | {"op_factors": factors}}
    with_one = 0
    for seed in range(10):
        table = timed(shapes(80, 1, ops=ops), device, noise=0.03, seed=seed)
        forms, _ = fit_forms(rows_of(work_table(table)), table["time_s"], rich=False)
        assert "op_factors" in forms["macs"]["elementwise"].parameters
        with_one += "cache_bytes" in forms["macs"]["elementwise"].parameters
    assert with_one <= 1


def test_factors_that_show_only_beside_a_cache():
    """Either alone explains little: it makes some rows of every operator too fast."""
    table = shapes(56, 2, ops=("add", "add", "add", "relu", "relu", "hardswish"))
    slow = RATES | {"seconds_per_byte_beyond": 4e-11, "cache_bytes": CACHE}
    device = {"elementwise": slow | {"op_factors": {"add": 1.0, "hardswish": 1.7, "relu": 0.7}}}
    for seed in range(3):
        found = fit(timed(table, device, noise=0.08, seed=seed)).parameters["elementwise"]
        assert found["cache_bytes"] == pytest.approx(CACHE, rel=0.5)
        factors = found["op_factors"]
        assert factors["hardswish"] / factors["relu"] == pytest.approx(1.7 / 0.7, rel=0.2)


def test_as_many_parameters_as_rows():
    ops = ("add", "hardsigmoid", "hardswish", "mul", "relu", "relu6")
    table = shapes(12, 5, ops=("hardsigmoid",))
    table["op"] = [*ops, *ops]
    factors = dict(zip(ops, (9, 5, 2, 1, 0.5, 0.1), strict=True))
    device = {"elementwise": RATES | {"op_factors": factors}}
    for n in range(3, 13):
        few = timed(table[:n], device)
        forms, _ = fit_forms(rows_of(work_table(few)), few["time_s"], rich=False)
        assert forms["macs"]["elementwise"].rows == n
