"""Reports: totals agree with rows, every format round-trips, what is not priced is said."""

import copy
import csv
import io
import json
import math
import pickle

import numpy as np
import pytest

import alphaflops as af
from alphaflops import errors


@pytest.fixture(scope="module")
def report():
    return af.estimate(af.zoo.build("resnet18"), "quadro-t2000")


def test_totals_are_the_sums_of_the_rows(report):
    layers = report.layers
    for column in ("macs", "flops", "params", "bytes_read", "bytes_written"):
        assert getattr(report, column) == int(layers[column].sum())
    assert math.isclose(report.time_s, np.nansum(layers["time_s"]), rel_tol=1e-12)
    assert math.isclose(report.alpha_flops, np.nansum(layers["alpha_flops"]), rel_tol=1e-12)
    assert math.isclose(np.nansum(layers["share"]), 1.0, rel_tol=1e-12)


def test_layer_by_hand(report):
    # 7x7 stride 2, 3 -> 64 channels at 224: S = 112^2, S_K = ln 49 + 1, published parameters.
    first = report.layers[0]
    assert first["name"] == "conv1"
    assert first["operator"] == "conv2d+batch_norm+relu"
    assert first["shape"] == "3x224x224 → 64x112x112"
    macs, s, s_k = 112 * 112 * 64 * 3 * 49, 112 * 112, math.log(49) + 1
    assert first["macs"] == macs
    assert first["bytes_read"] == 4 * (3 * 224 * 224 + 64 * 3 * 49 + 64)
    assert first["bytes_written"] == 4 * 64 * 112 * 112
    alpha = ((s_k + 0.001 * (s - s_k)) / s) ** 0.56
    assert math.isclose(first["alpha"], alpha, rel_tol=1e-12)
    assert math.isclose(first["time_s"], 0.0375e-9 * alpha * macs, rel_tol=1e-12)


def test_what_is_not_priced_is_said(report):
    assert report.unpriced == {"max_pool": 1, "add": 8, "global_avg_pool": 1}
    assert any("not priced: " in note and "8 add" in note for note in report.notes)
    with pytest.raises(errors.UnsupportedError, match=r"max_pool.*calibrate"):
        af.estimate(af.zoo.build("resnet18"), "quadro-t2000", strict=True)


def test_notes_of_a_profile_about_kinds_that_a_network_has_not_are_left_out(report):
    own = ["recurrent: 7 rows, too few", "conv_1x1: 3 rows, too few", "of the whole device"]
    data = {**report.profile.data, "assumptions": own}
    profile = af.profiles.Profile.from_dict(data)
    assert af.estimate(report.graph, profile).assumptions == own[1:]
    recurrent = af.Graph("lstm")
    recurrent.recurrent(recurrent.input([4, 1, 8]), "lstm", 16)
    assert af.estimate(recurrent, profile).assumptions[:2] == [own[0], own[2]]


def test_unknown_operator_is_listed_and_refused_under_strict():
    graph = af.Graph("custom")
    x = graph.input([1, 3, 8, 8])
    graph.unknown([x], "NonMaxSuppression", [1, 10])
    report = af.estimate(graph, "quadro-t2000")
    assert report.unpriced == {"NonMaxSuppression": 1}
    assert any("not counted" in note and "NonMaxSuppression" in note for note in report.notes)
    with pytest.raises(errors.UnsupportedError, match="NonMaxSuppression"):
        af.estimate(graph, "quadro-t2000", strict=True)


def test_interval_encloses_the_time(report):
    low, high = report.time_interval_s
    assert 0 < low < report.time_s < high
    priced = report.layers[~np.isnan(report.layers["time_s"])]
    assert np.all(priced["time_lo_s"] <= priced["time_s"])
    assert np.all(priced["time_s"] < priced["time_hi_s"])
    spatial = priced[priced["kind"] == "conv_spatial"]
    assert np.all(spatial["time_lo_s"] < spatial["time_s"])


def test_json_is_one_object_with_the_documented_keys(report):
    document = json.loads(report.to_json())
    needed = {
        "macs", "flops", "alpha_flops", "params", "bytes_read", "bytes_written", "time_s",
        "time_interval_s", "energy_j", "layers", "batch", "dtype", "device", "profile", "backend",
        "mode", "network",
    }  # fmt: skip
    assert needed <= set(document)
    assert document["energy_j"] is None
    assert len(document["layers"]) == len(report.layers)
    assert document["layers"][0]["macs"] == int(report.layers["macs"][0])


def test_csv_has_a_row_a_layer(report):
    rows = list(csv.DictReader(io.StringIO(report.to_csv())))
    assert [row["name"] for row in rows] == list(report.layers["name"])
    assert float(rows[0]["time_s"]) == report.layers["time_s"][0]
    unpriced = next(row for row in rows if row["kind"] == "pool")
    assert unpriced["time_s"] == ""


def test_markdown_and_html_hold_every_layer(report):
    markdown, html = report.to_markdown(), report.to_html()
    for name in report.layers["name"]:
        assert str(name) in markdown
        assert str(name) in html
    table = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len(table) == len(report.layers) + 2
    assert len({line.count("|") for line in table}) == 1


def test_html_escapes_names():
    graph = af.Graph("<b>")
    graph.conv2d(graph.input([1, 3, 8, 8]), 4, name="<script>")
    html = af.estimate(graph, "quadro-t2000").to_html()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_to_pandas_or_a_clear_error(report):
    try:
        import pandas as pd  # noqa: PLC0415
    except ImportError:
        with pytest.raises(errors.MissingExtraError, match="pandas"):
            report.to_pandas()
    else:
        pd.testing.assert_frame_equal(report.to_pandas(), pd.DataFrame(report.layers))


def test_eager_mode_launches_every_operator():
    graph = af.zoo.build("resnet18")
    fused = af.estimate(graph, "quadro-t2000")
    eager = af.estimate(graph, "quadro-t2000", mode="eager")
    assert len(eager.layers) > len(fused.layers)
    assert eager.macs == fused.macs
    assert eager.params == fused.params


def test_dtype_the_profile_lacks_is_named():
    graph = af.zoo.build("resnet18").with_dtype("fp16")
    with pytest.raises(errors.ProfileError, match=r"conv_spatial.*fp16"):
        af.estimate(graph, "quadro-t2000")


def test_batch_scales_macs():
    one = af.estimate(af.zoo.build("resnet18", batch=1), "quadro-t2000")
    four = af.estimate(af.zoo.build("resnet18", batch=4), "quadro-t2000")
    assert four.macs == 4 * one.macs
    assert four.params == one.params


def test_a_kind_that_another_stands_in_for_is_said():
    graph = af.Graph("products")
    rows, inner, columns = 64, 32, 48
    a, b = graph.input([2, 4, rows, inner]), graph.input([2, 4, inner, columns])
    graph.matmul(a, b)
    report = af.estimate(graph, "quadro-t2000")
    assert any("nearest kind" in note and "matmul" in note for note in report.notes)
    s, s_k = rows, 1  # linear's parameters, a product of matrices being a grouped 1 x 1 convolution
    alpha = ((s_k + 0.02 * (s - s_k)) / s) ** 0.99
    assert report.macs == 2 * 4 * rows * inner * columns
    assert math.isclose(report.time_s, 0.0375e-9 * alpha * report.macs, rel_tol=1e-12)


def test_launches_of_both_modes_are_said(report):
    # ResNet-18: 20 convolutions with a norm each, 17 ReLUs, a pool, 8 sums, a mean and a layer.
    assert report.launches == {"fused": 31, "eager": 68}
    assert len(report.layers) == 31
    assert "31 launches fused, 68 eager; priced: fused" in report.summary
    assert json.loads(report.to_json())["launches"] == report.launches


def test_a_report_in_a_line_and_as_a_table(report, monkeypatch):
    low, high = (f"{1e3 * end:.3f}" for end in report.time_interval_s)
    assert repr(report) == (
        f"Report('resnet18' on 'quadro-t2000': time {1e3 * report.time_s:.3f} ms (90% interval "
        f"{low} to {high} ms), 1,814.1 MMACs, 11,689,512 parameters)"
    )
    monkeypatch.setenv("COLUMNS", "100")
    lines = str(report).splitlines()
    assert lines[0] == report.title
    assert max(map(len, lines)) <= 100
    assert "16 more launches (report.layers)" in str(report)
    assert report.summary[0] in lines


def test_reports_are_pickled_and_copied(report):
    step = af.Training("adam", frozen=["layer1"], checkpoint=["layer2"], accumulate=2)
    training = af.estimate("resnet18", "quadro-t2000", training=step, mode="eager")
    cold = af.estimate("resnet18", "quadro-t2000", reuse_bytes=math.inf)
    for each in (report, training, cold):
        for again in (pickle.loads(pickle.dumps(each)), copy.deepcopy(each)):
            assert again.to_dict() == each.to_dict()
    assert pickle.loads(pickle.dumps(report.profile)) == report.profile


def test_totals_beyond_64_bits_are_refused():
    graph = af.zoo.build("resnet18", batch=2_500_000_000)
    assert af.estimate(graph, "quadro-t2000").macs == 2_500_000_000 * 1_814_073_344
    for batch, training in ((6_000_000_000, None), (2_500_000_000, af.Training())):
        with pytest.raises(errors.OverflowError, match=r"resnet18: 1\..*e\+19 MACs in all exceed"):
            af.estimate(graph.with_batch(batch), "quadro-t2000", training=training)
    wide = af.Graph("wide")
    wide.relu(wide.input([1 << 30, 1 << 30, 1]))  # 2^60 elements, read and written
    with pytest.raises(errors.OverflowError, match=r"wide: 9.22e\+18 bytes"):
        af.estimate(wide, "quadro-t2000")


def test_what_is_no_graph():
    class Module:
        def forward(self):
            pass

    with pytest.raises(
        errors.ModelError, match=r"a Module is no graph; give alphaflops.from_torch"
    ):
        af.estimate(Module(), "quadro-t2000")
    with pytest.raises(errors.ModelError, match="a NoneType is no graph; give a Graph"):
        af.estimate(None, "quadro-t2000")
    with pytest.raises(errors.ModelError, match=r"training is 'sgd'; give Training"):
        af.estimate("resnet18", "quadro-t2000", training="sgd")


def test_a_report_says_its_passes_and_its_memory():
    graph = af.zoo.build("resnet18", batch=4)
    training = af.Training("adam", frozen=["layer1"], accumulate=2)
    report = af.estimate(graph, "quadro-t2000", training=training)
    plain = af.estimate(graph, "quadro-t2000")
    assert plain.training is None
    assert set(plain.layers["pass"]) == {"forward"}
    assert list(plain.passes) == ["forward"]
    assert plain.passes["forward"]["macs"] == plain.macs
    assert report.passes["forward"]["macs"] == 2 * plain.macs
    assert sum(p["macs"] for p in report.passes.values()) == report.macs
    assert sum(p["launches"] for p in report.passes.values()) == len(report.layers)
    total = sum(p["time_s"] for p in report.passes.values())
    assert total == pytest.approx(report.time_s)
    assert any("input gradient and weight gradient rows" in note for note in report.notes)
    assert not any("gradient rows" in note for note in plain.notes)
    document = report.to_dict()
    assert document["training"]["frozen"] == ["layer1"]
    assert document["memory"]["total_bytes"] == report.memory.total_bytes
    assert document["memory"]["optimizer_state_bytes"] > plain.params
    assert set(report.layers["operator"][report.layers["pass"] == "optimizer"]) == {"adam"}
    assert any(line.startswith("weight gradient: ") for line in report.summary)
    assert "| pass |" in report.to_markdown()
    assert "| pass |" not in plain.to_markdown()
