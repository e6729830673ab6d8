"""Rows of NumPy columns are priced as those of a work table are."""

from __future__ import annotations

import numpy as np
import pytest
from costs import CANDIDATE, ROOFLINE, document, rows

import alphaflops as af
from alphaflops import _core
from alphaflops.errors import ProfileError, ShapeError, UnsupportedError
from alphaflops.profiles import Profile

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
