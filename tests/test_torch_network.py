"""Networks of PyTorch's operators: that they run what PyTorch users run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

import alphaflops as af
from alphaflops import _core
from alphaflops.errors import UnsupportedError

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from alphaflops.measuring.torch_network import TorchNetwork  # noqa: E402

LAYOUTS = ("nchw", "channels_last")

pytestmark = pytest.mark.usefixtures("one_torch_thread")


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
                    part.eps = 1e-12  # PyTorch 2.11 refuses none
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


@pytest.mark.parametrize("name", ["fbnet", "nasbench201", "ofa", "proxyless"])
def test_networks_of_spaces_compute_what_native_ones_do(name: str) -> None:
    space = af.spaces.SPACES[name]()
    for code in space.sample(2, 3):  # the first of nasbench201 has a node of zeros
        graph = space.graph(code)
        executor = _core.Executor(graph, "fused_relu", seed=1)
        network = with_weights_of(executor, graph, "channels_last")
        (image,) = network.inputs.values()
        executor.input()[:] = image.permute(0, 2, 3, 1).reshape(-1).numpy()
        executor.run()
        with torch.inference_mode():
            ours = network.run().numpy().ravel()
        assert np.linalg.norm(ours - executor.output()) < 1e-3 * np.linalg.norm(ours)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_images_stay_in_their_layout(layout: str, batch: int) -> None:
    graph = af.Graph()
    x = graph.relu(graph.batch_norm(graph.conv2d(graph.input((batch, 3, 18, 18)), 8, 3)))
    x = graph.view(graph.avg_pool(graph.view(x, (batch, 8, 16, 16)), 2), (batch, 8, 8, 8))
    graph.concat([graph.max_pool(graph.add(x, x), 2), graph.avg_pool(x, 2)])
    with torch.inference_mode():
        out = TorchNetwork(graph, layout).run()
    expected = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    assert out.shape == (batch, 16, 4, 4)
    assert out.is_contiguous(memory_format=expected)


def launches(run: object) -> Counter[str]:
    """Count PyTorch's operators that do something to a tensor."""
    with (
        torch.inference_mode(),
        torch.profiler.profile(
            activities=[torch.profiler.ProfilerActivity.CPU], acc_events=True
        ) as profile,
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
        (lambda g, x: g.part(x, [1, 4, 4, 4, 1], "cut"), "cut: a part of shape"),
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


@pytest.mark.parametrize("given", [False, True], ids=["no states", "states"])
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_one_step_is_a_cell(cell: str, given: bool) -> None:
    graph = af.Graph()
    x = graph.input((3, 1, 12))
    before = [graph.input((1, 3, 10)) for _ in range(1 + (cell == "lstm")) if given]
    graph.recurrent(x, cell, 10, states=before)
    network = TorchNetwork(graph, "nchw")
    tokens, *states = network.inputs.values()
    (made,) = network.operators.values()
    assert type(made).__name__.lower() == f"{cell}cell"
    weights = {f"{name}_l0": value for name, value in made.named_parameters()}
    layer = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[cell]
    several = layer(12, 10, batch_first=True)
    several.load_state_dict(weights)
    arguments = [tuple(states)] if len(states) > 1 else states
    with torch.inference_mode():
        torch.testing.assert_close(network.run(), several(tokens, *arguments)[0])


def test_recurrences_and_means_are_those_of_the_graph() -> None:
    graph = af.Graph()
    x = graph.input((2, 7, 12))
    x = graph.recurrent(x, "lstm", 10, layers=2, bidirectional=True)
    lstm = [graph.input((2, 2, 6)) for _ in "hc"]
    x = graph.recurrent(x, "lstm", 6, 2, states=lstm)
    x = graph.recurrent(x, "gru", 6, states=[graph.input((2, 6))])
    x = graph.recurrent(x, "rnn", 5, bias=False)
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
