"""The cost model's equations: by hand, and the same in NumPy and in the core."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from measurements import shapes

import alphaflops as af
from alphaflops import _core
from alphaflops.errors import ProfileError
from alphaflops.fitting.forms import (
    Terms,
    alpha_model,
    alpha_parameters,
    predict_s,
    rows_of,
    traffic_model,
    traffic_parameters,
)
from alphaflops.profiles import Profile
from alphaflops.table import work_table


def profile_of(parameters, *, interval=None, out_of_scope=(), dtype="fp32", **fields):
    models = []
    for kind, values in parameters.items():
        model = {
            "kind": kind,
            "pass": "forward",
            "dtype": dtype,
            "form": "alpha" if "seconds_per_mac" in values else "traffic",
            "parameters": values,
            **fields,
        }
        if interval:
            model["interval"] = dict(zip(("lower_factor", "upper_factor"), interval, strict=True))
        models.append(model)
    return Profile.from_dict(
        {
            "format": "alphaflops-profile",
            "version": 1,
            "name": "test",
            "provenance": {"backend": "none"},
            "interval_level": 0.9,
            "models": models,
            "out_of_scope": list(out_of_scope),
        }
    ).core


def conv(c_in, c_out, size, kernel, *, batch=1, groups=1, op="conv2d", dtype="fp32"):
    columns = {
        "batch": batch,
        "c_in": c_in,
        "c_out": c_out,
        "h_in": size,
        "w_in": size,
        "k_h": kernel,
        "k_w": kernel,
        "pad_h": kernel // 2,
        "pad_w": kernel // 2,
        "groups": groups,
    }
    return _core.work_from_specs([op], [dtype], {k: [v] for k, v in columns.items()})


def test_alpha_by_hand():
    # S_K = ln 9 + 1 = 3.1972; (3.1972 + 0.001 (3136 - 3.1972)) / 3136 = 0.0020185
    s_k = math.log(9) + 1
    by_hand = ((s_k + 0.001 * (3136 - s_k)) / 3136) ** 0.56
    assert af.alpha(3136, 9, 0.001, 0.56) == pytest.approx(by_hand, rel=1e-14)
    assert af.alpha(3136, 9, 0.001, 0.56) == pytest.approx(0.0309, abs=1e-4)
    assert af.alpha(1, 1, 0.02, 0.99) == 1
    assert af.alpha(2, 9, 0.5, 0.7) == 1, "S_K is clipped to S"
    assert af.alpha(100, 9, 0.3, 0) == 1, "gamma 0 is plain MACs"
    np.testing.assert_array_equal(af.alpha([1, 0], 1, 0.02, 0.99), [1, 1])


def test_published_time_of_a_layer_by_hand():
    work = conv(64, 128, 56, 3)
    macs = 56 * 56 * 9 * 64 * 128
    assert work.macs.tolist() == [macs]
    got = _core.predict(work, af.load_profile("quadro-t2000").core)
    s_k = math.log(9) + 1
    factor = ((s_k + 0.001 * (3136 - s_k)) / 3136) ** 0.56
    assert got.time_s[0] == pytest.approx(0.0375e-9 * factor * macs, rel=1e-13)
    assert got.alpha_flops == pytest.approx(factor * macs, rel=1e-13)


def test_floor_and_sharpness_by_hand():
    parameters = {"seconds_per_mac": 1e-9, "beta": 0, "gamma": 0, "floor_s": 3e-3, "sharpness": 2}
    work = conv(10, 10, 200, 1)  # 4e6 MACs: 4 ms
    got = _core.predict(work, profile_of({"conv_1x1": parameters}, interval=(0.5, 3)))
    assert got.time_s[0] == pytest.approx(5e-3, rel=1e-14)
    assert got.time_lo_s[0] == pytest.approx(2.5e-3, rel=1e-14)
    assert got.time_hi_s[0] == pytest.approx(15e-3, rel=1e-14)
    one = profile_of({"conv_1x1": {**parameters, "sharpness": 1}})
    assert _core.predict(work, one).time_s[0] == pytest.approx(7e-3, rel=1e-14)


@pytest.mark.parametrize(("dtype", "size"), [("fp32", 4), ("tf32", 4), ("fp16", 2), ("int8", 1)])
def test_traffic_by_hand(dtype, size):
    work = conv(8, 8, 10, 1, op="relu", dtype=dtype)
    rates = {"seconds_per_byte_read": 2e-9, "seconds_per_byte_written": 3e-9}
    got = _core.predict(work, profile_of({"elementwise": rates}, dtype=dtype))
    assert got.time_s[0] == pytest.approx(800 * size * 5e-9, rel=1e-14)
    assert np.isnan(got.alpha[0])


def test_operators_have_factors_and_taps_a_price():
    rates = {"seconds_per_byte_read": 2e-9, "seconds_per_byte_written": 3e-9, "floor_s": 1e-6}
    unlike = rates | {"op_factors": {"max_pool": 0.5, "relu": 3.0}, "seconds_per_tap": 7e-9}
    profile = profile_of({"elementwise": unlike, "pool": unlike})
    works, expected = [], []
    for op, factor in (("relu", 3.0), ("max_pool", 0.5), ("avg_pool", 1.0), ("add", 1.0)):
        pools = op.endswith("pool")
        work = conv(10, 10, 8, 2 if pools else 1, op=op)
        read, written = 2560 * (1 + (op == "add")), 4 * 10 * (81 if pools else 64)
        taps = 10 * (4 * 81 if pools else 64)
        assert _core.OPERATORS[work.op[0]] == op
        works.append(work)
        expected.append(1e-6 + factor * (2e-9 * read + 3e-9 * written + 7e-9 * taps))
        assert _core.predict(work, profile).time_s[0] == pytest.approx(expected[-1], rel=1e-14)
    mixed = _core.predict(_core.join([*works, *works[::-1]]), profile).time_s
    np.testing.assert_allclose(mixed, [*expected, *expected[::-1]], rtol=1e-14)


def test_taps_of_a_gradient_are_its_additions():
    graph = af.Graph("mean")
    graph.global_avg_pool(graph.conv2d(graph.input((2, 3, 7, 7)), 10))
    rates = {"seconds_per_byte_read": 0.0, "seconds_per_byte_written": 0.0, "seconds_per_tap": 1.0}
    step = _core.lower(graph, "eager", _core.Training())
    work = step.take(np.flatnonzero(step.kind == _core.KINDS.index("pool")))
    assert [_core.PASSES[p] for p in work.passes] == ["forward", "input_gradient"]
    got = _core.predict(work, profile_of({"pool": rates})).time_s
    np.testing.assert_array_equal(got, [2 * 10 * 49, 2 * 10 * 49])


def test_bytes_beyond_the_cache_cost_more():
    rates = {"seconds_per_byte_read": 2e-9, "seconds_per_byte_written": 3e-9, "floor_s": 1e-6}
    beyond = rates | {"seconds_per_byte_beyond": 7e-9, "cache_bytes": 6000.0}
    for channels, over in ((10, 0), (20, 4240), (200, 96400)):  # 512 bytes each, in and out
        work = conv(channels, channels, 8, 1, op="relu")
        plain = _core.predict(work, profile_of({"elementwise": rates})).time_s[0]
        got = _core.predict(work, profile_of({"elementwise": beyond})).time_s[0]
        assert got == pytest.approx(plain + 7e-9 * over, rel=1e-14)


def test_out_of_scope_is_nan_and_unpriced_is_an_error():
    rates = {"seconds_per_byte_read": 2e-9, "seconds_per_byte_written": 3e-9}
    profile = profile_of({"pool": rates}, out_of_scope=["elementwise"])
    got = _core.predict(conv(8, 8, 10, 1, op="relu"), profile)
    assert np.isnan(got.time_s[0])
    assert got.unpriced_rows == 1
    assert got.total_time_s == 0
    with pytest.raises(ProfileError, match="'conv_1x1' in fp32; it has: pool fp32"):
        _core.predict(conv(8, 8, 10, 1), profile)


def test_a_profile_without_a_price_of_gelus_prices_them_as_relus():
    """As those made before they were a kind of their own."""
    rates = {"seconds_per_byte_read": 2e-9, "seconds_per_byte_written": 3e-9}
    gelu = conv(8, 8, 10, 1, op="gelu")
    assert _core.KINDS[gelu.kind[0]] == "transcendental"
    got = _core.predict(gelu, profile_of({"elementwise": rates}))
    assert got.time_s[0] == pytest.approx(800 * 4 * 5e-9, rel=1e-14)
    unpriced = _core.predict(gelu, profile_of({"pool": rates}, out_of_scope=["elementwise"]))
    assert unpriced.unpriced_rows == 1


def test_errors_add_within_a_kind_and_in_quadrature_between():
    alpha = {"seconds_per_mac": 1e-9, "beta": 0, "gamma": 0}
    profile = profile_of({"conv_1x1": alpha, "conv_spatial": alpha}, interval=(0.9, 1.2))
    columns = {"c_in": [1, 1, 1], "c_out": [1, 1, 1], "h_in": [10] * 3, "w_in": [100] * 3}
    columns |= {"k_h": [1, 1, 3], "k_w": [1, 1, 1], "pad_h": [0, 0, 1]}
    work = _core.work_from_specs(["conv2d"] * 3, ["fp32"] * 3, columns)
    got = _core.predict(work, profile)
    assert got.total_time_s == pytest.approx(5e-6)
    assert got.total_time_hi_s == pytest.approx(5e-6 + 0.2 * math.hypot(2e-6, 3e-6))
    assert got.total_time_lo_s == pytest.approx(5e-6 - 0.1 * math.hypot(2e-6, 3e-6))


floors = st.one_of(st.just(0.0), st.floats(1e-9, 1e-1))
sharpness = st.floats(1, 8)


@settings(max_examples=100, deadline=None)
@given(st.floats(1e-14, 1e-8), st.floats(0, 1), st.floats(0, 3), floors, sharpness)
def test_numpy_and_the_core_agree_on_alpha(c, beta, gamma, floor, p):
    parameters = {
        "seconds_per_mac": c, "beta": beta, "gamma": gamma, "floor_s": floor, "sharpness": p
    }  # fmt: skip
    kinds = ("conv_1x1", "conv_spatial", "linear")
    work = work_table(shapes(60, ops=("conv2d", "linear")))
    got = _core.predict(work, profile_of(dict.fromkeys(kinds, parameters)))
    np.testing.assert_allclose(predict_s(rows_of(work), parameters), got.time_s, rtol=1e-12)


@settings(max_examples=100, deadline=None)
@given(
    st.tuples(*[st.floats(0, 1e-7)] * 4), floors, sharpness, st.floats(0, 1e7), st.integers(0, 9)
)
def test_numpy_and_the_core_agree_on_traffic(rates, floor, p, cache, seed):
    parameters = {
        "seconds_per_byte_read": rates[0],
        "seconds_per_byte_written": rates[1],
        "seconds_per_byte_beyond": rates[2],
        "seconds_per_tap": rates[3],
        "op_factors": {"add": 0.6, "max_pool": 3.0},
        "cache_bytes": cache,
        "floor_s": floor,
        "sharpness": p,
    }
    kinds = ("elementwise", "norm", "pool", "softmax")
    ops = ("relu", "add", "batch_norm", "max_pool", "avg_pool", "global_avg_pool", "softmax")
    work = work_table(shapes(40, seed, ops=ops))
    got = _core.predict(work, profile_of(dict.fromkeys(kinds, parameters)))
    np.testing.assert_allclose(predict_s(rows_of(work), parameters), got.time_s, rtol=1e-12)


ALL_TERMS = Terms(taps=True, ops=("avg_pool", "max_pool"), cache_bytes=5e5)


@pytest.mark.parametrize(
    ("model", "parameters", "theta", "op"),
    [
        (alpha_model, alpha_parameters, [-24.0], "conv2d"),
        (alpha_model, alpha_parameters, [-24.0, -4.0, -0.3], "conv2d"),
        (alpha_model, alpha_parameters, [-24.0, -4.0, -0.3, -9.0, -1.0], "conv2d"),
        (traffic_model, traffic_parameters, [-22.0, -21.0, -11.0, 0.5], "relu"),
        (
            partial(traffic_model, terms=Terms(cache_bytes=5e5)),
            partial(traffic_parameters, terms=Terms(cache_bytes=5e5)),
            [-22.0, -21.0, -11.0, 0.5, -20.5],
            "relu",
        ),
        (
            partial(traffic_model, terms=Terms(taps=True)),
            partial(traffic_parameters, terms=Terms(taps=True)),
            [-22.0, -21.0, -22.5, -11.0, 0.5],
            "global_avg_pool",
        ),
        (
            partial(traffic_model, terms=Terms(ops=("add", "mul", "relu"))),
            partial(traffic_parameters, terms=Terms(ops=("add", "mul", "relu"))),
            [-22.0, -21.0, 0.4, -0.3, -11.0, 0.5],
            ("add", "mul", "relu"),
        ),
        (
            partial(traffic_model, terms=ALL_TERMS),
            partial(traffic_parameters, terms=ALL_TERMS),
            [-22.0, -21.0, -22.5, 0.4, -11.0, 0.5, -20.5],
            ("avg_pool", "max_pool", "global_avg_pool"),
        ),
    ],
)
def test_what_a_fit_searches_is_what_is_predicted(model, parameters, theta, op):
    theta = np.array(theta)
    rows = rows_of(work_table(shapes(40, ops=op if isinstance(op, tuple) else (op,))))
    log_time, jacobian = model(theta, rows)
    named, slopes = parameters(theta)
    factors = {"op_factors": {k: named[k] for k in named if k in _core.OPERATORS}}
    np.testing.assert_allclose(np.exp(log_time), predict_s(rows, named | factors), rtol=1e-12)
    derived = len(slopes)  # the size of the cache has no derivatives
    step = 1e-6
    for i in range(len(theta)):
        shift = np.eye(len(theta))[i] * step
        above, below = model(theta + shift, rows)[0], model(theta - shift, rows)[0]
        np.testing.assert_allclose(jacobian[:, i], (above - below) / (2 * step), atol=1e-7)
        up, down = (np.array([*parameters(t)[0].values()]) for t in (theta + shift, theta - shift))
        expected = ((up - down) / (2 * step))[:derived]
        np.testing.assert_allclose(slopes[:, i], expected, rtol=1e-4, atol=1e-20)


def test_arrays_of_an_earlier_call_are_used_again():
    profile = profile_of({"conv_spatial": {"seconds_per_mac": 1e-12, "beta": 0.02, "gamma": 0.5}})
    first, second = conv(16, 32, 14, 3), conv(64, 32, 28, 3)
    expected = _core.predict(second, profile)
    out = _core.predict(first, profile)
    times = out.time_s
    assert times[0] != expected.time_s[0]
    assert _core.predict(second, profile, out) is out
    assert times[0] == expected.time_s[0]
    assert out.total_time_s == expected.total_time_s
    two_rows = _core.join([first, second])
    with pytest.raises(_core.ShapeError, match="2 rows"):
        _core.predict(two_rows, profile, out)


@pytest.mark.parametrize("mixed", [False, True])
def test_a_recurrence_costs_as_many_steps_as_it_makes(mixed: bool) -> None:
    graph = af.Graph("states")
    x = graph.recurrent(graph.input((3, 7, 16)), "gru", 16, layers=2, bias=False)
    if mixed:
        graph.softmax(x)
    work = _core.lower(graph)
    macs, weights = 3 * 7 * 2 * 3 * 16 * 32, 2 * 3 * 16 * 32
    assert (work.steps[0], work.spatial[0], work.width[0]) == (14, 14, 7)
    rate = {"seconds_per_mac": 1e-9, "beta": 0.0, "gamma": 0.0, "floor_s": 1e-6}
    for form, more, of_step in (
        ("alpha", {}, 1e-6 + 1e-9 * macs / 14),
        # A step reads the weights of its layer.
        (
            "roofline-alpha",
            {"seconds_per_weight_byte": 1e-8},
            1e-6 + 1e-9 * macs / 14 + 2e-8 * weights,
        ),
    ):
        for per_step in (False, True):
            profile = profile_of(
                {"recurrent": rate | more}, out_of_scope=["softmax"], form=form, per_step=per_step
            )
            whole = 1e-6 + 1e-9 * macs + 4 * weights * more.get("seconds_per_weight_byte", 0.0)
            time_s = _core.predict(work, profile).time_s[0]
            assert time_s == pytest.approx(14 * of_step if per_step else whole)
            # A step by itself is one.
            assert _core.predict(work.one_step(), profile).time_s[0] == pytest.approx(of_step)
