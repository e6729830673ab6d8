"""The forms beyond the paper's: what made the times is found again, and chosen."""

from __future__ import annotations

import json

import numpy as np
import pytest
from costs import ROOFLINE, predict, tiled
from measurements import ALPHA_FLOOR, shapes, timed, with_column

from alphaflops.errors import TableError
from alphaflops.fitting import fit
from alphaflops.fitting.rich import known_facts
from alphaflops.fitting.solve import FORMS
from alphaflops.measuring.shapes import Shape, to_table
from alphaflops.table import check_table, work_table

RICH = FORMS[-3:]
TILES = tiled(
    {"tile_rows": 128, "tile_columns": 64, "seconds_per_mac": 2e-12, "whole_waves": 0.8},
    {"algorithm": "winograd4", "tile_rows": 128, "tile_columns": 64, "seconds_per_mac": 1.2e-12},
    processors=40.0,
)


def made(form, parameters, n, *, noise=0.02, seed=1):
    table = shapes(n, seed, kernels=(1, 3))
    time_s = predict(work_table(table), form, parameters).time_s
    noise = np.random.default_rng(seed).normal(0, noise, n)
    return with_column(table, "time_s", time_s * np.exp(noise))


def test_roofline_alpha_comes_back():
    fitted = fit(made("roofline-alpha", ROOFLINE, 300), test=made("roofline-alpha", ROOFLINE, 200))
    assert fitted.selected == "roofline-alpha"
    assert fitted.forms["roofline-alpha"].cv.mape < 0.025
    assert fitted.forms["roofline-alpha"].test.mape < 0.022
    for parameters in fitted.parameters.values():
        assert parameters["floor_s"] == pytest.approx(2e-6, rel=0.5)


def test_tiled_comes_back():
    fitted = fit(made("tiled", TILES, 300), device_facts={"sms": 40})
    assert fitted.selected in ("tiled", "hybrid")
    assert fitted.forms["tiled"].cv.mape < 0.03
    assert fitted.forms["tiled"].cv.mape < 0.5 * fitted.forms["roofline-alpha"].cv.mape
    assert fitted.parameters["conv_spatial"]["processors"] == 40
    assert fitted.profile.data["device"]["sms"] == 40


def by_groups(n, seed):
    """Depthwise convolutions, of which 1x1 ones take 2 us a channel and others none."""
    random = np.random.default_rng(seed)
    drawn = []
    for kernel in [1] * (n // 4) + [3] * (n - n // 4):
        channels, size = 8 * int(random.integers(2, 80)), int(random.choice([7, 14, 28, 56]))
        drawn.append(
            Shape("conv2d", channels, size, channels, kernel, 1, kernel // 2, groups=channels)
        )
    table = to_table(drawn)
    work = work_table(table)
    start_s = np.where(table["k_h"] == 1, 2e-6 * table["groups"], 0.0)
    time_s = (5e-6 + start_s + 4e-11 * work.macs) * np.exp(random.normal(0, 0.02, n))
    return with_column(table, "time_s", time_s)


def unlike_groups(n, seed):
    """Groups of several channels too, in tiles of eight outputs; depthwise ones leave none idle."""
    random = np.random.default_rng(seed)
    drawn = []
    for i in range(n):
        width = int(random.choice([1, 2, 4, 8])) if i >= n // 4 else 1
        groups, size = 8 * int(random.integers(2, 20)), int(random.choice([7, 14, 28, 56]))
        kernel = 3 if i >= n // 4 else 1
        c = groups * width
        drawn.append(Shape("conv2d", c, size, c, kernel, 1, kernel // 2, groups=groups))
    table = to_table(drawn)
    work, width = work_table(table), table["c_in"] / table["groups"]
    idle = np.where(width == 1, 1.0, 8 / width)
    start_s = np.where(table["k_h"] == 1, 2e-6 * table["groups"], 0.0)
    time_s = (5e-6 + start_s + 4e-11 * idle * work.macs) * np.exp(random.normal(0, 0.02, n))
    return with_column(table, "time_s", time_s)


def test_groups_of_several_channels_leave_lanes_idle_where_depthwise_ones_do_not():
    fitted = fit(
        unlike_groups(120, 1), form="tiled", test=unlike_groups(60, 2), device_facts={"threads": 1}
    )
    assert fitted.forms["tiled"].test.mape < 0.4  # 0.85 where depthwise took every channel


def test_groups_one_after_the_other_are_told_from_channels_side_by_side():
    threads = {"device_facts": {"threads": 1}}
    fitted = fit(by_groups(120, 1), form="tiled", test=by_groups(60, 2), **threads)
    (model,) = fitted.forms["tiled"].profile.data["models"][:1]
    algorithms = {c["algorithm"] for c in model["parameters"]["candidates"]}
    assert algorithms == {"depthwise", "group_gemm", "implicit_gemm"}
    assert fitted.forms["tiled"].test.mape < 0.1
    few = by_groups(120, 1)
    few = few[np.cumsum(few["k_h"] == 1) * (few["k_h"] == 1) < 8]  # seven rows do not tell
    (model,) = fit(few, **threads).forms["tiled"].profile.data["models"][:1]
    algorithms = {c["algorithm"] for c in model["parameters"]["candidates"]}
    assert algorithms == {"channelwise", "implicit_gemm"}


def test_hybrid_learns_what_no_equation_has():
    table = made("roofline-alpha", ROOFLINE, 600)
    slow = np.where(table["w_in"] % 4 == 0, 1.0, 1.4)  # rows that do not fill a vector
    fitted = fit(with_column(table, "time_s", table["time_s"] * slow), device_facts={"sms": 40})
    assert fitted.selected == "hybrid"
    simpler = min(fitted.forms[f].cv.mape for f in ("roofline-alpha", "tiled"))
    assert fitted.forms["hybrid"].cv.mape < 0.8 * simpler
    models = fitted.profile.data["models"]
    assert {"domain", "residual"} <= set(models[0])
    assert len(json.dumps(fitted.profile.data)) < 300_000


def test_few_rows_have_a_simpler_form_in_place_of_a_rich_one():
    fitted = fit(made("roofline-alpha", ROOFLINE, 24))
    for form in RICH:
        for kind, rows in (("conv_1x1", 10), ("conv_spatial", 10)):
            assert kind in fitted.forms[form].parameters, rows
    small = fit(made("roofline-alpha", ROOFLINE, 12))
    for form in RICH:
        assert small.forms[form].parameters == small.forms["alpha-floor"].parameters


def test_device_facts_must_be_positive():
    with pytest.raises(TableError, match="device fact sms is -1"):
        fit(made("tiled", TILES, 20), device_facts={"sms": -1})


@pytest.mark.parametrize(
    ("columns", "facts"),
    [
        ({"backend": "torch", "on": "cpu", "threads": 2}, ("cpu", 2.0)),
        ({"backend": "torch", "on": "cuda", "threads": 2, "sms": 132}, ("gpu", 132.0)),
        ({"backend": "torch", "on": "cuda", "threads": 2}, None),
        ({"backend": "torch", "on": "cpu", "threads": "2", "sms": np.nan}, ("cpu", 2.0)),
        ({"backend": "torch", "on": "cpu", "threads": 2, "sms": 0}, ("cpu", 2.0)),
        ({"backend": "torch", "on": "cuda", "sms": "132.0"}, ("gpu", 132.0)),
        ({"backend": "torch", "on": "cuda", "sms": ""}, None),
        ({"backend": "cuda", "sms": np.nan}, None),
        ({"backend": "cuda", "sms": 132}, ("gpu", 132.0)),
        ({"backend": "native"}, ("cpu", 1.0)),
        ({"backend": "mine", "threads": 8}, None),
        ({"backend": "mine", "on": "cpu", "threads": "many"}, None),
        ({}, None),
    ],
)
def test_what_measured_a_table_says_what_it_ran_on(columns, facts):
    rows = check_table(
        {"batch": [1], "c_in": 8, "h_in": 7, "w_in": 7, "c_out": 8, **columns}, need_time=False
    )
    assert known_facts(rows) == facts
    assert known_facts(rows, {"clock_ghz": 1.5}) == facts
    assert known_facts(rows, {"sms": 16}) == ("gpu", 16.0)


def test_a_fit_takes_the_facts_of_its_table():
    rows = with_column(made("tiled", TILES, 120), "sms", np.full(120, 40.0))
    assert fit(rows).forms["tiled"].parameters["conv_spatial"]["processors"] == 40
    joined = with_column(rows, "sms", np.full(120, np.nan))  # of a processor, kept of two devices
    assert "sms" not in fit(joined).profile.data["provenance"]


def test_no_multiprocessors_are_an_error():
    rows = check_table(
        {"batch": [1], "c_in": 8, "h_in": 7, "w_in": 7, "c_out": 8, "sms": 0}, need_time=False
    )
    with pytest.raises(TableError, match="table: column 'sms' is 0; it must be a positive number"):
        known_facts(rows)


def test_the_same_rows_and_seed_give_the_same_trees():
    table = made("tiled", TILES, 120)
    first, second = (fit(table, device_facts={"sms": 40}, seed=5) for _ in range(2))
    assert first.to_json()["forms"] == second.to_json()["forms"]
    models = [f.forms["hybrid"].profile.data["models"] for f in (first, second)]
    assert models[0] == models[1]


def test_what_no_row_had_costs_nothing():
    table = timed(shapes(60, seed=8, kernels=(3,)), ALPHA_FLOOR)
    parameters = fit(table, device_facts={"threads": 1}).forms["tiled"].parameters
    assert parameters["conv_spatial"]["seconds_per_biased_byte"] == 0
    assert parameters["conv_spatial"]["seconds_per_padded_byte"] == 0
