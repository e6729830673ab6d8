"""Timing of training in PyTorch: that what is timed is one pass of one operator, and all of it."""

from __future__ import annotations

import numpy as np
import pytest
from measurements import with_column

import alphaflops as af
from alphaflops import _core
from alphaflops.measuring.backends import named
from alphaflops.measuring.shapes import Shape, passes_of, to_table
from alphaflops.scenarios import calibrate as calibrate_module
from alphaflops.table import check_table, work_table

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from alphaflops.measuring import torch_stages  # noqa: E402
from alphaflops.measuring.torch_pool import Launch, Pool  # noqa: E402

LAYOUTS = ("nchw", "channels_last")
SHAPES = [
    Shape("conv2d", 6, 9, 8, 3, 2, 1, batch=2),
    Shape("conv2d", 6, 9, 6, 3, 1, 1, groups=6),
    Shape("linear", 12, 1, 20, batch=5),
    Shape("batch_norm", 4, 6, 4, batch=2),
    Shape("layer_norm", 24, 1, 24, batch=7),
    Shape("attention", 16, 10, 16, groups=2),
    Shape("matmul", 5, 6, 7, groups=3),
    Shape("relu", 4, 6, 4),
    Shape("silu", 4, 6, 4),
    Shape("gelu", 4, 6, 4),
    Shape("mul", 4, 6, 4),
    Shape("max_pool", 4, 6, 4, 2, 2),
    Shape("global_avg_pool", 4, 6, 4),
    Shape("softmax", 30, 1, 30),
]

pytestmark = pytest.mark.usefixtures("one_torch_thread")


class Recorder:
    """A stopwatch that writes down when it is started and read."""

    def __init__(self, seen: list[str]) -> None:
        self.seen = seen
        seen.append("start")

    def read_s(self) -> float:
        self.seen.append("read")
        return float(len(self.seen))


def graph_of(shape: Shape) -> af.Graph:
    table = to_table([shape])
    columns = {n: np.ascontiguousarray(table[n]) for n in table.dtype.names}
    ops, dtypes = columns.pop("op").tolist(), columns.pop("dtype").tolist()
    del columns["pass"]
    return _core.graphs_from_specs(ops, dtypes, columns)[0]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: f"{s.op}-{s.groups}")
def test_the_gradients_are_those_that_the_row_stands_for(shape: Shape, layout: str) -> None:
    graph = graph_of(shape)
    seen: list[str] = []
    for pass_ in passes_of(shape)[1:]:
        seen.clear()
        launch = Launch(graph, layout, Pool("cpu", 1 << 20))
        stage = torch_stages.backward(launch, graph, pass_, lambda: seen.append("between"))
        time_s, gradients = stage.call(0, lambda: Recorder(seen))
        parameters = [tuple(p.shape) for p in launch.trainable]
        operands = [tuple(s) for s in launch.shapes]
        if shape.op in ("batch_norm", "layer_norm"):
            expected = [operands[0], *parameters]
        elif pass_ == "weight_gradient":
            expected = parameters
        else:
            expected = operands if shape.op == "attention" else operands[:1]
        assert [tuple(g.shape) for g in gradients] == expected
        assert all(torch.isfinite(g).all() for g in gradients)
        # What runs between is not timed; autograd is, until the last gradient is there.
        assert seen == ["between", "start", *["read"] * len(expected)]
        assert time_s == len(seen)


def test_a_gradient_is_the_derivative() -> None:
    shape = Shape("conv2d", 3, 5, 4, 3, 1, 1)
    graph = graph_of(shape)
    launch = Launch(graph, "nchw", Pool("cpu", 1 << 20))
    stage = torch_stages.backward(launch, graph, "input_gradient", lambda: None)
    _, (found,) = stage.call(0, lambda: Recorder([]))
    x = launch.inputs()[0].clone().requires_grad_()
    output = launch.operator(x)
    output.backward(launch.like_output(tuple(output.shape)))
    torch.testing.assert_close(found, x.grad)
    assert not any(p.requires_grad for p in launch.trainable)  # or their gradient is timed too


def test_shares_of_a_joint_launch_add_up() -> None:
    graph = graph_of(Shape("batch_norm", 4, 6, 4))
    pool = Pool("cpu", 1 << 20)
    shares = [
        torch_stages.backward(Launch(graph, "nchw", pool), graph, pass_, lambda: None).share
        for pass_ in ("input_gradient", "weight_gradient")
    ]
    assert sum(shares) == pytest.approx(1)
    work = af.lower(trained(graph), "eager", af.Training("none"))
    flops = [work.flops[(work.passes == p) & (work.node == 2)][0] for p in (1, 2)]
    assert shares == pytest.approx(np.array(flops) / sum(flops))


def trained(graph: af.Graph) -> af.Graph:
    made = af.Graph()
    shape = graph.shape(0)
    made.batch_norm(made.custom([made.input(shape)], "before", shape, params=1))
    return made


def test_forward_calls_of_training_record_a_graph_and_use_statistics() -> None:
    graph = graph_of(Shape("batch_norm", 4, 6, 4, batch=2))
    launch = Launch(graph, "nchw", Pool("cpu", 1 << 20))
    stage = torch_stages.forward(launch, lambda: None, training=True)
    _, output = stage.call(0, lambda: Recorder([]))
    assert output.grad_fn is not None
    assert launch.operator.training


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam", "adamw"])
def test_an_optimizer_steps_and_leaves_the_pool_as_it_is(name: str) -> None:
    pool = Pool("cpu", 1 << 20)
    before = pool.weights(1000).clone()
    graph = graph_of(Shape(name, 4, 1, 20, pass_="optimizer", bias=True))
    stage = torch_stages.optimizer(graph, pool, lambda: None)
    with (
        torch.no_grad(),
        torch.profiler.profile(
            activities=[torch.profiler.ProfilerActivity.CPU], acc_events=True
        ) as profile,
    ):
        stage.call(1, lambda: Recorder([]))
    torch.testing.assert_close(pool.weights(1000), before, rtol=0, atol=1e-12)
    assert stage.share == 1 / 8
    updates = {"aten::add_", "aten::addcdiv_"}
    assert (
        sum(event.name in updates for event in profile.events()) >= 16
    )  # two tensors, eight times


@pytest.mark.usefixtures("five_samples")
def test_a_campaign_of_training() -> None:
    rows = [s._replace(pass_=p) for s in (*SHAPES[:4], SHAPES[7]) for p in passes_of(s)]
    rows.append(Shape("adam", 30, 1, 40, pass_="optimizer"))
    had_gradients = torch.is_grad_enabled()
    table = af.measure(to_table(rows, training=True), backend="torch", budget_s=60)
    assert torch.is_grad_enabled() == had_gradients
    assert table["pass"].tolist() == [row.pass_ for row in rows]
    assert (table["training"] == 1).all()
    assert (table["time_s"] > 1e-7).all()
    profile = af.fit(table).profile
    assert profile.data["provenance"]["training"] == 1
    assert {m["pass"] for m in profile.data["models"]} == set(_core.PASSES)


def test_a_session_of_inference_has_no_gradients() -> None:
    with named("torch").session():
        assert torch.is_inference_mode_enabled()
    with named("torch").session(training=True):
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()


def test_a_calibration_of_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(shapes: af.table.Table, **_: object) -> af.table.Table:
        table = check_table(shapes, need_time=False)
        work = work_table(table)
        moved = work.activations_read + work.weights_read + work.elements_written
        return with_column(table, "time_s", 1e-5 + 2e-11 * work.macs + 1e-10 * moved)

    monkeypatch.setattr(calibrate_module, "TRAINING_POINTS", 30)
    monkeypatch.setattr(calibrate_module, "measure", measured)
    made = calibrate_module.calibrate(
        name="mine", backend="torch", training=True, optimizer="adam", form="macs"
    )
    provenance = made.profile.data["provenance"]
    assert (provenance["training"], provenance["optimizer"]) == (1, "adam")
    assert {m["pass"] for m in made.profile.data["models"]} == set(_core.PASSES)
    graph = af.zoo.build("resnet18")
    report = af.estimate(graph, made.profile, mode="eager", training=af.Training("adam"))
    assert all(report.passes[name]["time_s"] > 0 for name in _core.PASSES)
