"""Weights that stay in a cache: how that is timed, and found in a table."""

from __future__ import annotations

import math

import numpy as np
import pytest
from costs import MIB, REUSE, reusing
from measurements import shapes, timed, with_column

import alphaflops as af
from alphaflops import _core
from alphaflops.errors import TableError, UnsupportedError
from alphaflops.fitting import FORMS, evaluate, fit
from alphaflops.fitting.forms import WEIGHTED, rows_of
from alphaflops.fitting.reuse import fit_reuse
from alphaflops.measuring.backends import named
from alphaflops.measuring.campaign import measure
from alphaflops.measuring.reuse import with_reuse
from alphaflops.measuring.sampling import sample_shapes
from alphaflops.profiles import Profile
from alphaflops.rows import seconds_between
from alphaflops.table import check_table, work_table


def again(table, distances, keep_s=math.inf):
    """Return the rows of a timed table, and once more as a device with REUSE runs them."""
    work, core = work_table(table), reusing().core
    rows = rows_of(work)
    half = np.array([REUSE["half_rows"][kind] for kind in rows.kind])
    parts = [with_column(table, "reuse_bytes", np.full(len(table), np.nan))]
    for distance in distances:
        gain = (1 - core.weight_share(distance)) / (1 + (rows.s - 1) / half)
        time_s = table["time_s"]
        for _ in range(50):
            near = with_column(table, "reuse_bytes", np.full(len(table), float(distance)))
            between_s = seconds_between(near, work, time_s)
            time_s = table["time_s"] * (1 - gain * np.exp(-between_s / keep_s))
        part = with_column(table, "time_s", time_s)
        parts.append(with_column(part, "reuse_bytes", np.full(len(table), float(distance))))
    return np.concatenate(parts)


def made_up(n=40, seed=1, noise=0.0):
    """Return a timed table of convolutions and of linear layers, some of one row."""
    several = shapes(n, seed, kernels=(1, 3), ops=("conv2d", "linear"))
    for name in ("h_in", "w_in"):
        several[name] = np.where(several["op"] == "linear", 1, several[name] % 15 + 3)
    several["k_h"] = several["k_w"] = np.where(several["op"] == "linear", 1, several["k_h"])
    several["pad_h"] = several["pad_w"] = several["k_h"] // 2
    one = {"seconds_per_mac": 1e-11, "beta": 0.1, "gamma": 0.5, "floor_s": 1e-6, "sharpness": 2.0}
    parameters = {kind: dict(one) for kind in WEIGHTED}
    return timed(check_table(several, need_time=False), parameters, noise=noise, seed=seed)


@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_the_curve_and_the_rows_are_found(noise):
    table = again(made_up(80), [MIB, 4 * MIB, 64 * MIB])
    table["time_s"] *= np.exp(noise * np.random.default_rng(0).normal(size=len(table)))
    found = fit_reuse(check_table(table))
    assert found["distance_bytes"] == [MIB, 4 * MIB, 64 * MIB]
    assert found["share"] == pytest.approx(REUSE["share"], rel=0.02 + 3 * noise)
    for kind in ("conv_1x1", "conv_spatial", "linear"):
        expected = REUSE["half_rows"][kind]
        assert found["half_rows"][kind] == pytest.approx(expected, rel=0.15 + 8 * noise), kind
    assert found["mdape"] < 0.01 + noise
    assert found["keep_s"] > (0.05 if noise else 0.2)  # calls are used again within 0.1 s
    reusing(**{k: found[k] for k in REUSE})  # is one that the core takes


@pytest.mark.parametrize("keep_s", [0.002, 0.02])
def test_it_is_found_how_long_weights_are_kept(keep_s):
    table = again(made_up(120), [MIB, 4 * MIB, 16 * MIB], keep_s)
    table["time_s"] *= np.exp(0.02 * np.random.default_rng(0).normal(size=len(table)))
    assert fit_reuse(check_table(table))["keep_s"] == pytest.approx(keep_s, rel=0.3)


def test_rows_used_again_change_nothing_else():
    table = made_up(noise=0.05)
    alone, both = fit(table), fit(again(table, [MIB, 4 * MIB, 64 * MIB]))
    assert both.selected == alone.selected
    assert both.profile.data["models"] == alone.profile.data["models"]
    assert both.profile.data["errors"] == alone.profile.data["errors"]
    for form in FORMS:
        has = "weight_reuse" in both.forms[form].profile.data
        assert has == (form not in {"macs", "published"}), form
    assert "weight_reuse" not in alone.profile.data


def test_rows_used_again_are_evaluated_as_such():
    table = again(made_up(), [MIB, 4 * MIB])
    fitted = fit(table, form="alpha-floor")
    assert evaluate(fitted, table).mape < 0.03
    far = Profile.from_dict({k: v for k, v in fitted.profile.data.items() if k != "weight_reuse"})
    assert evaluate(far, table).mape > 0.2


def test_rows_that_tell_nothing():
    table = again(made_up(), [MIB])
    memory = np.isnan(table["reuse_bytes"])
    assert fit_reuse(check_table(table[memory])) is None
    few = table["c_in"] < 256
    unpaired = (memory & few) | (~memory & ~few)  # no shape from memory beside those used again
    assert fit_reuse(check_table(table[unpaired])) is None
    often = rows_of(work_table(table)).s > 1  # no shape that uses its weights once
    assert fit_reuse(check_table(table[often])) is None
    assert fit_reuse(check_table(table)) is not None


def test_a_drift_and_weights_used_again():
    table = again(made_up(), [MIB, 4 * MIB])
    fitted = fit(with_column(table, "when", np.arange(len(table)) / len(table)), order="when")
    assert "weight_reuse" not in fitted.profile.data


def test_rows_out_of_scope_are_left_out():
    table = again(made_up(), [MIB])
    table["op"][-1] = "relu"
    data = reusing().data | {"out_of_scope": ["elementwise"]}
    assert evaluate(Profile.from_dict(data), table).n == len(table) - 1


def test_a_table_without_rows_from_memory():
    table = again(made_up(), [MIB])
    with pytest.raises(TableError, match="'reuse_bytes' is filled in every row"):
        fit(table[~np.isnan(table["reuse_bytes"])])


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_the_design(dtype):
    drawn = sample_shapes(300, seed=3)
    drawn["dtype"] = dtype
    design = with_reuse(drawn)
    memory = np.isnan(design["reuse_bytes"])
    assert (design[memory][: len(drawn)][list(drawn.dtype.names)] == drawn).all()
    rows = rows_of(work_table(design))
    size = {"fp32": 4, "bf16": 2}[dtype]
    once = ~memory & (rows.s == 1)
    assert design["reuse_bytes"][once].min() == 256 * 256 * size
    assert design["reuse_bytes"][once].max() == 32 * 1024 * 1024 * size
    assert (design["reuse_bytes"][~memory] >= rows.weight_bytes[~memory]).all()
    assert set(rows.kind[~memory]) == set(WEIGHTED)
    keys = [tuple(r)[:-2] for r in design.tolist()]
    assert np.nanmax(design["reuse_s"]) == pytest.approx(0.072)
    in_memory = {k for k, is_far in zip(keys, memory, strict=True) if is_far}
    assert all(k in in_memory for k in keys)
    assert len(design) - len(drawn) < 50


LINEAR = {"op": "linear", "batch": [1, 1], "c_in": 512, "c_out": 512, "h_in": 1, "w_in": 1}


def test_native_kernels_find_weights_in_the_caches(tmp_path):
    journal = tmp_path / "j.sqlite"
    table = measure(
        {**LINEAR, "reuse_bytes": [math.nan, float(MIB)]}, budget_s=2.0, journal=journal
    )
    far, near = table["time_s"]
    assert near < 0.8 * far
    assert np.isnan(table["reuse_bytes"]).tolist() == [True, False]
    with pytest.raises(af.Error, match="another"):
        measure({**LINEAR, "reuse_bytes": [math.nan, 2.0 * MIB]}, budget_s=1.0, journal=journal)


def test_weights_are_used_again_after_so_many_seconds():
    core, workbench = _core.Bench, _core.Workbench()
    graph = af.Graph("late")
    graph.linear(graph.input((1, 256)), 256)
    for seconds in (0.0, 0.02):
        bench = core(graph, workbench, reuse_bytes=4 * 256 * 256 * 4, reuse_s=seconds)
        bench.warm_up()
        sample = bench.sample(8)  # a turn of four calls before it
        assert sample.wall_s >= 3 * seconds
        assert sample.time_s < 0.005  # the pauses are not timed


def test_backends_that_do_not_time_it():
    hot = named("native", cache="hot")
    assert named("native").times_reuse
    assert not hot.times_reuse
    assert len(measure({**LINEAR, "reuse_bytes": 1e30}, budget_s=1.0)) == 2
    with pytest.raises(UnsupportedError, match="row 2, column 'reuse_bytes'"):
        measure({**LINEAR, "reuse_bytes": [math.nan, float(MIB)]}, backend=hot, budget_s=1.0)
    assert len(measure({**LINEAR, "reuse_bytes": math.nan}, backend=hot, budget_s=1.0)) == 2
