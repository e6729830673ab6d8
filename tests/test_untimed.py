"""Operators that a profile was not timed on: priced as typical ones, and said to be."""

from __future__ import annotations

import numpy as np
import pytest
from measurements import shapes, timed

import alphaflops as af
from alphaflops import _core
from alphaflops.errors import ProfileError
from alphaflops.fitting import fit
from alphaflops.fitting.profile import _ALIKE

RATES = {"seconds_per_byte_read": 2e-10, "seconds_per_byte_written": 3e-10}
INTERVAL = {"lower_factor": 0.8, "upper_factor": 1.5}


def profile(operators=None):
    """Return a profile of two kinds, which knows of one which operators were timed."""
    known = {} if operators is None else {"operators": operators}
    models = [
        {"kind": "elementwise", "form": "traffic", "parameters": RATES, **known},
        {"kind": "norm", "form": "traffic", "parameters": RATES},
    ]
    data = {
        "format": "alphaflops-profile",
        "version": 1,
        "name": "test",
        "provenance": {"backend": "none"},
        "interval_level": 0.9,
        "models": [{"pass": "forward", "dtype": "fp32", "interval": INTERVAL, **m} for m in models],
        "out_of_scope": ["conv_1x1", "conv_spatial", "conv_grouped", "linear"],
    }
    return af.profiles.Profile.from_dict(data)


def graph():
    """Return relu, where, batch_norm."""
    net = _core.Graph("net")
    x = net.relu(net.input((1, 8, 16, 16)), name="a")
    x = net.element([x, x, x], "where", name="b")
    net.batch_norm(x, name="c")
    return net


def test_intervals_are_wider_and_the_row_counts_as_extrapolated():
    work = af.lower(graph(), "eager")
    plain = _core.predict(work, profile().core)
    got = _core.predict(work, profile(["relu"]).core)
    np.testing.assert_array_equal(plain.distance, 0)
    np.testing.assert_array_equal(got.distance, [0, _core.UNTIMED_DISTANCE, 0])
    np.testing.assert_array_equal(got.time_s, plain.time_s)
    np.testing.assert_allclose(got.time_lo_s / plain.time_lo_s, [1, 0.8, 1])
    np.testing.assert_allclose(got.time_hi_s / plain.time_hi_s, [1, 1.5, 1])
    assert got.extrapolated_time_s == plain.time_s[1]


def test_a_report_names_them():
    report = af.estimate(graph(), profile(["relu"]), mode="eager")
    assert [row["extrapolated"] for row in report.layers] == [False, True, False]
    assert any(note.endswith("typical operator of the kind: where") for note in report.notes)
    said = af.estimate(graph(), profile(), mode="eager").notes
    assert not any("typical operator" in note for note in said)


def test_a_fit_says_which_were_timed():
    table = timed(shapes(60, 1, ops=("relu", "add")), {"elementwise": RATES | {"floor_s": 1e-6}})
    fitted = fit(table).profile
    operators = fitted.data["models"][0]["operators"]
    assert {"relu", "add", "sub", "hardswish"} <= set(operators)
    assert not {"where", "interpolate_bilinear"} & set(operators)


def test_what_is_alike_has_the_same_factor():
    table = timed(shapes(90, 1, ops=("relu", "mul")), {"elementwise": RATES | {"floor_s": 1e-9}})
    table["time_s"][table["op"] == "mul"] *= 3.0
    parameters = fit(table).profile.data["models"][0]["parameters"]
    factors = parameters["op_factors"]
    assert factors["mul"] > 1.5 * factors["relu"]  # that it reads twice as much explains the rest
    assert factors["sub"] == pytest.approx(factors["mul"])
    assert factors["neg"] == pytest.approx(factors["relu"])


def test_alike_operators_are_operators_once():
    names = [name for group in _ALIKE for name in group]
    assert len(set(names)) == len(names)
    assert set(names) <= set(_core.OPERATORS)


@pytest.mark.parametrize("wrong", ["relu", [3], {"relu": 1}])
def test_operators_are_names(wrong):
    with pytest.raises(ProfileError, match=r"operators: it must be an array of names"):
        profile(wrong)
