"""More of everything is never cheaper, but for what tiles and waves round up."""

from __future__ import annotations

import numpy as np
from costs import CANDIDATE, predict, rows, tiled
from hypothesis import given, settings
from hypothesis import strategies as st

GROWING = ("batch", "c_in", "c_out", "h_in", "w_in")
LEGAL = st.fixed_dictionaries(
    {
        "seconds_per_mac": st.floats(0, 1e-9),
        "beta": st.floats(0, 1),
        "gamma": st.floats(0, 1),
        "half_rows": st.floats(0, 1e3),
        "half_c_out": st.floats(0, 1e3),
        "half_depth": st.floats(0, 1e3),
        "seconds_per_weight_byte": st.floats(0, 1e-9),
        "seconds_per_byte_read": st.floats(0, 1e-9),
        "seconds_per_byte_written": st.floats(0, 1e-9),
        "floor_s": st.floats(0, 1e-3),
        "sharpness": st.floats(1, 8),
    }
)
SIZES = st.fixed_dictionaries(
    {
        "batch": st.integers(1, 8),
        "c_in": st.integers(1, 300),
        "c_out": st.integers(1, 300),
        "h_in": st.integers(1, 60),
        "w_in": st.integers(1, 60),
    }
)
KERNELS = st.sampled_from([1, 3, 5])


def grown(sizes, kernel, by):
    """Return the sizes, then one row more for each size grown by itself, then all grown."""
    columns = {name: [value] * 7 for name, value in sizes.items()}
    for i, name in enumerate(GROWING):
        columns[name][i + 1] = by(columns[name][0])
        columns[name][6] = by(columns[name][0])
    same = {"k_h": kernel, "k_w": kernel, "pad_h": kernel // 2, "pad_w": kernel // 2}
    return rows(**columns, **{k: [v] * 7 for k, v in same.items()})


@settings(max_examples=150, deadline=None)
@given(LEGAL, SIZES, KERNELS, st.integers(1, 100))
def test_roofline_alpha_grows_with_every_size(parameters, sizes, kernel, more):
    time_s = predict(grown(sizes, kernel, lambda n: n + more), "roofline-alpha", parameters).time_s
    assert (time_s[1:] >= time_s[0] * (1 - 1e-12)).all()


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["implicit_gemm", "row_gemm", "winograd4", "winograd2_fused", "fft"]),
    st.sampled_from([(1, 32), (16, 8), (128, 64), (128, 128)]),
    st.tuples(st.sampled_from([1.0, 16.0, 80.0]), st.floats(0, 1)),
    SIZES,
    KERNELS,
)
def test_tiled_with_all_sizes_doubled_is_not_cheaper(algorithm, tile, waves, sizes, kernel):
    processors, whole = waves
    candidate = {"algorithm": algorithm, "tile_rows": tile[0], "tile_columns": tile[1]}
    parameters = tiled({}, candidate | {"whole_waves": whole}, processors=processors)
    time_s = predict(grown(sizes, kernel, lambda n: 2 * n), "tiled", parameters).time_s
    assert time_s[6] >= time_s[0] * (1 - 1e-12)


def test_a_tile_that_is_begun_is_paid_for():
    work = rows(c_in=64, c_out=[32, 33, 64], batch=1, h_in=16, w_in=16)
    only = {n: 0 for n in CANDIDATE if "byte" in n or n in ("floor_s", "start_waves")}
    time_s = predict(work, "tiled", tiled(only | {"whole_waves": 1}, processors=1)).time_s
    np.testing.assert_allclose(time_s[1:], 2 * time_s[0], rtol=1e-13)
