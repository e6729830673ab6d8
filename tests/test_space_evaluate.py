"""Populations priced from arrays of any layout, from files and on threads; and what is refused."""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from space_profiles import COUNTS, FAST, SLOW, SUMS, assert_same, device

import alphaflops as af
from alphaflops.errors import ModelError, ProfileError, UnsupportedError
from alphaflops.spaces import METRICS, Flow, SearchSpace

FBNET = af.spaces.fbnet()
ALL = (*SUMS, *COUNTS, "peak_memory_bytes")


@functools.cache
def tables():
    return FBNET.compile([FAST, SLOW])


@functools.cache
def one_device():
    return FBNET.compile(FAST)


def odd_space(positions):
    """A space of so many positions, the last of which makes most of the difference."""
    space = SearchSpace("odd")
    space.image(3, 8, 8)
    for i in range(positions):

        def build(graph, x, kernel):
            return graph.conv2d(x, 4, kernel, 1, kernel // 2)

        more = 2 * (i == positions - 1)
        space.choose(
            f"p{i}",
            {f"k{k}": functools.partial(build, kernel=k + more) for k in (1, 3, 5)[: 2 + i % 2]},
        )
    return space


def looked_up(compiled, codes, metric="time_s"):
    """The same sums by `delta`, one position after the other."""
    start = np.zeros(compiled.space.positions, np.uint8)
    cost = float(compiled.evaluate(start[np.newaxis], metric)[0])
    sums = []
    for code in codes:
        now, total = start.copy(), cost
        for position, choice in enumerate(code):
            total += compiled.delta(now, position, int(choice), metric)
            now[position] = choice
        sums.append(total)
    return np.array(sums)


# Results


def test_all_metrics_are_known():
    assert set(ALL) == set(METRICS)


def test_what_comes_back():
    codes = FBNET.sample(7, 1)
    plain = one_device().evaluate(codes)
    assert (plain.shape, plain.dtype) == ((7,), np.float64)
    counts = tables().evaluate(codes, "macs")
    assert (counts.shape, counts.dtype) == ((7,), np.int64)
    both = tables().evaluate(codes)
    assert (both.shape, both.dtype) == ((7, 2), np.float64)
    np.testing.assert_array_equal(both[:, 0], plain)
    table = tables().evaluate(codes, ALL)
    assert table.dtype.names == ALL
    assert table["time_s"].shape == (7, 2)
    np.testing.assert_array_equal(table["time_s"], both)
    np.testing.assert_array_equal(table["macs"], counts)
    np.testing.assert_allclose(table["energy_j"], table["time_s"] * [12.5, 3.0], rtol=1e-15)
    alone = one_device().evaluate(codes, ("time_hi_s",))
    assert alone.dtype == np.dtype([("time_hi_s", np.float64)])
    assert (alone["time_hi_s"] > plain).all()
    assert repr(tables()) == f"CompiledSpace('fbnet', fast, slow, {tables().parts} parts)"
    assert tables().nbytes > one_device().nbytes > 0


@pytest.mark.parametrize("positions", range(1, 12))
@pytest.mark.parametrize("rows", [1, 3, 255, 256, 261, 515])
def test_any_number_of_positions_and_rows(positions, rows):
    space = odd_space(positions)
    compiled = space.compile(FAST)
    codes = space.sample(rows, rows)
    got = compiled.evaluate(codes, ("time_s", "peak_memory_bytes"))
    few = slice(None, None, max(1, rows // 7))
    np.testing.assert_allclose(got["time_s"][few], looked_up(compiled, codes[few]), rtol=1e-12)
    single = [compiled.evaluate(code[np.newaxis], "peak_memory_bytes")[0] for code in codes[few]]
    np.testing.assert_array_equal(got["peak_memory_bytes"][few], single)


@pytest.mark.parametrize("metrics", ["time_s", ("time_s", "macs", "energy_j"), ALL])
def test_threads_compute_the_same(metrics):
    codes = FBNET.sample(50_000, 2)
    for compiled in (one_device(), tables()):
        alone = compiled.evaluate(codes, metrics)
        for threads in (0, 2, 3, 7):
            np.testing.assert_array_equal(compiled.evaluate(codes, metrics, threads=threads), alone)
    with pytest.raises(ModelError, match="threads is -1"):
        tables().evaluate(codes, threads=-1)


def test_one_compiled_space_serves_many_threads_at_once():
    compiled = FBNET.compile(FAST)
    several = [FBNET.sample(20_000, seed) for seed in range(8)]
    want = [one_device().evaluate(codes) for codes in several]
    with ThreadPoolExecutor(8) as pool:
        for got, expected in zip(pool.map(compiled.evaluate, several), want, strict=True):
            np.testing.assert_array_equal(got, expected)


def test_no_codes():
    for codes in (np.empty((0, 22), np.uint8), FBNET.sample(0), np.empty((0, 22), int)):
        assert one_device().evaluate(codes).shape == (0,)
        assert tables().evaluate(codes, ALL, threads=2).shape == (0,)


# Layouts


def layouts():
    codes = FBNET.sample(700, 3)
    wide = np.zeros((700, 30), np.uint8)
    wide[:, 5:27] = codes
    return codes, {
        "int64": codes.astype(np.int64),
        "int8": codes.astype(np.int8),
        "big_endian": codes.astype(">u2"),
        "fortran": np.asfortranarray(codes),
        "strided_digits": np.repeat(codes, 2, axis=1)[:, ::2],
        "part_of_columns": wide[:, 5:27],
        "read_only": np.frombuffer(codes.tobytes(), np.uint8).reshape(codes.shape),
        "list": codes.tolist(),
        "reversed_twice": codes[::-1].copy()[::-1],
        "mirrored": codes[:, ::-1].copy()[:, ::-1],
    }


@pytest.mark.parametrize("layout", layouts()[1])
def test_any_layout_of_integers(layout):
    codes, others = layouts()
    want = tables().evaluate(codes, ("time_s", "macs"))
    np.testing.assert_array_equal(tables().evaluate(others[layout], ("time_s", "macs")), want)


def test_every_other_row_and_one_row_for_all():
    codes = FBNET.sample(701, 4)
    np.testing.assert_array_equal(
        one_device().evaluate(codes[::2]), one_device().evaluate(codes)[::2]
    )
    same = np.broadcast_to(codes[0], (300, 22))
    np.testing.assert_array_equal(
        one_device().evaluate(same), np.repeat(one_device().evaluate(codes[:1]), 300)
    )


def test_results_go_where_they_are_wanted():
    codes = FBNET.sample(600, 5)
    want = one_device().evaluate(codes)
    out = np.full(600, np.nan)
    assert one_device().evaluate(codes, out=out) is out
    np.testing.assert_array_equal(out, want)
    wide = np.zeros((600, 3))
    one_device().evaluate(codes, out=wide[:, 1])
    np.testing.assert_array_equal(wide[:, 1], want)
    assert (wide[:, [0, 2]] == 0).all()
    both = np.zeros((600, 2))
    tables().evaluate(codes, "energy_j", out=both)
    table = tables().evaluate(codes, ALL)
    np.testing.assert_array_equal(both, table["energy_j"])
    again = np.zeros(600, table.dtype)
    tables().evaluate(codes, ALL, out=again, threads=2)
    np.testing.assert_array_equal(again, table)


@pytest.mark.parametrize(
    ("out", "said"),
    [
        (np.zeros(599), r"out is \[599\] of float64; it must be \[600\]"),
        (np.zeros(600, np.float32), "float32"),
        (np.zeros((600, 1)), r"out is \[600, 1\]"),
        (np.zeros(600, np.int64), "int64"),
        (np.zeros(600, ">f8"), ">f8"),
        (np.broadcast_to(0.0, 600), "writeable"),
    ],
)
def test_results_do_not_go_anywhere_else(out, said):
    with pytest.raises(ModelError, match=said):
        one_device().evaluate(FBNET.sample(600, 5), out=out)


def test_codes_in_a_file(tmp_path):
    codes = FBNET.sample(3000, 6)
    path = tmp_path / "codes.npy"
    np.save(path, codes)
    want = tables().evaluate(codes, ALL)
    for mode in ("r", "r+", "c"):
        mapped = np.load(path, mmap_mode=mode)
        np.testing.assert_array_equal(tables().evaluate(mapped, ALL), want)
        np.testing.assert_array_equal(tables().evaluate(mapped[100:2000:3], ALL), want[100:2000:3])
        if mode == "c":  # what is not in the file must not be dropped
            mapped[5] = codes[6]
            tables().evaluate(mapped)
            np.testing.assert_array_equal(mapped[5], codes[6])
    np.testing.assert_array_equal(np.load(path), codes)
    to = np.lib.format.open_memmap(tmp_path / "costs.npy", "w+", np.float64, (3000, 2))
    tables().evaluate(np.load(path, mmap_mode="r"), out=to)
    del to
    np.testing.assert_array_equal(np.load(tmp_path / "costs.npy"), want["time_s"])
    wide = tmp_path / "wide.npy"
    np.save(wide, codes.astype(np.int32))
    mapped = np.load(wide, mmap_mode="r")
    np.testing.assert_array_equal(tables().evaluate(mapped, ALL), want)


# What is refused


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("rows", [1, 256, 40_000])
def test_rows_out_of_range_are_named(rows, threads):
    codes = np.zeros((rows, 22), np.uint8)
    codes[rows // 2 :, 21] = 9
    said = rf"code {rows // 2} has 9 at position 21 \('blocks.21'\); choices run from 0 to 8"
    with pytest.raises(ModelError, match=said):
        one_device().evaluate(codes, threads=threads)
    with pytest.raises(ModelError, match="at position 21"):
        one_device().evaluate(codes.astype(np.int16))


@pytest.mark.parametrize(
    ("codes", "said"),
    [
        (np.zeros(22, np.uint8), r"shape \[22\]; it must be \[n, 22\]: a single code is \[code\]"),
        (["0-1"], r"shape \[1\]; .* a text space.decode\(text\)"),
        (np.zeros((3, 21), np.uint8), r"shape \[3, 21\]"),
        (np.zeros((3, 22)), "float64; they must be integers"),
        (np.zeros((3, 22), bool), "bool; they must be integers"),
        (np.full((2, 22), -1), "has -1 at position 0"),
        (np.full((2, 22), 256), "has 256 at position 0"),
        (np.full((2, 22), 2**40), "has 1099511627776 at position 0"),
        ([["a"] * 22], "they must be integers"),
    ],
)
def test_what_are_no_codes(codes, said):
    with pytest.raises(ModelError, match=said):
        one_device().evaluate(codes)


def test_rows_of_later_chunks_are_named():
    codes = np.zeros((300_000, 22), np.int16)
    codes[290_000, 3] = 77
    with pytest.raises(ModelError, match=r"has 77 at position 3 .*rows counted from row 262144"):
        one_device().evaluate(codes)


def test_metrics_that_are_not_there():
    codes = FBNET.sample(2, 1)
    with pytest.raises(UnsupportedError, match="metric 'speed' is not known; use one of time_s"):
        one_device().evaluate(codes, "speed")
    with pytest.raises(ModelError, match="at least one metric"):
        one_device().evaluate(codes, ())
    with pytest.raises(ModelError, match="give each metric once; got macs, macs"):
        one_device().evaluate(codes, ("macs", "macs"))
    with pytest.raises(ModelError, match="no profile 2; the space was compiled for 2"):
        tables().bounds("time_s", 2)
    for metric in ("time_lo_s", "peak_memory_bytes"):
        with pytest.raises(UnsupportedError, match="no sum over positions"):
            one_device().expected(np.full((22, 9), 1 / 9), metric)


@pytest.mark.parametrize(
    ("code", "position", "choice", "said"),
    [
        ([0] * 22, 22, 0, "no position 22; there are 22"),
        ([0] * 22, 1.0, 0, "are 1.0, 0, 'time_s' and 0; give integers, and a metric's name"),
        ([0] * 22, -1, 0, "no position -1"),
        ([0] * 22, 3, 9, r"position 3 \('blocks.3'\) has no choice 9"),
        ([0] * 22, 3, -1, "no choice -1"),
        ([0] * 21, 3, 1, "21"),
        ([9] + [0] * 21, 3, 1, "has 9 at position 0"),
        (np.array([9] + [0] * 21, np.uint8), 3, 1, "has 9 at position 0"),
        ([256] + [0] * 21, 3, 1, "has 256 at position 0"),
        (np.zeros(22), 3, 1, "must be integers"),
        (np.zeros((1, 22), int), 3, 1, r"shape \[1, 22\]"),
    ],
)
def test_changes_that_cannot_be(code, position, choice, said):
    with pytest.raises(ModelError, match=said):
        one_device().delta(code, position, choice)


def chances(**changes):
    weights = np.full((22, 9), 1 / 9)
    for place, value in changes.items():
        weights[tuple(int(i) for i in place[1:].split("_"))] = value
    return weights


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (chances(p3_4=np.nan), r"choice 'k5_e1' at position 3 \('blocks.3'\) is nan"),
        (chances(p0_8=-0.1), r"choice 'skip' at position 0 \('blocks.0'\) is -0.1"),
        (chances(p21_0=np.inf), r"choice 'k3_e1' at position 21 .* is inf"),
        (np.full((22, 8), 0.1), r"shape \[22, 8\]; it must be \[22, 9\]"),
        ([np.full(9, 0.1)] * 21, r"shape \[21, 9\]"),
        ([np.full(10, 0.1)] * 22, r"position 0 have shape \[10\]"),
    ],
)
def test_chances_that_are_none(weights, said):
    with pytest.raises(ModelError, match=said):
        one_device().expected(weights)


def test_operators_without_a_price_are_listed_together():
    lacking = device("lacking", without=("conv_grouped", "copy", "pool"))
    with pytest.raises(
        ProfileError,
        match=r"'fbnet': profile 'lacking' does not price conv_grouped in fp32, "
        r"copy in fp32, pool in fp32",
    ):
        FBNET.compile([FAST, lacking])
    with pytest.raises(ProfileError, match="in int8"):
        FBNET.compile(FAST, dtype="int8")
    with pytest.raises(ModelError, match="at least one profile"):
        FBNET.compile([])
    with pytest.raises(ModelError, match="at least one profile"):
        FBNET.compile([], mode="eager")


def test_operators_out_of_scope_cost_nothing_and_are_listed():
    partial = device("partial", without=("pool", "copy"), out_of_scope=["pool", "copy"])
    compiled = FBNET.compile([partial, FAST])
    assert compiled.unpriced == {"partial": ["copy", "pool"], "fast": []}
    assert_same(FBNET, compiled, FBNET.sample(4, 7), metrics=SUMS)


def test_no_power_no_energy():
    document = {k: v for k, v in FAST.data.items() if k != "power_w"}
    compiled = FBNET.compile(af.Profile.from_dict(document))
    assert np.isnan(compiled.evaluate(FBNET.sample(3, 1), "energy_j")).all()
    assert np.isnan(compiled.expected(np.full((22, 9), 1 / 9), "energy_j")[0])
    with pytest.raises(UnsupportedError, match="bounds of energy_j are not to be had"):
        compiled.bounds("energy_j")


def test_a_space_without_positions():
    space = SearchSpace("fixed")
    space.image(3, 8, 8)
    space.then("conv", lambda graph, x: graph.relu(graph.conv2d(x, 4, 3), "relu"))
    compiled = space.compile([FAST, SLOW])
    codes = space.sample(5, 1)
    assert (codes.shape, space.size) == ((5, 0), 1)
    assert_same(space, compiled, codes, metrics=ALL)
    least, most, cheapest, dearest = compiled.bounds()
    assert least == most == compiled.evaluate(codes)[0, 0]
    assert cheapest.shape == dearest.shape == (0,)
    mean, gradient = compiled.expected([])
    assert (mean, gradient.shape) == (least, (0, 0))
    with pytest.raises(ModelError, match="there is no position 0; there are 0"):
        compiled.delta(codes[0], 0, 0)


def test_positions_that_nothing_reads_change_nothing():
    space = SearchSpace("spare")
    space.position("unread", ["a", "b"])
    space.image(3, 8, 8)
    space.then("conv", lambda graph, x: graph.conv2d(x, 4, 3))
    compiled = space.compile(FAST)
    assert_same(space, compiled, np.array([[0], [1]], np.uint8), metrics=ALL)
    assert compiled.delta([0], 0, 1) == 0
    mean, gradient = compiled.expected([[0.5, 0.5]])
    assert mean == compiled.bounds().least
    np.testing.assert_array_equal(gradient, [[0, 0]])


@pytest.mark.parametrize("other", [None, lambda graph, x: graph.relu(x)])
def test_networks_that_launch_nothing_take_the_overhead(other):
    space = SearchSpace("empty")
    space.image(3, 8, 8)
    if other is None:
        space.add("again", lambda _graph, flow, _choice: Flow((flow.x, flow.x)))
    else:
        space.choose("a", {"same": lambda _, x: x, "other": other})
    compiled, nothing = space.compile(FAST), np.zeros((1, space.positions), np.uint8)
    assert_same(space, compiled, nothing, metrics=ALL)
    assert compiled.evaluate(nothing)[0] == FAST.data["overhead_s"] > 0
