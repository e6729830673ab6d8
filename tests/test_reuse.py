"""Weights that stay in a cache: what a run touches, and what it costs."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from command_line import run
from costs import MIB, REUSE, ROOFLINE, document, reusing
from measurements import shapes
from space_profiles import device

import alphaflops as af
from alphaflops import _core
from alphaflops.errors import ProfileError, ShapeError, UnsupportedError
from alphaflops.fitting.forms import rows_of
from alphaflops.profiles import Profile
from alphaflops.table import work_table


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
    assert reusing().core.weight_share(distance) == pytest.approx(share, rel=1e-12)


@pytest.mark.parametrize("distance", [-1.0, math.nan])
def test_no_distance(distance):
    with pytest.raises(ShapeError, match="reuse_bytes is"):
        reusing().core.weight_share(distance)
    with pytest.raises(ShapeError, match="reuse_bytes is"):
        af.estimate(network(), reusing(), reuse_bytes=distance)


def test_beyond_the_last_distance_weights_come_from_memory():
    core = reusing(share=[0.1, 0.2, 0.3]).core
    assert core.weight_share(64 * MIB) == pytest.approx(0.3)
    assert core.weight_share(64 * MIB + 1) == 1.0


def test_a_launch_gains_as_far_as_it_waits_for_weights():
    table = shapes(60, 1, kernels=(1, 3))
    work, core = work_table(table), reusing().core
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
    core = reusing(keep_s=0.01).core
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
    core = reusing(half_rows={"conv_1x1": 40.0}).core
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
        reusing(**changes)
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
    report = af.estimate(graph, reusing())
    assert report.reuse_bytes == _core.reuse_distance_bytes(report.work)
    cold = af.estimate(graph, reusing(), reuse_bytes=math.inf)
    assert report.time_s < cold.time_s
    assert cold.time_s == _core.predict(cold.work, reusing().core).total_time_s
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


def test_a_space_is_priced_to_the_last_digit_where_all_gain_alike():
    searched, on = space(), device(weight_reuse=REUSE)
    codes = np.array([[a, b] for a in range(2) for b in range(2)], np.uint8)
    for distance in (MIB, 3e6, math.inf):
        compiled = searched.compile(on, reuse_bytes=distance)
        graphs = [searched.graph(code) for code in codes]
        expected = [af.estimate(g, on, reuse_bytes=distance).time_s for g in graphs]
        np.testing.assert_allclose(compiled.evaluate(codes), expected, rtol=1e-12)


@pytest.mark.parametrize("keep", [{}, {"keep_s": 1e-3}, {"keep_s": 1e-4}], ids=str)
@pytest.mark.parametrize("distance", [None, MIB])
def test_by_default_each_network_of_a_space_has_its_own_distance_and_time(keep, distance):
    searched, on = space(), device(weight_reuse=REUSE | keep)
    codes = np.array([[a, b] for a in range(2) for b in range(2)], np.uint8)
    own = [af.estimate(searched.graph(c), on, reuse_bytes=distance).time_s for c in codes]
    found = searched.compile(on, reuse_bytes=distance).evaluate(codes)
    np.testing.assert_allclose(found, own, rtol=0.05)
    cold = searched.compile(on, reuse_bytes=math.inf).evaluate(codes)
    assert (abs(found / own - 1) < abs(cold / own - 1) / 3).all()


def test_a_space_that_launches_nothing_takes_the_overhead():
    searched, on = af.spaces.SearchSpace("nothing"), device(weight_reuse=REUSE)
    searched.image(64, 1, 1)
    bounds = searched.compile(on).bounds()
    assert bounds.least == bounds.most == on.data["overhead_s"] > 0
