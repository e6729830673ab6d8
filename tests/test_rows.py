"""Rows are priced as a report has them: of NumPy columns, of work tables, of measured ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
from costs import CANDIDATE, MIB, ROOFLINE, document, reusing, rows
from measurements import shapes, with_column

import alphaflops as af
from alphaflops import _core
from alphaflops.errors import ProfileError, ShapeError, TableError, UnsupportedError
from alphaflops.profiles import Profile
from alphaflops.table import work_table

ALPHA = {"seconds_per_mac": 3e-11, "beta": 0.02, "gamma": 0.8, "floor_s": 1e-5, "sharpness": 2.0}
FORMS = {
    "alpha": ALPHA,
    "roofline-alpha": ROOFLINE,
    "tiled": {"processors": 5.0, "candidates": [CANDIDATE]},
}


def work_of(n=300):
    rng = np.random.default_rng(1)
    size = rng.integers(7, 60, n).tolist()
    return rows(
        batch=rng.integers(1, 5, n).tolist(), c_in=(8 * rng.integers(1, 9, n)).tolist(),
        c_out=(8 * rng.integers(1, 9, n)).tolist(), h_in=size, w_in=size,
        k_h=3, k_w=3, pad_h=1, pad_w=1,
    )  # fmt: skip


def columns_of(work, names=_core.LAUNCH_COLUMNS):
    return {name: np.array(getattr(work, name)) for name in names}


@pytest.mark.parametrize("form", FORMS)
def test_the_same_as_a_work_table(form):
    work = work_of()
    profile = Profile.from_dict(document(form, FORMS[form]))
    expected = _core.predict(work, profile.core).time_s
    assert np.array_equal(af.predict_rows(profile, "conv_spatial", columns_of(work)), expected)
    out = np.full(len(work), np.nan)
    _core.predict_times(work, profile.core, out)
    assert np.array_equal(out, expected)


def test_alpha_reads_four_columns_of_any_integers():
    work = work_of(5)
    profile = Profile.from_dict(document("alpha", ALPHA))
    four = columns_of(work, ("batch", "spatial", "kernel_volume", "macs"))
    out = np.zeros(5)
    result = af.predict_rows(
        profile, "conv_spatial", {k: v.astype(np.int32)[::1] for k, v in four.items()}, out=out
    )
    assert result is out
    assert np.array_equal(out, _core.predict(work, profile.core).time_s)
    none = {name: np.zeros(0, int) for name in four}
    assert len(af.predict_rows(profile, "conv_spatial", none)) == 0


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"macs": None}, ShapeError, "'macs' is missing"),
        ({"macs": [1, 2]}, ShapeError, "'macs' has 2 elements; the others have 3"),
        ({"macs": [1.5, 2.0, 3.0]}, ShapeError, "'macs' is float64"),
        ({"spice": [1, 2, 3]}, ShapeError, "'spice'"),
    ],
)
def test_what_is_no_column(changes, error, match):
    columns = {name: [4, 4, 4] for name in ("batch", "spatial", "kernel_volume", "macs")}
    columns = {k: v for k, v in (columns | changes).items() if v is not None}
    with pytest.raises(error, match=match):
        af.predict_rows(Profile.from_dict(document("alpha", ALPHA)), "conv_spatial", columns)


def test_which_operator_it_is():
    columns = columns_of(work_of(3))
    rates = {"seconds_per_byte_read": 1e-9, "seconds_per_byte_written": 1e-9}
    data = document("traffic", rates | {"op_factors": {"max_pool": 2.0}})
    data["models"] = [data["models"][0] | {"kind": "pool"}]
    profile = Profile.from_dict(data)
    typical = af.predict_rows(profile, "pool", columns)
    assert np.array_equal(af.predict_rows(profile, "pool", columns, op="max_pool"), 2 * typical)
    assert np.array_equal(af.predict_rows(profile, "pool", columns, op="avg_pool"), typical)
    with pytest.raises(UnsupportedError, match="'best_pool' is not known"):
        af.predict_rows(profile, "pool", columns, op="best_pool")


def test_only_a_price_of_taps_reads_flops():
    columns = columns_of(work_of(3))
    without = {name: values for name, values in columns.items() if name != "flops"}
    rates = {"seconds_per_byte_read": 1e-9, "seconds_per_byte_written": 1e-9}
    plain = Profile.from_dict(document("traffic", rates))
    assert (af.predict_rows(plain, "conv_spatial", without) > 0).all()
    taps = Profile.from_dict(document("traffic", rates | {"seconds_per_tap": 1e-9}))
    more = af.predict_rows(taps, "conv_spatial", columns) - af.predict_rows(
        plain, "conv_spatial", columns
    )
    np.testing.assert_allclose(more, 1e-9 * columns["flops"], rtol=1e-9)
    with pytest.raises(ShapeError, match="'flops' is missing"):
        af.predict_rows(taps, "conv_spatial", without)


def test_a_kind_without_a_price():
    columns = {name: [4] for name in ("batch", "spatial", "kernel_volume", "macs")}
    profile = Profile.from_dict(document("alpha", ALPHA))
    with pytest.raises(ProfileError, match="'pool' in fp32"):
        af.predict_rows(profile, "pool", columns)
    roofline = Profile.from_dict(document("roofline-alpha", ROOFLINE))
    with pytest.raises(ShapeError, match="'width' is missing"):
        af.predict_rows(roofline, "conv_spatial", columns)


# Tables


def test_rows_of_a_graph_are_priced_as_a_report_has_them():
    graph = af.zoo.build("mlp")
    for profile in (reusing(), "quadro-t2000"):
        report = af.estimate(graph, profile)
        prices = af.price(af.lower(graph, report.mode), profile)
        for name in prices.dtype.names:
            np.testing.assert_array_equal(prices[name], report.layers[name])
    assert prices["time_s"].sum() == pytest.approx(report.time_s)
    cold = af.price(af.lower(graph), reusing(), reuse_bytes=math.inf)
    assert (cold["time_s"] >= af.price(af.lower(graph), reusing())["time_s"]).all()
    assert cold["time_s"].sum() == pytest.approx(
        af.estimate(graph, reusing(), reuse_bytes=math.inf).time_s
    )


def test_rows_of_a_measurement_table_are_priced():
    table = shapes(20, 3)
    work = work_table(table)
    expected = _core.predict(work, reusing().core).time_s
    np.testing.assert_array_equal(af.price(table, reusing())["time_s"], expected)
    np.testing.assert_array_equal(af.price(work, reusing())["time_s"], expected)
    near = with_column(table, "reuse_bytes", np.where(np.arange(20) < 10, MIB, np.nan))
    near = with_column(near, "reuse_s", np.full(20, 1e-9))
    got = af.price(near, reusing())["time_s"]
    assert (got[:10] < expected[:10]).all()
    assert got[10:].tolist() == expected[10:].tolist()
    assert af.price(near, reusing(), reuse_bytes=math.inf)["time_s"].tolist() == expected.tolist()
    layer = {"batch": 1, "c_in": [64, 64], "h_in": 56, "w_in": 56, "c_out": 64, "k_h": [1, 3]}
    (first, second) = af.price({**layer, "k_w": [1, 3]}, "quadro-t2000")
    assert 0 < first["time_lo_s"] <= first["time_s"] <= first["time_hi_s"]
    assert second["time_s"] > first["time_s"]


def test_rows_without_a_price_and_rows_unlike_all_that_was_measured():
    (relu,) = af.price({"op": "relu", "batch": 1, "c_in": 8, "h_in": 8, "w_in": 8, "c_out": 8},
                       "quadro-t2000")  # fmt: skip
    assert math.isnan(relu["time_s"])
    narrow = {"low": [0.0] * 13, "high": [1.0] * 13}
    data = document("alpha", ALPHA, domain=narrow)
    assert af.price(shapes(5, 2), Profile.from_dict(data))["extrapolated"].all()
    with pytest.raises(ProfileError, match="elementwise"):
        af.price({"op": "relu", "batch": 1, "c_in": 8, "h_in": 8, "w_in": 8, "c_out": 8},
                 Profile.from_dict(data))  # fmt: skip


@pytest.mark.parametrize("reuse_bytes", [-1.0, math.nan])
def test_a_distance_is_a_number_of_bytes(reuse_bytes):
    with pytest.raises(ShapeError, match="reuse"):
        af.price(work_of(2), reusing(), reuse_bytes=reuse_bytes)


def test_a_graph_is_no_table():
    with pytest.raises(TableError, match=r"a graph, mlp, is no table .* give lower\(graph\)"):
        af.price(af.zoo.build("mlp"), "quadro-t2000")


@pytest.mark.parametrize("rows", [5, "times.csv", [1, 2], {}, np.zeros(3)])
def test_what_is_no_table(rows):
    with pytest.raises(TableError, match="table: "):
        af.price(rows, "quadro-t2000")
