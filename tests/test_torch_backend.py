"""The torch backend: that it runs what PyTorch users run, and that campaigns work with it."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import alphaflops as af
from alphaflops import _core
from alphaflops.errors import Error, MissingExtraError, ShapeError, TableError, UnsupportedError
from alphaflops.measuring.backends import backend_of, named
from alphaflops.measuring.journal import JournalError
from alphaflops.measuring.sampling import sample_shapes
from alphaflops.measuring.validation import validate
from alphaflops.table import work_table

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from alphaflops.measuring import torch_cuda, torch_operators  # noqa: E402
from alphaflops.measuring.torch_network import TorchNetwork  # noqa: E402
from alphaflops.measuring.torch_pool import Pool  # noqa: E402

LAYOUTS = ("nchw", "channels_last")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads that wait for each other on a busy machine take seconds."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def every_operator() -> af.Graph:
    graph = af.Graph("every")
    x = graph.input((2, 6, 17, 19))
    x = graph.relu(graph.batch_norm(graph.conv2d(x, 12, 3, (2, 1), (1, 0), 2, groups=3)))
    x = graph.conv2d(x, 8, 5, 1, (0, 1, 2, 3), bias=True)
    for function in ("relu6", "silu", "hardswish", "hardsigmoid", "sigmoid", "tanh", "gelu"):
        x = graph.add(x, graph.activation(x, function))
    x = graph.max_pool(x, (3, 2), 2, (0, 1, 1, 0))
    x = graph.avg_pool(x, 2, 1, 1, count_include_pad=False)
    x = graph.avg_pool(x, 2, 1, (1, 0, 0, 0))
    gate = graph.activation(graph.conv2d(graph.global_avg_pool(x), 8, bias=True), "sigmoid")
    x = graph.concat([graph.mul(x, gate), graph.softmax(x)])
    x = graph.linear(graph.flatten(x), 10, True)
    graph.softmax(graph.view(x, (4, 5)))
    return graph


def with_weights_of(executor: _core.Executor, graph: af.Graph, layout: str) -> TorchNetwork:
    """Return a torch network that computes what a native executor computes."""
    network = TorchNetwork(graph, layout)
    with torch.no_grad():
        for node, operator in network.operators.items():
            parts = operator.modules() if isinstance(operator, torch.nn.Module) else ()
            for part in parts:
                for name, numbers in (
                    ("weight", executor.weights(node)),
                    ("bias", executor.shift(node)),
                ):
                    parameter = getattr(part, name, None)
                    if isinstance(parameter, torch.nn.Parameter):
                        parameter.copy_(torch.tensor(numbers).view(parameter.shape))
                if isinstance(part, torch.nn.BatchNorm2d):
                    part.eps = 0.0
    return network


@pytest.mark.parametrize("layout", LAYOUTS)
def test_it_computes_what_the_native_executor_does(layout: str) -> None:
    graph = every_operator()
    executor = _core.Executor(graph, "eager", seed=1)
    network = with_weights_of(executor, graph, layout)
    (image,) = network.inputs.values()
    executor.input()[:] = image.permute(0, 2, 3, 1).reshape(-1).numpy()
    executor.run()
    with torch.inference_mode():
        ours = network.run().numpy().ravel()
        again = network.run().numpy().ravel()
    np.testing.assert_allclose(ours, executor.output(), rtol=1e-3, atol=1e-6)
    np.testing.assert_array_equal(ours, again)  # nothing works in place on an input


@pytest.mark.parametrize("layout", LAYOUTS)
def test_images_stay_in_their_layout(layout: str) -> None:
    graph = af.Graph()
    x = graph.relu(graph.batch_norm(graph.conv2d(graph.input((2, 3, 9, 9)), 8, 3)))
    graph.concat([graph.max_pool(graph.add(x, x), 2), graph.avg_pool(x, 2)])
    with torch.inference_mode():
        out = TorchNetwork(graph, layout).run()
    expected = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    assert out.is_contiguous(memory_format=expected)


def launches(run: object) -> Counter[str]:
    """Count PyTorch's operators that do something to a tensor."""
    with (
        torch.inference_mode(),
        torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile,
    ):
        run()
    counted = ("convolution", "batch_norm", "relu_", "hardtanh_", "add", "cat", "linear")
    pools = ("max_pool2d", "avg_pool2d", "adaptive_avg_pool2d")
    names = {f"aten::{name}" for name in (*counted, *pools)}
    return Counter(event.name for event in profile.events() if event.name in names)


@pytest.mark.parametrize("name", ["densenet121", "mobilenet_v2", "resnet18"])
def test_it_launches_what_a_module_launches(name: str) -> None:
    networks = pytest.importorskip("networks")
    module = networks.build(name)
    image = torch.zeros(1, 3, 64, 64)
    network = TorchNetwork(af.zoo.build(name, image_size=64), "nchw")
    assert launches(network.run) == launches(lambda: module(image))


CONVOLUTIONAL = sorted(
    set(af.zoo.names(runnable=True)) | {"darknet53", "shufflenet_v2_x1_0", "unet"}
)


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_convolutional_networks_of_the_zoo_run(name: str) -> None:
    image_size = {"mlp": None, "vgg16": 224}.get(name, 64)
    graph = af.zoo.build(name, image_size=image_size)
    with torch.inference_mode():
        out = TorchNetwork(graph, "nchw").run()
    assert tuple(out.shape) == graph.shape(len(graph) - 1)
    assert torch.isfinite(out).all()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda g, x: g.part(x, [1, 4, 9, 8], "cut"), "cut: a part of shape"),
        (lambda g, x: g.part(x, [1, 4], "cut"), "cut: a part of shape"),
        (lambda g, x: g.avg_pool(x, 2, dilation=2, name="wide"), "wide: an average pool with dil"),
        (lambda g, x: g.element([x], "transpose", [1, 8, 8, 4], "turn"), "turn: a transpose of"),
        (
            lambda g, x: g.conv(x, 4, 3, 2, (1, 0, 1, 0), transposed=True, name="up"),
            "up: a transposed convolution with uneven padding",
        ),
    ],
)
def test_what_pytorch_is_not_asked_to_run(build: Callable[..., int], message: str) -> None:
    graph = af.Graph()
    build(graph, graph.input([1, 4, 8, 8]))
    with pytest.raises(UnsupportedError, match=message):
        TorchNetwork(graph, "nchw")


def small_shapes(batches: list[int], channels: int = 32) -> dict[str, object]:
    columns = {"batch": batches, "c_in": [channels], "c_out": [channels]}
    for name, value in {"h_in": 14, "w_in": 14, "k_h": 3, "k_w": 3, "pad_h": 1, "pad_w": 1}.items():
        columns[name] = [value]
    return columns


def test_a_table_of_times_says_how_it_came_about() -> None:
    threads, affinity = torch.get_num_threads(), _core.thread_affinity()
    table = af.measure(
        small_shapes([1, 8]), backend="torch", layout="channels_last", threads=1, budget_s=2.0
    )
    assert torch.get_num_threads() == threads
    assert _core.thread_affinity() == affinity
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()
    assert table["batch"].tolist() == [1, 8]
    assert 2 < table["time_s"][1] / table["time_s"][0] < 12
    assert (table["samples"] >= 3).all()
    said = {name: table[name][0].item() for name in ("backend", "layout", "threads", "on", "mode")}
    expected_on = "cuda" if torch.cuda.is_available() else "cpu"
    assert said == {
        "backend": "torch",
        "layout": "channels_last",
        "threads": 1,
        "on": expected_on,
        "mode": "eager",
    }
    assert table["torch"][0] == torch.__version__
    assert table["cudnn_benchmark"][0] == int(torch.backends.cudnn.benchmark)
    assert {table[name][0].item() for name in ("tf32_conv", "tf32_matmul")} <= {0, 1}


@pytest.mark.skipif(_core.processor_count() < 2, reason="needs two processors")
def test_two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alphaflops.measuring.readings.SETTLED", 1.0)  # five samples will do
    table = af.measure(small_shapes([4]), backend="torch", on="cpu", threads=2, budget_s=60.0)
    assert table["threads"].tolist() == [2]
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_sampled_family_is_measured(layout: str) -> None:
    design = sample_shapes(60, seed=1, mode="eager")
    small = design[(design["c_in"] * design["c_out"] < 200_000) & (design["h_in"] <= 112)]
    result = af.measure(small, backend="torch", layout=layout, on="cpu", budget_s=4)
    assert result["op"].tolist() == small["op"].tolist()
    assert (result["time_s"] > 1e-6).all()


def test_an_eager_design_has_more_of_what_eager_networks_launch() -> None:
    fused, eager = (sample_shapes(300, mode=mode)["op"].tolist() for mode in ("fused", "eager"))
    for ops in (["batch_norm"], ["relu", "relu6", "add", "mul"], ["max_pool"]):
        assert sum(map(eager.count, ops)) > sum(map(fused.count, ops))
    like = sample_shapes(200, like=[af.zoo.build("resnet18")], mode="eager")
    assert {"conv2d", "batch_norm", "relu", "add"} <= set(like["op"])
    with pytest.raises(UnsupportedError, match="'lazy'"):
        sample_shapes(5, mode="lazy")


def test_a_campaign_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alphaflops.measuring.readings.SETTLED", 1.0)
    path = tmp_path / "j.sqlite"
    options = {"backend": "torch", "on": "cpu", "budget_s": 3.0, "journal": path}
    first = af.measure(small_shapes([1, 2]), **options)
    size = path.stat().st_size
    assert np.array_equal(first, af.measure(small_shapes([1, 2]), **options, seed=3))
    assert path.stat().st_size == size
    with pytest.raises(JournalError, match="layout: nchw there, channels_last here"):
        af.measure(small_shapes([1, 2]), **options, layout="channels_last")


def test_interrupted_it_puts_back_what_it_set(tmp_path: Path) -> None:
    threads, affinity = torch.get_num_threads(), _core.thread_affinity()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="run the same again to resume"):
        af.measure(
            small_shapes([1]),
            backend="torch",
            on="cpu",
            journal=tmp_path / "j.sqlite",
            on_point=interrupt,
        )
    assert torch.get_num_threads() == threads
    assert _core.thread_affinity() == affinity
    assert not torch.is_inference_mode_enabled()


def test_refusals() -> None:
    def measure(**options: object) -> None:
        af.measure(small_shapes([1]), backend="torch", budget_s=1.0, **options)

    with pytest.raises(UnsupportedError, match=r"layout 'nhwc' is not known; use nchw or chan"):
        measure(layout="nhwc")
    with pytest.raises(ShapeError, match="threads is 0"):
        measure(threads=0)
    with pytest.raises(UnsupportedError, match="threads is 4096"):
        measure(threads=4096)
    with pytest.raises(ShapeError, match="isa is 'avx2'; the torch backend has no such option"):
        measure(isa="avx2")
    with pytest.raises(UnsupportedError, match="cache 'hot'"):
        measure(cache="hot")
    with pytest.raises(UnsupportedError, match="'tpu'"):
        measure(on="tpu")
    if not torch.cuda.is_available():
        with pytest.raises(UnsupportedError, match="finds no GPU"):
            measure(on="cuda")
    with pytest.raises(ShapeError, match="layout is 'nchw'; the native backend has no such option"):
        af.measure(small_shapes([1]), layout="nchw")
    with pytest.raises(UnsupportedError, match=r"row 1.*fp16"):
        af.measure({**small_shapes([1]), "dtype": ["fp16"]}, backend="torch", on="cpu")
    with pytest.raises(Error, match=r"row 2: conv2d: needs \d+ bytes.*1500000000"):
        af.measure(small_shapes([1, 200_000]), backend="torch", on="cpu")


def test_without_pytorch_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> object:
        raise ImportError(name)

    monkeypatch.setattr(torch_operators, "importlib", SimpleNamespace(import_module=absent))
    with pytest.raises(MissingExtraError, match=r'pip install "alphaflops\[torch\]"'):
        af.measure(small_shapes([1]), backend="torch")


def test_importing_the_package_does_not_import_pytorch() -> None:
    script = "import alphaflops as af, sys; af.measure; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_mixtures_are_not_fitted() -> None:
    design = sample_shapes(12, mode="eager")
    parts = []
    for layout in LAYOUTS:
        part = np.zeros(len(design), [*design.dtype.descr, ("time_s", float), ("layout", "U13")])
        for name in design.dtype.names:
            part[name] = design[name]
        part["time_s"], part["layout"] = 1e-3, layout
        parts.append(part)
    with pytest.raises(TableError, match="'layout' mixes 'channels_last', 'nchw'"):
        af.fit(np.concatenate(parts))


@pytest.mark.filterwarnings("ignore:the budget did not reach")
def test_a_profile_brings_its_backend_and_mode() -> None:
    design = sample_shapes(100, mode="eager")
    short = design[work_table(design).macs < 5e7]
    table = af.measure(short, backend="torch", on="cpu", budget_s=6.0)
    profile = af.fit(table, name="eager").profile
    provenance = profile.data["provenance"]
    assert {"backend": "torch", "layout": "nchw", "threads": 1}.items() <= provenance.items()
    graph = af.zoo.build("mobilenet_v2")
    assert af.estimate(graph, profile).mode == "eager"
    assert af.estimate(graph, profile, mode="fused").mode == "fused"
    backend = backend_of(profile)
    assert backend.provenance()["layout"] == "nchw"
    (row,) = validate([graph], profile, backend=backend, budget_s=0.5)
    assert row["predicted_s"] == pytest.approx(af.estimate(graph, profile).time_s)
    assert row["error"] == pytest.approx(row["predicted_s"] / row["measured_s"] - 1)
    assert abs(math.log(row["predicted_s"] / row["measured_s"])) < 1  # a missing layer would show


def test_from_the_command_line(tmp_path: Path) -> None:
    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "alphaflops", *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    how = ("--backend", "torch", "--layout", "channels_last", "--threads", "1", "--on", "cpu")
    assert run("calibrate", *how, "--budget", "6", "-o", "eager.json") == ""
    provenance = json.loads((tmp_path / "eager.json").read_text())["provenance"]
    assert (provenance["backend"], provenance["layout"]) == ("torch", "channels_last")
    (row,) = json.loads(run("validate", "resnet18", "-d", "eager.json", "--budget", "1", "--json"))[
        "networks"
    ]
    priced = json.loads(run("estimate", "resnet18", "-d", "eager.json", "-f", "json"))
    assert priced["mode"] == "eager"
    assert row["predicted_s"] == pytest.approx(priced["time_s"])


class _Event:
    """A CUDA event whose times are 3 ms apart."""

    clock_ms = 0.0

    def __init__(self, enable_timing: bool = False) -> None:
        assert enable_timing

    def record(self) -> None:
        _Event.clock_ms += 3.0
        self.at_ms = _Event.clock_ms

    def synchronize(self) -> None: ...

    def elapsed_time(self, end: _Event) -> float:
        return end.at_ms - self.at_ms


def test_the_time_between_two_events_is_shared_by_the_calls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = SimpleNamespace(cuda=SimpleNamespace(Event=_Event, synchronize=lambda: None))
    monkeypatch.setattr(torch_cuda, "import_torch", lambda: fake)
    monkeypatch.setattr(torch_cuda, "Pool", lambda on, rotation: Pool("cpu", rotation // 64))
    graph = af.Graph()
    graph.conv2d(graph.input((1, 8, 4, 4)), 8, 3)
    with torch.inference_mode():
        bench = torch_cuda.CudaSession("channels_last").bench(graph)
        assert bench.warm_up() == pytest.approx(3e-3 / 8)
        sample = bench.sample(6)
    assert sample.time_s == pytest.approx(3e-3 / 6)
    assert sample.iterations == 6


def test_named() -> None:
    with pytest.raises(UnsupportedError, match="'opencl' is not known; use native or torch"):
        named("opencl")


def test_recurrences_and_means_are_those_of_the_graph() -> None:
    graph = af.Graph()
    x = graph.input((2, 7, 12))
    x = graph.recurrent(x, "lstm", 10, layers=2, bidirectional=True)
    x = graph.recurrent(graph.recurrent(x, "gru", 6), "rnn", 5, bias=False)
    graph.reduce(x, "mean", [1], keep_axes=True)
    with torch.inference_mode():
        assert TorchNetwork(graph, "nchw").run().shape == (2, 1, 5)
    graph = af.Graph()
    graph.reduce(graph.input((2, 3, 5, 5)), "mean", [2, 3])
    network = TorchNetwork(graph, "channels_last")
    (image,) = network.inputs.values()
    torch.testing.assert_close(network.run(), image.mean((2, 3)))
    graph = af.Graph("other")
    graph.reduce(graph.input((2, 3, 5)), "mean", [1])
    with pytest.raises(UnsupportedError, match=r"a mean of \[2, 3, 5\] to \[2, 5\] is not known"):
        TorchNetwork(graph, "nchw")
