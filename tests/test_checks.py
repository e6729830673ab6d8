"""Tables that a fit must not take in silence: wrong units, contradictions, constant sizes."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from costs import ROOFLINE, document
from measurements import ALPHA_FLOOR, shapes, timed, with_column

import alphaflops as af
from alphaflops.errors import TableError
from alphaflops.fitting import fit
from alphaflops.fitting.checks import check_times
from alphaflops.fitting.forms import rows_of
from alphaflops.profiles import Profile
from alphaflops.table import check_table, work_table


@pytest.fixture
def table():
    return timed(shapes(30, 1), ALPHA_FLOOR)


def check(table):
    return check_times(check_table(table), rows_of(work_table(table)))


def test_an_ordinary_table_says_nothing(table):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert check(table) == []


@pytest.mark.parametrize(("rate", "factor"), [(5e16, "1,000"), (5e19, "1,000,000")])
def test_times_faster_than_any_device_are_refused(table, rate, factor):
    quick = with_column(table, "time_s", 2 * work_table(table).macs / rate)
    quick["time_s"][4] /= 2
    words = rf"row 5: time_s .*FLOP/s.*no device does that.*divided by {factor} too often"
    with pytest.raises(TableError, match=words):
        check(with_column(table, "time_s", np.maximum(quick["time_s"], 1e-12)))


@pytest.mark.parametrize(
    ("unit", "rate"), [("milliseconds", 5e5), ("microseconds", 5e3), ("nanoseconds", 5.0)]
)
def test_times_slower_than_any_device_name_the_likely_unit(unit, rate):
    table = shapes(20, 1, kernels=(1,))
    for column in ("h_in", "w_in"):
        table[column] = 1
    slow = with_column(table, "time_s", 2 * work_table(table).macs / rate)
    with pytest.warns(UserWarning, match=rf"less than any device; .* look like {unit}"):
        assert check(slow)


def test_one_slow_row_is_not_a_wrong_unit(table):
    time_s = table["time_s"].copy()
    time_s[3] = 1e5
    assert check(with_column(table, "time_s", time_s)) == []


def test_contradictory_times_of_one_shape_name_the_rows(table):
    twice = np.concatenate([table, table])
    time_s = twice["time_s"].copy()
    time_s[34] *= 2.5
    time_s[36] *= 1.9
    with pytest.warns(UserWarning, match=r"rows 5 and 35 \(") as caught:
        (said,) = check(with_column(twice, "time_s", time_s))
    assert len(caught) == 1
    assert " 37" not in said
    assert f"{time_s[4]:.3g} s and {time_s[34]:.3g} s" in said
    time_s[30:] = 3 * time_s[:30]
    with pytest.warns(UserWarning, match="and 27 more"):
        check(with_column(twice, "time_s", time_s))


def test_sizes_that_never_change_are_named(table):
    table["batch"] = 1
    table["c_in"] = 64
    fitted = fit(timed(table, ALPHA_FLOOR, noise=0.02), form="alpha")
    (said,) = [text for text in fitted.profile.assumptions if "not learned" in text]
    assert said.startswith("every row that multiplies has batch 1, c_in 64: ")
    assert said in str(fitted)


def test_a_graph_unlike_the_rows_is_marked():
    low, high = [0.0] * 13, [100.0] * 13
    low[12] = -100.0  # seconds
    data = document("roofline-alpha", ROOFLINE, domain={"low": low, "high": high})
    data["models"][1]["domain"] = {"low": low, "high": [*high[:3], 7.0, *high[4:]]}  # c_in to 128
    data["out_of_scope"] = ["elementwise", "norm", "pool", "softmax", "copy"]
    report = af.estimate(af.zoo.build("resnet18"), Profile.from_dict(data))
    layers = report.layers
    wide = (layers["kind"] == "conv_spatial") & np.isin(
        np.char.partition(layers["shape"], "x")[:, 0], ("256", "512")
    )
    assert layers["extrapolated"].tolist() == wide.tolist()
    assert 0 < wide.sum() < len(wide)
    share = layers["time_s"][wide].sum() / report.time_s
    assert report.extrapolated_share == pytest.approx(share, rel=1e-12)
    assert report.to_dict()["extrapolated_share"] == report.extrapolated_share
    assert [row["extrapolated"] for row in report.to_dict()["layers"]] == wide.tolist()
    note = f"* extrapolated: {wide.sum()} of {len(wide)} launches, {share:.0%} of the time"
    assert any(text.startswith(note) for text in report.notes)
    assert report.to_markdown().count(" * |") == wide.sum()
    header, *lines = report.to_csv().splitlines()
    assert header.endswith(",extrapolated")
    assert sum(line.endswith(",True") for line in lines) == wide.sum()


def test_a_profile_without_a_domain_marks_nothing():
    report = af.estimate(af.zoo.build("resnet18"), "quadro-t2000")
    assert not report.layers["extrapolated"].any()
    assert report.extrapolated_share == 0
    assert not any("extrapolated" in text for text in report.notes)
