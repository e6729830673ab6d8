"""Operators of a calibration that are timed again: how fast is the device beside then?"""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
from measurements import shapes, timed, with_column
from typer.testing import CliRunner

import alphaflops as af
from alphaflops.cli import app
from alphaflops.errors import BrokenContextError, TableError, UnsupportedError
from alphaflops.fitting.control import control_of
from alphaflops.measuring.backends import NativeBackend, backend_of
from alphaflops.measuring.control import Control, control_in
from alphaflops.measuring.sampling import sample_shapes
from alphaflops.measuring.validation import validate
from alphaflops.profiles import Profile
from alphaflops.render import validation_table
from alphaflops.table import check_table

NATIVE = {"backend": "native", "device": "this processor", "isa": "avx2"}
ALPHA = {"seconds_per_mac": 1e-11, "beta": 0.1, "gamma": 0.5, "floor_s": 1e-6, "sharpness": 2.0}


def measured(n=200, seed=0):
    """Return a table as a campaign leaves it."""
    kinds = ("conv_1x1", "conv_spatial")
    table = timed(shapes(n, seed, kernels=(1, 3)), dict.fromkeys(kinds, ALPHA))
    table = with_column(table, "samples", np.full(n, 5))
    for name, text in NATIVE.items():
        table = with_column(table, name, np.full(n, text))
    return check_table(table)


def eligible(table):
    """Return rows of 2 us to 5 ms whose tensors are of 8 MiB at most."""
    pixels = table["batch"] * table["h_in"] * table["w_in"]  # as many go out
    fits = 4 * pixels * np.maximum(table["c_in"], table["c_out"]) <= 2**23
    return table[(table["time_s"] >= 2e-6) & (table["time_s"] <= 5e-3) & fits]


def test_each_row_stands_for_as_much_time():
    table = measured(1000)
    op = np.where(np.arange(len(table)) < 500, "avg_pool", "conv2d")
    table = with_column(table, "op", op)  # a second group, of another share
    table["c_out"][:500], table["pad_h"][:500], table["pad_w"][:500] = table["c_in"][:500], 0, 0
    table["k_h"][:500] = table["k_w"][:500] = 1
    control = control_of(table)
    rows = eligible(table)
    assert min(control["time_s"]) >= rows["time_s"].min()
    assert max(control["time_s"]) <= rows["time_s"].max()
    assert len(control["op"]) <= 32
    for op in ("conv2d", "avg_pool"):
        share = rows["time_s"][rows["op"] == op].sum() / rows["time_s"].sum()
        assert abs(control["op"].count(op) - 32 * share) <= 1


def test_rows_that_cannot_tell_are_left_out():
    table = measured()
    assert control_of(table[[n for n in table.dtype.names if n != "samples"]]) is None
    few = eligible(table)[:5]
    few["time_s"] = 1e-3
    assert control_of(few) is not None
    assert control_of(few[:4]) is None
    few["time_s"][0] = 4.9e-3  # which takes most of the steps
    few["time_s"][1:] = 25e-6
    assert control_of(few) is None
    calls = with_column(table, "op", np.where(np.arange(len(table)) % 2, "call", "conv2d"))
    assert "call" not in control_of(calls)["op"]
    odd = np.arange(len(table)) % 2
    kept = control_of(
        check_table(with_column(table, "pass", np.where(odd, "input_gradient", "forward")))
    )
    assert set(kept["time_s"]) <= set(table["time_s"][odd == 0])
    assert control_of(with_column(table, "training", np.ones(len(table), int))) is None


def test_a_profile_keeps_it(tmp_path):
    table = measured()
    path = tmp_path / "p.json"
    af.fit(table, name="p").profile.save(path)
    profile = af.load_profile(path)
    rows = control_in(profile, NATIVE, "fp32")
    names = ["op", "batch", "c_in", "h_in", "w_in", "c_out", "k_h", "pad_h", "time_s"]
    of = {row[names].item() for row in table}
    assert {row[names].item() for row in rows} <= of
    assert len(rows) >= 20
    assert control_in(profile, {"backend": "torch"}, "fp32") is None
    assert control_in(profile, {**NATIVE, "device": "another"}, "fp32") is None
    assert control_in(profile, NATIVE, "bf16") is None
    assert control_in(af.load_profile("quadro-t2000"), {"backend": "tensorflow"}, "fp32") is None


@pytest.mark.parametrize(
    ("control", "says"),
    [
        ({"op": ["conv2d"]}, "profile 'p', control: columns 'batch'"),
        ({"op": ["conv2d", "add"], "c_in": [1, 2, 3]}, "profile 'p', control: column 'op' has 2"),
        ({"op": [["conv2d"], ["add"]]}, "profile 'p', control: it must have columns, each of one"),
        ({"op": [["conv2d"], ["add", "mul"]]}, "profile 'p', control: it must have columns"),
        ([1, 2, 3], "profile 'p', control: it must be an object"),
        ("fast", "profile 'p', control: it must be an object"),
    ],
)
def test_a_malformed_one(control, says):
    data = af.load_profile("quadro-t2000").data
    profile = Profile.from_dict({**data, "name": "p", "control": control})
    with pytest.raises(TableError, match=says):
        control_in(profile, {"backend": "tensorflow"}, "fp32")


class FakeSession:
    """Runs each operator in so many times the seconds it is told; the third may have a fault."""

    between_s = 0.0

    def __init__(self, then_s, factors, fault=None, when="bench"):
        self._seconds = iter(np.array(then_s) * factors)
        self._fault, self._when, self._made = fault, when, 0

    def bench(self, graph):
        self._made += 1
        seconds, mine = next(self._seconds), self._made == 3
        sample = SimpleNamespace(
            time_s=seconds, steal_s=0.0, switches=0, clock_hz=1e9, reorder_s=0.0, iterations=1
        )

        def give(what, value):
            if mine and self._fault is not None and what == self._when:
                raise self._fault
            return value

        give("bench", None)
        return SimpleNamespace(
            warm_up=lambda: give("warm_up", seconds), sample=lambda calls: give("sample", sample)
        )

    def iterations_for(self, call_s):
        return 1


def rows_and_session(factors, *fault):
    table = eligible(measured())[: len(factors)]
    return table, FakeSession(table["time_s"], factors, *fault)


def test_the_median_of_the_ratios():
    factors = np.linspace(1.4, 1.6, 21)
    factors[20] = 9.0
    rows, session = rows_and_session(factors)
    control = Control(session, rows, by_mode=False)
    assert math.isnan(control.slowdown().ratio)
    for _ in range(3):
        control.sample(np.random.default_rng(0))
    slowdown = control.slowdown()
    assert slowdown.ratio == pytest.approx(1.5)
    assert 1.4 < slowdown.low < 1.5 < slowdown.high < 1.6
    assert slowdown.without(-1 / 3) == pytest.approx(0.0)


@pytest.mark.parametrize("when", ["bench", "warm_up", "sample"])
def test_an_operator_that_no_longer_runs_is_left_out(when):
    factors = np.array([2.0, 2.0, 9.0, 9.0, 2.0, 2.0, 2.0])
    for fault in (UnsupportedError("not here"), RuntimeError("PyTorch says no")):
        rows, session = rows_and_session(factors[[0, 1, 2, 4, 5, 6]], fault, when)
        control = Control(session, rows, by_mode=False)
        control.sample(np.random.default_rng(0))
        assert control.slowdown() == pytest.approx((2.0, 2.0, 2.0))
        rows, session = rows_and_session(factors[:5], fault, when)
        control = Control(session, rows, by_mode=False)
        control.sample(np.random.default_rng(0))
        assert math.isnan(control.slowdown().ratio)  # four have no interval
    rows, session = rows_and_session(factors, BrokenContextError("the GPU is lost"), when)
    with pytest.raises(BrokenContextError):
        Control(session, rows, by_mode=False).sample(np.random.default_rng(0))


@pytest.mark.usefixtures("five_samples")
def test_validate_tells_a_slower_processor(tmp_path):
    table = af.measure(sample_shapes(60), budget_s=10)
    data = af.fit(table, name="now").profile.data
    graph = af.Graph("convs")
    x = graph.input((1, 3, 64, 64))
    for width in (32, 64):
        x = graph.relu(graph.conv2d(x, width, 3, 1, 1))
    slowdowns = []
    for factor in (1.0, 0.25):  # as if it had been four times as fast
        times = [factor * seconds for seconds in data["control"]["time_s"]]
        changed = {**data, "control": {**data["control"], "time_s": times}}
        profile = Profile.from_dict(changed)
        (row,) = validate([graph], profile, budget_s=1.0)
        slowdowns.append(float(row["slowdown"]))
    assert 2.5 < slowdowns[1] / slowdowns[0] < 6.4

    profile.save(tmp_path / "then.json")
    arguments = ["validate", "squeezenet1_0", "-d", str(tmp_path / "then.json"), "--budget", "0.5"]
    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["slowdown"] == pytest.approx(slowdowns[1], rel=0.5)
    assert 0 < told["slowdown_lo"] < told["slowdown_hi"]
    done = CliRunner().invoke(app, arguments)
    assert "times as long now as then." in " ".join(done.stdout.split())

    other = {**data, "provenance": {**data["provenance"], "isa": "scalar"}}
    (row,) = validate([graph], Profile.from_dict(other), backend=NativeBackend(), budget_s=0.1)
    assert math.isnan(row["slowdown"])
    assert backend_of(Profile.from_dict(other)).provenance()["isa"] == "scalar"
    (row,) = validate([graph], af.load_profile("quadro-t2000"), budget_s=0.1)
    assert math.isnan(row["slowdown"])


def cells(slowdown, low, high):
    """Return the texts of a validated network that is predicted 20 % too slow."""
    fields = ["predicted_s", "measured_s", "error", "slowdown", "slowdown_lo", "slowdown_hi"]
    rows = np.zeros(1, [("name", "U8"), *((name, float) for name in fields)])
    rows["predicted_s"], rows["measured_s"], rows["error"] = 1.2, 1.0, 0.2
    rows["slowdown"], rows["slowdown_lo"], rows["slowdown_hi"] = slowdown, low, high
    table = validation_table(rows, [1])
    return {str(c.header): str(next(iter(c.cells))) for c in table.columns}, table.caption


def test_the_table_says_what_the_error_would_be_at_that_speed():
    shown, caption = cells(0.8, 0.79, 0.82)
    assert shown["error"] == "+20.0%"
    assert shown["at the speed of then"] == "-4.0%"
    assert caption.startswith("The calibration's operators take 0.80 [0.79, 0.82] times as long")
    shown, caption = cells(1.01, 0.99, 1.02)
    assert "at the speed of then" not in shown
    assert caption.endswith("the same speed.")
    shown, caption = cells(1.3, 0.95, 1.6)  # neither is known
    assert "at the speed of then" not in shown
    assert caption.endswith("as then.")
    shown, caption = cells(math.nan, math.nan, math.nan)
    assert list(shown) == ["network", "MMACs", "predicted ms", "measured ms", "error"]
    assert caption is None
