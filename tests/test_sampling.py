"""The design of shapes: covers what networks use, within limits, and is no network."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

import alphaflops as af
from alphaflops import _core
from alphaflops.errors import ModelError, ShapeError
from alphaflops.fitting.forms import rows_of
from alphaflops.frontends.traced import Traced
from alphaflops.measuring.families import MAX_MACS
from alphaflops.measuring.sampling import sample_shapes
from alphaflops.measuring.shapes import operators_of, to_table
from alphaflops.scenarios.calibrate import POINTS
from alphaflops.table import check_table, work_table

KEYS = ["op", "c_in", "h_in", "w_in", "c_out", "k_h", "stride_h", "groups"]


def rows(table: np.ndarray) -> set[tuple[object, ...]]:
    return {tuple(row[k].item() for k in KEYS) for row in table}


@pytest.mark.parametrize("seed", range(5))
def test_covers_every_kind_within_limits(seed: int) -> None:
    table = check_table(sample_shapes(300, seed=seed), need_time=False)
    work = work_table(table)
    counts = Counter(_core.KINDS[k] for k in work.kind)
    assert counts["conv_1x1"] >= 60
    assert counts["conv_spatial"] >= 60
    assert counts["conv_grouped"] >= 30
    for kind in ("linear", "elementwise", "norm", "pool", "copy", "softmax", "transcendental"):
        assert counts[kind] >= 5
    assert work.macs.max() <= MAX_MACS
    assert 1e10 < work.macs.sum() < 6e10  # five passes in a minute from 5 GMAC/s on
    assert table["h_in"].max() <= 320
    assert set(table["k_h"]) >= {1, 2, 3, 5, 7}
    convs = table[table["op"] == "conv2d"]
    assert {1, 2} <= set(convs["stride_h"])
    assert np.mean(convs["c_in"] % 8 == 0) > 0.7
    assert np.any(convs["c_in"] % 8 != 0)
    assert len(rows(table)) > 285


def test_sequences_add_what_transformers_have() -> None:
    table = check_table(sample_shapes(450, sequences=True), need_time=False)
    counts = Counter(_core.KINDS[k] for k in work_table(table).kind)
    assert min(counts["attention"], counts["matmul"], counts["norm"]) >= 15
    gates = table[table["op"] == "gate"]
    assert len(gates) >= 10
    image = gates["batch"] * gates["c_in"] * gates["h_in"] * gates["w_in"]
    read = work_table(gates).activations_read
    assert np.array_equal(read, image + gates["batch"] * gates["c_in"])
    eager = sample_shapes(50, mode="eager")
    assert np.array_equal(eager, sample_shapes(50, mode="eager", sequences=True))


def test_small_images_have_more_channels() -> None:
    table = sample_shapes(2000)
    convs = table[(table["op"] == "conv2d") & (table["c_in"] > 3)]
    small, large = convs[convs["h_in"] <= 14], convs[convs["h_in"] >= 56]
    assert np.median(small["c_in"]) > 3 * np.median(large["c_in"])


def test_same_seed_same_shapes() -> None:
    assert np.array_equal(sample_shapes(50, seed=3), sample_shapes(50, seed=3))
    assert not np.array_equal(sample_shapes(50, seed=3), sample_shapes(50, seed=4))


@pytest.mark.parametrize("n", [1, 2, 9, 10, 11, 47])
def test_any_number(n: int) -> None:
    assert len(sample_shapes(n)) == n


def test_no_network_is_in_the_design() -> None:
    design = rows(sample_shapes(300))
    for name in af.zoo.names():
        network = rows(sample_shapes_of(af.zoo.build(name)))
        assert len(network & design) <= 0.2 * len(network)


def sample_shapes_of(graph: af.Graph) -> np.ndarray:
    return to_table(sorted(set(operators_of(graph))))


def test_like_a_network_but_not_its_layers() -> None:
    graph = af.zoo.build("mobilenet_v2")
    own = sample_shapes_of(graph)
    drawn = sample_shapes(200, like=[graph])
    work_table(drawn)
    assert not rows(drawn) & rows(own)
    # The same operators: kinds, kernels, strides, and extents around the network's.
    assert set(drawn["op"]) == set(own["op"])
    assert set(zip(drawn["k_h"], drawn["stride_h"], strict=True)) == set(
        zip(own["k_h"], own["stride_h"], strict=True)
    )
    assert np.median(drawn["c_in"]) == pytest.approx(np.median(own["c_in"]), rel=0.5)
    depthwise = drawn[drawn["groups"] > 1]
    assert np.array_equal(depthwise["groups"], depthwise["c_in"])


@pytest.mark.parametrize("name", af.zoo.REFERENCE)
def test_operators_of_a_network_are_counted_as_in_it(name: str) -> None:
    graph = af.zoo.build(name)
    work = _core.lower(graph, "fused")
    counted = work_table(sample_shapes_of(graph))
    ours = set(zip(counted.kind.tolist(), counted.macs.tolist(), strict=True))
    theirs = set(zip(work.kind.tolist(), work.macs.tolist(), strict=True))
    assert ours == theirs


def test_errors() -> None:
    with pytest.raises(ShapeError, match="at least one"):
        sample_shapes(0)
    empty = af.Graph()
    empty.input((1, 3, 8, 8))
    with pytest.raises(ShapeError, match="no operator"):
        sample_shapes(5, like=[empty])


@pytest.mark.parametrize("seed", range(5))
def test_eager_designs_have_several_of_every_rarer_operator(seed: int) -> None:
    """By chance alone, one in twenty had no ELU."""
    counts = Counter(sample_shapes(POINTS["eager"], mode="eager", seed=seed)["op"].tolist())
    rarer = ["elu", "gelu_tanh", "mish", "softplus", "group_norm", "instance_norm", "rms_norm"]
    rarer += ["contiguous", "interpolate_nearest", "interpolate_bilinear"]
    assert min(counts[op] for op in rarer) >= 3
    # Enough for the richer equations: each is of a kind by itself, or nearly so.
    assert min(counts[op] for op in ("conv_transpose2d", "conv3d")) >= 32
    assert counts["lstm"] >= 16


@pytest.mark.parametrize("seed", range(5))
def test_eager_designs_have_windows_branches_and_batches_of_sequences(seed: int) -> None:
    table = sample_shapes(POINTS["eager"], mode="eager", seed=seed)
    pools = np.isin(table["op"], ["max_pool", "avg_pool"])
    assert ((table["k_h"] > 2) & (table["stride_h"] == 1) & pools).sum() >= 3
    grouped = (table["op"] == "conv2d") & (table["groups"] > 1)
    assert (grouped & (table["k_h"] == 1)).sum() >= 10
    unlike = table["c_in"] != table["c_out"]
    assert (grouped & unlike).sum() >= 6
    assert (grouped & ~unlike & (table["k_h"] > 3) & (table["groups"] < table["c_in"])).sum() >= 2
    assert ((table["stride_h"] > 2) & (table["c_in"] <= 3)).sum() >= 3, "patches of an image"
    down = (table["op"] == "conv2d") & (table["c_in"] > 3) & (table["stride_h"] > 1)
    assert (down & (table["k_h"] == table["stride_h"])).any()
    assert ((table["op"] == "matmul") & (table["groups"] > 16)).sum() >= 5
    recurrent = np.isin(table["op"], ["lstm", "gru"])
    assert (recurrent & (table["batch"] > 1)).sum() >= 3
    assert 2 <= (recurrent & (table["h_in"] == 1)).sum() <= recurrent.sum() - 6, "cells, and not"
    assert ((table["op"] == "softmax") & (table["c_in"] <= 100) & (table["batch"] > 1)).sum() >= 5


def test_operators_of_decoders_and_tokens_are_counted() -> None:
    table = sample_shapes(POINTS["eager"], mode="eager", seed=3)
    rows = rows_of(work_table(table))
    in_out = {"interpolate_nearest": 4, "interpolate_bilinear": 4, "contiguous": 1, "mish": 1}
    for op, larger in in_out.items():
        own = rows.op == op
        assert own.any(), op
        image = (table["batch"] * table["c_in"] * table["h_in"] * table["w_in"])[own]
        np.testing.assert_array_equal(rows.bytes_written[own], 4 * larger * image)
        np.testing.assert_array_equal(rows.bytes_read[own], 4 * image)
    for op, vectors in {"rms_norm": 1, "group_norm": 2, "instance_norm": 2}.items():
        own = rows.op == op
        assert own.any(), op
        weights = vectors * table["c_in"][own]  # scales, and shifts where there are some
        np.testing.assert_array_equal(rows.weight_bytes[own], 4 * weights)
        assert (rows.kind[own] == "norm").all()


def test_one_network_to_be_like():
    graph = af.zoo.build("resnet18")
    assert sample_shapes(5, like=graph).tolist() == sample_shapes(5, like=[graph]).tolist()
    traced = Traced(graph, None)
    assert sample_shapes(5, like=traced).tolist() == sample_shapes(5, like=graph).tolist()
    with pytest.raises(ModelError, match="'resnet18' is a str and no graph; give a Graph"):
        sample_shapes(5, like=["resnet18"])
