"""Weights that stay in a cache: what a run touches, what it costs, how it is found and timed."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from command_line import run
from costs import ROOFLINE, document
from measurements import shapes, timed, with_column
from space_profiles import device

import alphaflops as af
from alphaflops import _core
from alphaflops.errors import ProfileError, ShapeError, TableError, UnsupportedError
from alphaflops.fitting import FORMS, evaluate, fit
from alphaflops.fitting.forms import WEIGHTED, rows_of
from alphaflops.fitting.metrics import seconds_between
from alphaflops.fitting.reuse import fit_reuse
from alphaflops.measuring.backends import named
from alphaflops.measuring.campaign import measure
from alphaflops.measuring.reuse import with_reuse
from alphaflops.measuring.sampling import sample_shapes
from alphaflops.profiles import Profile
from alphaflops.table import check_table, work_table

MIB = 1 << 20
REUSE = {
    "distance_bytes": [MIB, 4 * MIB, 64 * MIB],
    "share": [0.125, 0.5, 1.0],
    "half_rows": {"conv_1x1": 40.0, "conv_spatial": 20.0, "conv_grouped": 5.0, "linear": 10.0},
}


def profile(**changes):
    """Return a profile of kinds with weights, with REUSE changed."""
    return Profile.from_dict(
        document("roofline-alpha", ROOFLINE) | {"weight_reuse": {**REUSE, **changes}}
    )


def network(width=256):
    """Return a perceptron of two linear layers behind a convolution."""
    graph = af.Graph("net")
    x = graph.conv2d(graph.input((1, 8, 4, 4)), 16, 3, padding=1)
    x = graph.linear(graph.flatten(x), width)
    graph.linear(x, 10)
    return graph


@pytest.mark.parametrize(
    ("distance", "share"),
    [
        (0.0, 0.125),
        (MIB, 0.125),
        (2 * MIB, 0.3125),  # half way in the logarithm
        (4 * MIB, 0.5),
        (16 * MIB, 0.75),
        (64 * MIB, 1.0),
        (65 * MIB, 1.0),
        (math.inf, 1.0),
    ],
)
def test_the_share_at_a_distance(distance, share):
    assert profile().core.weight_share(distance) == pytest.approx(share, rel=1e-12)


@pytest.mark.parametrize("distance", [-1.0, math.nan])
def test_no_distance(distance):
    with pytest.raises(ShapeError, match="reuse_bytes is"):
        profile().core.weight_share(distance)
    with pytest.raises(ShapeError, match="reuse_bytes is"):
        af.estimate(network(), profile(), reuse_bytes=distance)


def test_beyond_the_last_distance_weights_come_from_memory():
    core = profile(share=[0.1, 0.2, 0.3]).core
    assert core.weight_share(64 * MIB) == pytest.approx(0.3)
    assert core.weight_share(64 * MIB + 1) == 1.0


def test_a_launch_gains_as_far_as_it_waits_for_weights():
    table = shapes(60, 1, kernels=(1, 3))
    work, core = work_table(table), profile().core
    far, near = _core.predict(work, core), _core.predict(work, core, reuse_bytes=4 * MIB)
    rows = rows_of(work)
    half = np.array([REUSE["half_rows"][kind] for kind in rows.kind])
    factor = 1 - 0.5 / (1 + (rows.s - 1) / half)
    np.testing.assert_allclose(near.time_s, far.time_s * factor, rtol=1e-12)
    np.testing.assert_allclose(near.time_lo_s, far.time_lo_s * factor, rtol=1e-12)
    np.testing.assert_allclose(near.time_hi_s, far.time_hi_s * factor, rtol=1e-12)
    np.testing.assert_array_equal(near.alpha, far.alpha)
    assert near.total_time_s == pytest.approx(near.time_s.sum())
    without = Profile.from_dict(document("roofline-alpha", ROOFLINE)).core
    np.testing.assert_array_equal(_core.predict(work, without, reuse_bytes=0.0).time_s, far.time_s)


@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.1])
def test_what_is_gained_fades_with_time(seconds):
    core = profile(keep_s=0.01).core
    share = 1 - 0.5 * math.exp(-seconds / 0.01)
    assert core.weight_share(4 * MIB, seconds) == pytest.approx(share, rel=1e-12)
    work = work_table(shapes(20, 5, kernels=(1, 3)))
    given = _core.predict(work, core, reuse_bytes=4 * MIB, reuse_s=seconds)
    assert given.weight_share == pytest.approx(share, rel=1e-12)
    far = _core.predict(work, core)
    assert far.weight_share == 1
    own = _core.predict(work, core, reuse_bytes=4 * MIB)
    assert own.weight_share == core.weight_share(4 * MIB, far.total_time_s)
    np.testing.assert_array_equal(
        own.time_s,
        _core.predict(work, core, reuse_bytes=4 * MIB, reuse_s=far.time_s.sum()).time_s,
    )
    with pytest.raises(ShapeError, match="reuse_s is"):
        _core.predict(work, core, reuse_bytes=4 * MIB, reuse_s=-1.0)


def test_kinds_without_a_number_gain_nothing():
    work = work_table(shapes(40, 2, kernels=(1, 3)))
    core = profile(half_rows={"conv_1x1": 40.0}).core
    far, near = _core.predict(work, core), _core.predict(work, core, reuse_bytes=MIB)
    is_1x1 = work.kind == _core.KINDS.index("conv_1x1")
    assert (near.time_s[is_1x1] < far.time_s[is_1x1]).all()
    np.testing.assert_array_equal(near.time_s[~is_1x1], far.time_s[~is_1x1])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"distance_bytes": [MIB, MIB, 2 * MIB]}, "ascending"),
        ({"distance_bytes": [0, MIB, 2 * MIB]}, "positive"),
        ({"distance_bytes": [], "share": []}, "ascending"),
        ({"share": [0.5, 1.0]}, "as many"),
        ({"share": [0.0, 0.5, 1.0]}, "above 0"),
        ({"share": [0.5, 0.5, 1.5]}, "at most 1"),
        ({"share": [0.5, "x", 1.0]}, "array of numbers"),
        ({"keep_s": 0.0}, "keep_s"),
        ({"half_rows": {"conv_7x7": 1.0}}, "conv_7x7"),
        ({"half_rows": {"linear": -1.0}}, "linear"),
        ({"half_rows": None}, "half_rows"),
    ],
)
def test_an_entry_that_is_not_right(changes, said):
    with pytest.raises(ProfileError, match=said) as error:
        profile(**changes)
    assert "weight_reuse" in str(error.value)


def test_what_a_run_touches():
    graph = network()
    weights = 8 * 16 * 9 + 256 * 256 + 256 * 10  # the convolution writes 256 numbers
    largest = 8 * 16 + 16 * 16  # it reads 8 channels of 4 x 4, and writes 16
    largest = max(largest, 256 + 256)
    assert _core.reuse_distance_bytes(_core.lower(graph)) == 4 * (weights + largest)
    training = _core.Training("sgd", (), (), 1, False)
    assert math.isinf(_core.reuse_distance_bytes(_core.lower(graph, "eager", training)))


def test_estimates_are_of_a_network_that_runs_alone():
    graph = network(2048)
    report = af.estimate(graph, profile())
    assert report.reuse_bytes == _core.reuse_distance_bytes(report.work)
    cold = af.estimate(graph, profile(), reuse_bytes=math.inf)
    assert report.time_s < cold.time_s
    assert cold.time_s == _core.predict(cold.work, profile().core).total_time_s
    said = [line for line in report.summary if "used again" in line]
    assert len(said) == 1
    assert f"{report.reuse_bytes / 1e6:,.1f} MB" in said[0]
    assert not [line for line in cold.summary if "used again" in line]
    assert json.loads(report.to_json())["reuse_bytes"] == report.reuse_bytes
    assert json.loads(cold.to_json())["reuse_bytes"] is None


def test_training_takes_no_distance():
    training = _core.Training("sgd", (), (), 1, False)
    assert math.isinf(af.estimate(network(), device(), training=training).reuse_bytes)
    with pytest.raises(UnsupportedError, match="reuse_bytes is of inference"):
        af.estimate(network(), device(), training=training, reuse_bytes=1e6)


def test_products_of_activations_are_no_weights():
    graph = af.Graph("product")
    x = graph.input((1, 4, 64, 32))
    graph.matmul(x, graph.input((1, 4, 32, 128)))
    assert _core.reuse_distance_bytes(_core.lower(graph)) == 4 * 4 * (64 * 32 + 32 * 128 + 64 * 128)


def test_cold_on_the_command_line(tmp_path):
    priced = tmp_path / "own.json"
    device(weight_reuse=REUSE).save(priced)
    said = [
        json.loads(run("estimate", "mlp", "--device", str(priced), "-f", "json", *more).stdout)
        for more in ((), ("--cold",))
    ]
    assert said[0]["time_s"] < said[1]["time_s"]
    assert said[1]["reuse_bytes"] is None
    rows = [
        json.loads(run("compare", "mlp", "--devices", str(priced), "--json", *more).stdout)
        for more in ((), ("--cold",))
    ]
    times = [row["networks"][0]["time_s"]["made up"] for row in rows]
    assert times == [said[0]["time_s"], said[1]["time_s"]]


def space():
    """Return a space of two linear layers, each of two widths."""
    made = af.spaces.SearchSpace("widths")
    made.image(64, 1, 1)
    made.then("flat", lambda graph, x: graph.flatten(x))
    for name, widths in (("a", (64, 1024)), ("b", (64, 512))):
        made.choose(name, {str(w): lambda g, x, w=w: g.linear(x, w) for w in widths})
    return made


def test_a_space_is_priced_at_one_distance():
    searched, on = space(), device(weight_reuse=REUSE)
    codes = np.array([[a, b] for a in range(2) for b in range(2)], np.uint8)
    for distance in (MIB, 3e6, math.inf):
        compiled = searched.compile(on, reuse_bytes=distance)
        graphs = [searched.graph(code) for code in codes]
        expected = [af.estimate(g, on, reuse_bytes=distance).time_s for g in graphs]
        np.testing.assert_allclose(compiled.evaluate(codes), expected, rtol=1e-12)


def test_by_default_the_distance_is_that_of_the_mean_network():
    searched, on = space(), device(weight_reuse=REUSE)
    codes = np.array([[a, b] for a in range(2) for b in range(2)], np.uint8)
    tables = [_core.lower(searched.graph(code)) for code in codes]
    weights = np.mean([4 * t.weights_read.sum() for t in tables])
    a = np.mean([64 + 64, 64 + 1024])
    b = np.mean([64 + 64, 64 + 512, 1024 + 64, 1024 + 512])
    expected = searched.compile(on, reuse_bytes=float(weights + 4 * max(a, b)))
    np.testing.assert_allclose(
        searched.compile(on).evaluate(codes), expected.evaluate(codes), rtol=1e-9
    )


def test_a_space_is_priced_at_the_mean_time():
    searched, on = space(), device(weight_reuse=REUSE | {"keep_s": 1e-4})
    codes = np.array([[a, b] for a in range(2) for b in range(2)], np.uint8)
    tables = [_core.lower(searched.graph(code)) for code in codes]
    mean_s = np.mean([_core.predict(table, on.core).time_s.sum() for table in tables])
    expected = [
        _core.predict(table, on.core, reuse_bytes=MIB, reuse_s=mean_s).total_time_s
        for table in tables
    ]
    found = searched.compile(on, reuse_bytes=MIB).evaluate(codes)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def again(table, distances, keep_s=math.inf):
    """Return the rows of a timed table, and once more as a device with REUSE runs them."""
    work, core = work_table(table), profile().core
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
    profile(**{k: found[k] for k in REUSE})  # is one that the core takes


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
    data = profile().data | {"out_of_scope": ["elementwise"]}
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
