"""The forms beyond the paper's: by hand, against the search's own evaluation, and in size."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest
from costs import CANDIDATE, ROOFLINE, layer, predict, rows, tiled
from hypothesis import given, settings
from hypothesis import strategies as st
from measurements import shapes

from alphaflops import _core
from alphaflops.errors import Error
from alphaflops.fitting.roofline import NAMES
from alphaflops.table import work_table

NEVER = {"floor_s": 1e3}  # a candidate that is there and never wins


def test_roofline_alpha_by_hand():
    macs, s, depth, s_k = 2 * 120 * 9 * 8 * 48, 240, 72, math.log(9) + 1
    alpha = ((s_k + 0.02 * (s - s_k)) / s) ** 0.7
    compute = 2e-12 * macs * (alpha + 30 / s) * (1 + 4 / 48) * (1 + 9 / depth)
    moved = 4 * (7e-11 * 9 * 8 * 48 + 3e-11 * 2 * 120 * 8 + 5e-11 * 2 * 120 * 48)
    by_hand = ((2e-6) ** 2.5 + compute**2.5 + moved**2.5) ** (1 / 2.5)
    got = predict(layer(), "roofline-alpha", ROOFLINE)
    assert got.time_s[0] == pytest.approx(by_hand, rel=1e-13)
    assert got.alpha[0] == pytest.approx(alpha, rel=1e-13)
    added = predict(layer(), "roofline-alpha", ROOFLINE | {"sharpness": 1})
    assert added.time_s[0] == pytest.approx(2e-6 + compute + moved, rel=1e-13)


def test_roofline_alpha_of_groups_sees_the_channels_of_one():
    work = layer(groups=4)  # 2 channels to 12, four times
    terms = {"seconds_per_mac": 1e-12, "beta": 0, "gamma": 0, "seconds_per_byte_read": 0}
    terms |= {"half_c_out": 6.0, "half_depth": 9.0, "sharpness": 1}
    got = predict(work, "roofline-alpha", terms).time_s[0]
    assert got == pytest.approx(1e-12 * 2 * 120 * 18 * 48 * 1.5 * 1.5, rel=1e-13)


def test_terms_that_are_nothing():
    free = {"seconds_per_mac": 0, "beta": 0, "gamma": 0, "sharpness": 3.0}
    assert predict(layer(), "roofline-alpha", free).time_s[0] == 0
    floor = predict(layer(), "roofline-alpha", free | {"floor_s": 2e-6}).time_s[0]
    assert floor == pytest.approx(2e-6, rel=1e-14)


OF_GROUPS = ("channelwise", "group_gemm")
READ, WRITTEN, WEIGHTS = 4 * 2 * 120 * 8, 4 * 2 * 120 * 48, 4 * 9 * 8 * 48


@pytest.mark.parametrize(
    ("algorithm", "tiles", "depth", "moved"),
    [
        # 240 rows in 15 tiles of 16, 48 columns in 2 of 32
        ("implicit_gemm", 30, 72, (READ, WRITTEN, WEIGHTS)),
        # 12 rows in one tile, 2 of columns, 20 times
        ("row_gemm", 40, 72, (READ, WRITTEN, WEIGHTS)),
        *((name, 30, 72, (READ, WRITTEN, WEIGHTS)) for name in OF_GROUPS),
        # 2 x 3 x 3 blocks of 4 x 4 in 2 tiles, 2 of columns, 36 products
        (
            *("winograd4", 144, 8),
            (READ + 4 * 36 * 18 * 8, WRITTEN + 4 * 36 * 18 * 48, 4 * 36 * 8 * 48),
        ),
        # 2 x 2 x 1 blocks of 8 x 16, 2 tiles of columns
        ("winograd2_fused", 8, 8, (READ, WRITTEN, 64 * 8 * 48)),
        # 2 blocks of 30 x 30 in one tile, 2 of columns, 544 complex products
        (
            *("fft", 1088, 32),
            (READ + 8 * 544 * 2 * 8, WRITTEN + 8 * 544 * 2 * 48, 8 * 544 * 8 * 48),
        ),
    ],
)
def test_tiles_and_waves_by_hand(algorithm, tiles, depth, moved):
    read, written, weights = moved
    u = tiles / 5
    waves = 0.75 * (u + 0.4) + 0.25 * math.ceil(u)
    by_hand = 3e-6 + 1e-9 * 16 * 32 * waves * (depth + 20)
    by_hand += 2e-12 * read + 5e-12 * written + 7e-12 * weights
    got = predict(layer(), "tiled", tiled({"algorithm": algorithm}, NEVER))
    assert got.time_s[0] == pytest.approx(by_hand, rel=1e-13)
    assert np.isnan(got.alpha[0])


@pytest.mark.parametrize(
    ("algorithm", "tiles"),
    # 4 groups of 12 columns in a tile each, or 48 side by side in 2
    [
        ("implicit_gemm", 4 * 15),
        ("row_gemm", 4 * 20),
        ("channelwise", 15 * 2),
        ("group_gemm", 4 * 15),
    ],
)
def test_tiles_of_groups(algorithm, tiles):
    only = {"depth_overhead": 0, "start_waves": 0, "whole_waves": 0, "floor_s": 0}
    only |= dict.fromkeys([n for n in CANDIDATE if n.endswith("_byte") or "_byte_" in n], 0)
    parameters = tiled({"algorithm": algorithm, **only}, NEVER, processors=1)
    got = predict(layer(groups=4), "tiled", parameters).time_s[0]
    assert got == pytest.approx(1e-9 * 16 * 32 * tiles * 18, rel=1e-13)


def test_depthwise_is_channelwise_where_groups_have_one_channel():
    def seconds(algorithm):
        parameters = tiled({"algorithm": algorithm}, NEVER)
        return predict(layer(c_in=48, groups=48), "tiled", parameters).time_s[0]

    assert seconds("depthwise") == seconds("channelwise") < seconds("implicit_gemm")


def test_a_group_has_a_start_of_its_own():
    def seconds(algorithm, groups):
        parameters = tiled({"algorithm": algorithm, "whole_waves": 0.0}, processors=1)
        return predict(layer(groups=groups), "tiled", parameters).time_s[0]

    assert seconds("group_gemm", 1) == seconds("implicit_gemm", 1)
    # 0.4 waves more for each of 3 groups more, of depth 18 + 20
    more = seconds("group_gemm", 4) - seconds("implicit_gemm", 4)
    assert more == pytest.approx(3 * 0.4 * 1e-9 * 16 * 32 * (18 + 20), rel=1e-9)


@pytest.mark.parametrize(
    ("algorithm", "changes"),
    [
        ("depthwise", {"c_in": 48, "groups": 48, "k_h": 1, "k_w": 1, "pad_h": 0, "pad_w": 0}),
        ("depthwise", {"groups": 8}),  # 6 outputs of one input
        ("depthwise", {"c_in": 96, "groups": 48}),
        ("winograd4", {"stride_h": 2}),
        ("winograd4", {"groups": 2}),
        ("winograd2_fused", {"k_h": 1, "k_w": 9, "pad_h": 0, "pad_w": 4}),
        ("fft", {"k_h": 1, "k_w": 1, "pad_h": 0, "pad_w": 0}),
        ("fft", {"k_h": 3, "k_w": 5, "pad_w": 2}),
        ("fft", {"k_h": 17, "k_w": 17, "pad_h": 8, "pad_w": 8}),
    ],
)
def test_algorithms_that_do_not_apply_cost_nothing(algorithm, changes):
    gemm = predict(layer(**changes), "tiled", tiled({})).time_s
    both = predict(layer(**changes), "tiled", tiled({}, {"algorithm": algorithm, "floor_s": 0}))
    assert both.time_s[0] == gemm[0]


def test_the_soft_minimum_by_hand():
    one = predict(layer(), "tiled", tiled({})).time_s[0]
    two = predict(layer(), "tiled", tiled({}, {})).time_s[0]
    assert two == pytest.approx(one * 2 ** (-1 / 16), rel=1e-14)
    scaled = {n: 2 * v for n, v in CANDIDATE.items() if n == "floor_s" or n.startswith("seconds")}
    uneven = predict(layer(), "tiled", tiled({}, scaled)).time_s[0]
    assert uneven == pytest.approx(one * (1 + 2**-16) ** (-1 / 16), rel=1e-14)


def test_bias_and_uneven_padding_are_added():
    more = {"seconds_per_biased_byte": 1e-9, "seconds_per_padded_byte": 3e-9}
    plain = predict(layer(), "tiled", tiled({})).time_s[0]
    assert predict(layer(), "tiled", tiled({}, **more)).time_s[0] == pytest.approx(plain, rel=1e-14)
    biased = predict(layer(bias=1), "tiled", tiled({}, **more)).time_s[0]
    assert biased == pytest.approx(plain + 7e-12 * 4 * 48 + 1e-9 * WRITTEN, rel=1e-13)
    # 224 to 112 by a kernel of 3 and a stride of 2: one more row below and column to the right
    uneven = rows(
        batch=2, c_in=8, c_out=16, h_in=224, w_in=224, k_h=3, k_w=3,
        stride_h=2, stride_w=2, h_out=112, w_out=112,
    )  # fmt: skip
    assert uneven.padded_elements.tolist() == [2 * 8 * 225 * 225]
    cost = predict(uneven, "tiled", tiled({}, **more)).time_s[0]
    bare = predict(uneven, "tiled", tiled({})).time_s[0]
    assert cost == pytest.approx(bare + 3e-9 * 4 * 2 * 8 * 225 * 225, rel=1e-13)
    padded = ROOFLINE | {"seconds_per_padded_byte": 3e-9}
    bare = predict(uneven, "roofline-alpha", ROOFLINE).time_s[0]
    cost = predict(uneven, "roofline-alpha", padded).time_s[0]
    assert cost == pytest.approx(bare + 3e-9 * 4 * 2 * 8 * 225 * 225, rel=1e-13)
    for even in (layer(), layer(bias=1)):
        bare = predict(even, "roofline-alpha", ROOFLINE).time_s[0]
        assert predict(even, "roofline-alpha", padded).time_s[0] == bare


def test_padding_alike_on_both_sides_needs_no_copy():
    columns = {"batch": 1, "c_in": 8, "c_out": 8, "k_h": 3, "k_w": 3, "pad_h": 1, "pad_w": 1}
    columns |= {"stride_h": 2, "stride_w": 2, "h_in": [224, 225, 7], "w_in": [224, 225, 7]}
    assert rows(**columns).padded_elements.tolist() == [0, 0, 0]


def test_take():
    work = work_table(shapes(20))
    some = work.take(np.array([7, 0, 7]))
    for column in ("batch", "c_in", "spatial", "width", "kernel_width", "macs", "padded_elements"):
        values = getattr(work, column)
        assert getattr(some, column).tolist() == [values[7], values[0], values[7]]
    assert len(work.take(np.array([], np.int64))) == 0
    for number in (20, -1):
        with pytest.raises(Error, match=str(number)):
            work.take(np.array([number]))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 99), st.lists(st.floats(-3, 3), min_size=12, max_size=12))
def test_the_search_evaluates_what_is_predicted(seed, shifts):
    work = work_table(shapes(130, seed, kernels=(1, 3, 5)))
    scale = np.exp(np.array(shifts))
    named = (ROOFLINE | {"seconds_per_padded_byte": 4e-11}).items()
    named = {name: value * by for (name, value), by in zip(named, scale, strict=True)}
    named |= {name: 1 / (1 + named[name]) for name in ("beta", "gamma")}
    named["sharpness"] = 1 + named["sharpness"] / 3
    roofline = np.array([named[name] for name in NAMES])
    searched = _core.Launches(work).roofline_s(roofline[None])[0]
    got = predict(work, "roofline-alpha", named).time_s
    np.testing.assert_allclose(searched, got, rtol=1e-12)

    algorithms = ["implicit_gemm", "winograd4", "fft", "channelwise"]
    tiles = np.array([[16.0, 32.0], [128.0, 64.0], [32.0, 64.0], [8.0, 16.0]])
    names = [n for n in CANDIDATE if n not in ("algorithm", "tile_rows", "tile_columns")]
    own = np.array([CANDIDATE[n] for n in names]) * np.outer(np.ones(4), scale[:8])
    own[:, 3] = 1 / (1 + scale[3])
    own[:, 0] *= [1, 0.5, 0.1, 2]
    flat = np.concatenate([own.ravel(), [1e-12, 2e-12]])
    searched = _core.Launches(work).tiled_s(algorithms, tiles, 40.0, flat[None])[0]
    candidates = [
        {"algorithm": a, "tile_rows": t[0], "tile_columns": t[1]} | dict(zip(names, o, strict=True))
        for a, t, o in zip(algorithms, tiles.tolist(), own.tolist(), strict=True)
    ]
    both = {"seconds_per_biased_byte": 1e-12, "seconds_per_padded_byte": 2e-12}
    got = predict(work, "tiled", tiled(*candidates, processors=40.0, **both)).time_s
    np.testing.assert_allclose(searched, got, rtol=1e-12)


def test_rows_mixed_and_alone_cost_the_same():
    table = shapes(1300, 3, kernels=(1, 3), ops=("conv2d", "linear"))
    work = work_table(table)
    for form, parameters in (("roofline-alpha", ROOFLINE), ("tiled", tiled({}, {"tile_rows": 64}))):
        together = predict(work, form, parameters)
        for kind in np.unique(work.kind):
            own = np.flatnonzero(work.kind == kind)
            alone = predict(work.take(own), form, parameters)
            np.testing.assert_allclose(together.time_s[own], alone.time_s, rtol=1e-13)
            np.testing.assert_allclose(together.alpha[own], alone.alpha, rtol=1e-13)


PRINT_TIMES = """
import json
from costs import ROOFLINE, predict, tiled
from measurements import shapes
from alphaflops.table import work_table

work = work_table(shapes(500, 4, kernels=(1, 3, 5)))
forms = {"alpha": {"seconds_per_mac": 1e-12, "beta": 0.01, "gamma": 0.6, "floor_s": 1e-6}}
forms["alpha"]["sharpness"] = 3
forms |= {"roofline-alpha": ROOFLINE, "tiled": tiled({}, {"algorithm": "winograd4"})}
print(json.dumps({form: predict(work, form, p).time_s.tolist() for form, p in forms.items()}))
"""


def test_instruction_sets_agree():
    found = {}
    for isa in _core.available_isas():
        environment = os.environ | {"ALPHAFLOPS_ISA": isa}
        environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        done = subprocess.run(
            [sys.executable, "-c", PRINT_TIMES],
            capture_output=True, text=True, check=True, env=environment,
        )  # fmt: skip
        found[isa] = json.loads(done.stdout)
    for form, scalar in found["scalar"].items():
        for isa in found:
            np.testing.assert_allclose(found[isa][form], scalar, rtol=1e-12, err_msg=isa)


def test_launches_are_of_one_dtype():
    columns = {name: [8, 8] for name in ("c_in", "h_in", "w_in", "c_out")} | {"batch": [1, 1]}
    work = _core.work_from_specs(["conv2d"] * 2, ["fp32", "fp16"], columns)
    with pytest.raises(Error, match="several dtypes"):
        _core.Launches(work)
