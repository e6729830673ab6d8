"""Calls that launch nothing: counted by the tracer, timed by the torch backend, priced by count."""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pytest

import alphaflops as af
from alphaflops import _core
from alphaflops.adapting.networks import networks_of
from alphaflops.errors import ModelError, ShapeError, TableError, UnsupportedError
from alphaflops.fitting.steps import step_work
from alphaflops.graph_file import graph_from_json, graph_to_json
from alphaflops.measuring.shapes import Shape, graphs_of, to_table
from alphaflops.table import work_table

CALL_S = 4e-6
KIND = _core.KINDS.index("call")


def relu_graph(calls):
    graph = af.Graph("small")
    graph.relu(graph.input((2, 8, 4, 4)))
    graph.set_calls(calls)
    return graph


def profile(*, calls=True):
    models = [
        {
            "kind": "elementwise", "pass": "forward", "dtype": "fp32", "form": "traffic",
            "parameters": {"seconds_per_byte_read": 1e-9, "seconds_per_byte_written": 1e-9},
            "interval": {"lower_factor": 0.9, "upper_factor": 1.2},
        }
    ]  # fmt: skip
    of_calls = {
        "kind": "call", "pass": "forward", "dtype": "fp32", "form": "traffic", "per_step": True,
        "parameters": {
            "seconds_per_byte_read": 0.0, "seconds_per_byte_written": 0.0, "floor_s": CALL_S,
        },
        "interval": {"lower_factor": 0.5, "upper_factor": 2.0},
    }  # fmt: skip
    data = {
        "format": "alphaflops-profile", "version": 1, "name": "eager", "interval_level": 0.9,
        "provenance": {"backend": "torch", "mode": "eager"}, "models": models + [of_calls] * calls,
    }  # fmt: skip
    return af.Profile.from_dict(data)


def test_a_row_of_calls_costs_one_price_each_and_is_in_the_total():
    report = af.estimate(relu_graph(25), profile())
    without = af.estimate(relu_graph(0), profile())
    assert report.time_s == pytest.approx(without.time_s + 25 * CALL_S)
    row = report.layers[-1]
    assert (row["kind"], row["operator"], row["macs"], row["bytes_read"]) == ("call", "call", 0, 0)
    assert row["time_s"] == pytest.approx(25 * CALL_S)
    assert (row["time_lo_s"], row["time_hi_s"]) == pytest.approx((50e-6, 200e-6))
    assert report.layers["time_s"].sum() == pytest.approx(report.time_s)
    assert (report.macs, report.flops, report.params) == (0, without.flops, 0)
    assert report.launches == without.launches
    assert report.passes["forward"]["launches"] == 1
    for text in (report.to_csv(), report.to_markdown(), str(report)):
        assert "(containers and views)" in text


def test_only_eager_mode_has_them():
    graph = relu_graph(25)
    for mode in ("fused", "fused_relu"):
        assert KIND not in _core.lower(graph, mode).kind
    eager = _core.lower(graph, "eager")
    assert (eager.kind[-1], eager.node[-1], eager.steps[-1]) == (KIND, -1, 25)
    assert KIND not in _core.lower(relu_graph(0), "eager").kind
    step = _core.lower(graph, "eager", af.Training("sgd", accumulate=3))
    assert step.steps[step.kind == KIND].tolist() == [75]


def test_a_profile_without_them_says_so_and_prices_the_rest():
    report = af.estimate(relu_graph(25), profile(calls=False), strict=True)
    assert report.time_s == af.estimate(relu_graph(0), profile(calls=False)).time_s
    assert report.unpriced == {}
    assert "25 calls of containers and views are not priced, as none were timed" in report.notes
    assert np.isnan(report.layers[-1]["time_s"])


def test_they_are_kept_wherever_a_graph_goes():
    graph = relu_graph(25)
    others = [
        graph.with_batch(4), graph.with_dtype("fp16"), copy.deepcopy(graph),
        pickle.loads(pickle.dumps(graph)), graph_from_json(graph_to_json(graph)),
    ]  # fmt: skip
    assert [other.calls for other in others] == [25] * 5
    assert "calls" not in graph_to_json(relu_graph(0))
    with pytest.raises(ShapeError, match="small: calls is -1"):
        graph.set_calls(-1)
    document = json.loads(json.dumps(graph_to_json(graph)))
    with pytest.raises(ModelError, match="'calls' is 'many'"):
        graph_from_json({**document, "calls": "many"})


def test_a_table_of_calls_is_fitted_by_the_call():
    rng = np.random.default_rng(0)
    shapes = to_table([Shape("call", 1, 5 * (1 + i % 4), 1) for i in range(12)])
    assert [graph.calls for graph in graphs_of(shapes[:2])] == [5, 10]
    work, steps = step_work(shapes, per_step=False)
    assert set(work.steps.tolist()) == {1}
    assert steps.tolist() == shapes["w_in"].tolist()
    fit = af.fit(timed(shapes, steps, rng), name="calls")
    (model,) = fit.profile.data["models"]
    assert model["per_step"]
    assert model["parameters"]["floor_s"] == pytest.approx(CALL_S, rel=0.05)
    assert _core.predict(_core.lower(relu_graph(40), "eager").take(np.array([1])), fit.profile.core
                         ).time_s[0] == pytest.approx(40 * CALL_S, rel=0.05)  # fmt: skip
    assert fit.errors.mape < 0.1


def timed(shapes, steps, rng):
    table = np.empty(len(shapes), [*shapes.dtype.descr, ("time_s", float)])
    for name in shapes.dtype.names:
        table[name] = shapes[name]
    table["time_s"] = steps * CALL_S * np.exp(rng.normal(0, 0.05, len(shapes)))
    return table


def test_calls_have_no_element_type_and_one_pass():
    assert af.estimate(relu_graph(25), profile()).time_s > 0
    data = profile().data
    half = {**data["models"][0], "dtype": "fp16"}
    both = af.Profile.from_dict({**data, "models": [*data["models"], half]})
    layers = af.estimate(relu_graph(25).with_dtype("fp16"), both).layers
    assert layers["time_s"][-1] == pytest.approx(25 * CALL_S)
    backward = to_table([Shape("call", 1, 5, 1, pass_="weight_gradient")], training=True)
    with pytest.raises(TableError, match="row 1: op 'call' is of the pass forward only"):
        work_table(backward)


def test_what_runs_operators_leaves_them_out():
    graph = relu_graph(25)
    executor = _core.Executor(graph, "eager")
    executor.input()[...] = 1.0
    assert len(executor.run_timed()) == 1
    assert (executor.output() == 1.0).all()
    with pytest.raises(UnsupportedError, match="row 1: call: it launches nothing; the torch"):
        af.measure(to_table([Shape("call", 1, 5, 1), Shape("relu", 8, 8, 8)]), budget_s=0.5)
    empty = af.Graph("empty")
    empty.input((1, 4))
    empty.set_calls(3)
    with pytest.raises(ModelError, match="empty launches nothing"):
        networks_of([empty], "eager")
