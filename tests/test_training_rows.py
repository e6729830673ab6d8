"""Rows of training in measurement tables: what they count, how they are fitted and priced."""

from __future__ import annotations

import math

import numpy as np
import pytest
from measurements import with_column

import alphaflops as af
from alphaflops import _core
from alphaflops.calls import launches
from alphaflops.errors import TableError, UnsupportedError
from alphaflops.fitting import fit
from alphaflops.measuring.campaign import measure
from alphaflops.measuring.sampling import sample_shapes
from alphaflops.measuring.shapes import Shape, passes_of, to_table
from alphaflops.scenarios.calibrate import calibrate
from alphaflops.table import check_table, read_table, work_table, write_table

COLUMNS = ("macs", "flops", "activations_read", "weights_read", "elements_written")


def counts(shape: Shape, pass_: str) -> list[int]:
    work = work_table(to_table([shape._replace(pass_=pass_)], training=True))
    assert _core.PASSES[work.passes[0]] == pass_
    return [int(getattr(work, column)[0]) for column in COLUMNS]


def test_a_gradient_counts_what_it_does_in_a_network() -> None:
    shapes = [
        Shape("conv2d", 6, 9, 8, 3, 2, 1, groups=2, batch=3),
        Shape("conv2d", 6, 9, 6, 3, 1, 1, groups=6),
        Shape("linear", 12, 1, 20, batch=5),
        Shape("batch_norm", 4, 6, 4, batch=2),
        Shape("max_pool", 4, 6, 4, 2, 2),
    ]
    for shape in shapes:
        graph = af.Graph()
        images = shape.op != "linear"
        x = graph.input((shape.batch, shape.c_in, *([shape.size] * 2 * images)))
        x = graph.relu(graph.linear(x, x_width(graph, x)))
        if shape.op == "conv2d":
            graph.conv2d(x, shape.c_out, shape.kernel, shape.stride, shape.pad, groups=shape.groups)
        elif shape.op == "linear":
            graph.linear(x, shape.c_out)
        elif shape.op == "batch_norm":
            graph.batch_norm(x)
        else:
            graph.max_pool(x, shape.kernel, shape.stride)
        step = af.lower(graph, "eager", af.Training("sgd"))
        for pass_ in passes_of(shape):
            row = np.flatnonzero(
                (step.node == len(graph) - 1) & (step.passes == _core.PASSES.index(pass_))
            )[0]
            expected = [int(getattr(step, column)[row]) for column in COLUMNS]
            assert counts(shape, pass_) == expected, (shape, pass_)


def x_width(graph: af.Graph, x: int) -> int:
    return graph.shape(x)[-1]


@pytest.mark.parametrize(("name", "flops", "states"), [("sgd", 2, 0), ("adam", 13, 2)])
def test_an_optimizer_updates_so_many_parameters(name: str, flops: int, states: int) -> None:
    p = 30 * 40
    found = counts(Shape(name, 30, 1, 40), "optimizer")
    assert found == [0, flops * p, (1 + states) * p, p, (1 + states) * p]


def test_forward_rows_of_training_compute_statistics() -> None:
    plain = to_table([Shape("batch_norm", 4, 6, 4)])
    assert work_table(plain).flops[0] == 2 * 144
    assert counts(Shape("batch_norm", 4, 6, 4), "forward")[1] == 7 * 144


def test_what_launches_nothing_is_named(tmp_path) -> None:
    table = to_table([Shape("relu", 8, 4, 8), Shape("add", 8, 4, 8, pass_="input_gradient")])
    with pytest.raises(TableError, match=r"row 2: op 'add' launches nothing in .* input_gradient"):
        check_table(table, need_time=False)
    with pytest.raises(TableError, match="row 1: op 'sgd' is not of the pass forward"):
        check_table(to_table([Shape("sgd", 8, 1, 8)]), need_time=False)
    with pytest.raises(TableError, match="'conv2d' is not of the pass optimizer"):
        check_table(to_table([Shape("conv2d", 8, 4, 8, pass_="optimizer")]), need_time=False)
    fine = to_table([Shape("relu", 8, 4, 8, pass_="input_gradient")])
    write_table(fine, tmp_path / "rows.csv")
    again = read_table(tmp_path / "rows.csv")
    assert (again["pass"][0], again["training"][0]) == ("input_gradient", 1)


@pytest.mark.parametrize("seed", range(3))
def test_a_design_has_every_pass_of_an_operator(seed: int) -> None:
    table = check_table(sample_shapes(400, seed=seed, mode="eager", training=True), need_time=False)
    work = work_table(table)
    kinds, passes = np.array(_core.KINDS)[work.kind], np.array(_core.PASSES)[work.passes]
    assert (table["training"] == 1).all()
    assert (passes == "forward").sum() == 400
    assert (passes == "optimizer").sum() == 40
    for kind in ("conv_1x1", "conv_spatial", "conv_grouped", "linear"):
        rows = [((kinds == kind) & (passes == p)).sum() for p in _core.PASSES[:3]]
        assert rows[0] == rows[1] == rows[2] >= 30
    for kind in ("norm", "elementwise", "pool", "attention", "matmul", "transcendental"):
        assert ((kinds == kind) & (passes == "input_gradient")).sum() >= 8, kind
    assert work.macs.sum() < 2.5e11  # of all passes: a few seconds a round
    assert len(np.unique(table["batch"][table["op"] == "conv2d"])) == 5


def test_recurrences_are_timed_forwards() -> None:
    shapes = [Shape("lstm", 64, 32, 128), Shape("gru", 24, 9, 24, batch=2), Shape("mean", 8, 6, 8)]
    work = work_table(to_table(shapes))
    assert [_core.KINDS[kind] for kind in work.kind] == ["lstm", "recurrent", "reduce"]
    assert work.macs.tolist() == [shape.macs for shape in shapes]
    assert [passes_of(shape) for shape in shapes[:2]] == [["forward"]] * 2


def test_training_is_eager_and_not_native() -> None:
    with pytest.raises(UnsupportedError, match="drawn in eager mode"):
        sample_shapes(10, training=True)
    with pytest.raises(UnsupportedError, match="'lion' is not known; use one of sgd"):
        sample_shapes(10, mode="eager", training=True, optimizer="lion")
    with pytest.raises(UnsupportedError, match="native backend does not train"):
        calibrate(name="mine", training=True)
    row = Shape("relu", 8, 4, 8)
    with pytest.raises(UnsupportedError, match="do not train; use the torch backend"):
        measure(to_table([row], training=True), budget_s=1)
    mixed = np.concatenate([to_table([row]), to_table([row], training=True)])
    with pytest.raises(TableError, match="mixes rows of inference and of training"):
        measure(mixed, budget_s=1)


def timed_passes(n: int) -> af.table.Table:
    """Return a table in which every pass has a rate of its own, in s/MAC and s/byte."""
    table = check_table(sample_shapes(n, mode="eager", training=True), need_time=False)
    work = work_table(table)
    factor = np.array([1.0, 2.0, 3.0, 0.5])[work.passes]
    moved = work.activations_read + work.weights_read + work.elements_written
    time_s = factor * np.where(work.macs > 0, 2e-11 * work.macs, 4e-10 * moved)
    time_s[~launches(work)] = 3e-6 * work.steps[~launches(work)]
    return with_column(table, "time_s", time_s)


def test_every_pass_has_models_of_its_own() -> None:
    table = timed_passes(80)
    fitted = fit(table, form="macs")
    assert list(fitted.passes) == list(_core.PASSES[1:])
    data = fitted.profile.data
    own = {(m["kind"], m["pass"]) for m in data["models"]}
    assert {("norm", "weight_gradient"), ("elementwise", "optimizer")} <= own
    assert data["errors"]["conv_1x1.weight_gradient"]["n"] > 5
    assert data["provenance"]["training"] == 1
    assert set(data["provenance"]["passes"]) == set(_core.PASSES[1:])
    assert "weight gradient: macs" in str(fitted)

    graph = af.Graph()
    x = graph.input((2, 16, 20, 20))
    x = graph.conv2d(graph.conv2d(x, 32, name="first"), 24, name="second")
    graph.relu(x)
    report = af.estimate(graph, fitted.profile, mode="eager", training=af.Training("sgd"))
    layers = report.layers
    macs = 2 * 400 * 32 * 24
    rows = {str(r["pass"]): float(r["time_s"]) for r in layers if r["name"] == "second"}
    for pass_, factor in (("forward", 1), ("input_gradient", 2), ("weight_gradient", 3)):
        assert rows[pass_] == pytest.approx(factor * 2e-11 * macs, rel=0.01)
    update_s = 0.5 * 4e-10 * 3 * (32 * 24)
    assert rows["optimizer"] == pytest.approx(update_s, rel=0.3)  # with a fitted floor
    assert not any("not timed" in note for note in report.notes)
    inference = af.estimate(graph, fitted.profile, mode="eager")
    assert any("timed in training" in note for note in inference.notes)


def test_a_report_names_the_kinds_of_a_pass_that_were_not_timed() -> None:
    profile = fit(timed_passes(30), form="macs").profile
    graph = af.Graph()
    x = graph.conv2d(graph.input((1, 8, 12, 12)), 8, 3)
    graph.element([x], "gather", [1, 8, 5, 5])
    report = af.estimate(graph, profile, mode="eager", training=af.Training("none"))
    said = [note for note in report.notes if "the profile was not timed" in note]
    assert len(said) == 1
    assert "input gradient rows of copy" in said[0]
    assert math.isfinite(report.time_s)
