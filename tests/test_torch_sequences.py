"""Networks of PyTorch's operators that embed, attend and take tensors apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import alphaflops as af
from alphaflops.errors import UnsupportedError
from alphaflops.zoo.attention import attend, thirds

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
from torch_models import GPT, ViT, on_meta  # noqa: E402
from zoo_transformers import Bert  # noqa: E402

from alphaflops.measuring.torch_network import TorchNetwork  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def take_weights(network: TorchNetwork, module: Any, *inputs: Any) -> None:
    """Copy those of a module's layers, in the order in which it calls them."""
    called: list[Any] = []
    leaves = [m for m in module.modules() if not list(m.children()) and list(m.parameters())]
    hooks = [m.register_forward_hook(lambda m, *_: called.append(m)) for m in leaves]
    module(*inputs)
    for hook in hooks:
        hook.remove()
    own = [o for o in network.operators.values() if isinstance(o, torch.nn.Module)]
    own = [o for o in own if list(o.parameters())]
    assert [type(o) for o in own] == [type(m) for m in called]
    for operator, layer in zip(own, called, strict=True):
        operator.load_state_dict(layer.state_dict())


def assert_same(network: TorchNetwork, module: Any, *inputs: Any) -> None:
    with torch.inference_mode():
        take_weights(network, module, *inputs)
        expected = module(*inputs)
        torch.testing.assert_close(network.run(), expected, rtol=1e-4, atol=1e-5)


def gpt(batch: int, length: int, features: int, heads: int) -> af.Graph:
    """Build one block of `GPT` as the zoo builds its own."""
    graph = af.Graph("gpt")
    y = graph.embedding(graph.input([batch, length]), 50, features)
    places = graph.embedding(graph.constant([1, length], name="places"), length, features)
    x = graph.element([y, places], "add")
    y = graph.linear(graph.norm(x, "layer"), 3 * features, True)
    y = attend(graph, thirds(graph, y, "qkv"), heads, "heads", causal=True)
    x = graph.add(graph.linear(y, features, True), x)
    y = graph.linear(graph.norm(x, "layer"), 4 * features, True)
    x = graph.add(graph.linear(graph.element([y], "gelu_tanh"), features, True), x)
    graph.linear(graph.norm(x, "layer"), 50)
    return graph


@pytest.mark.parametrize("traces", [False, True])
def test_heads_and_thirds_are_those_of_a_module(traces: bool) -> None:
    def make() -> GPT:
        return GPT(50, 16, 24, 3, 1)

    meta = torch.zeros(2, 16, dtype=torch.long, device="meta")
    graph = af.from_torch(on_meta(make), (meta,), causal=True) if traces else gpt(2, 16, 24, 3)
    network = TorchNetwork(graph, "nchw")
    tokens, places = network.inputs.values()
    assert tokens.shape == (2, 16)
    places.copy_(torch.arange(16))
    assert_same(network, make().eval(), tokens)


def test_the_first_token_is_pooled() -> None:
    graph = af.zoo.build("bert_base")
    network = TorchNetwork(graph, "nchw")
    tokens, types, places = network.inputs.values()
    assert (int(types.min()), int(types.max())) == (0, 1)
    assert 2 < int(tokens.max()) < 30522
    places.copy_(torch.arange(128))
    assert_same(network, Bert().eval(), tokens, types)


def test_patches_are_pixels_and_the_class_comes_first() -> None:
    module = ViT("module", 24, 3, 1, classes=10, image=32, patch=8).eval()
    graph = af.Graph("vit")
    x = graph.conv2d(graph.input([2, 3, 32, 32]), 24, 8, 8, bias=True)
    x = graph.view(x, [2, 16, 24])
    token = graph.part(graph.constant([1, 1, 24], True), [2, 1, 24])
    x = graph.concat([token, x])
    x = graph.element([x, graph.constant([1, 17, 24], True)], "add")
    graph.linear(graph.part(graph.norm(x, "layer"), [2, 24]), 10, True)
    module.layers = torch.nn.Identity()
    for layout in ("nchw", "channels_last"):
        network = TorchNetwork(graph, layout)
        image, token, position = network.inputs.values()
        with torch.no_grad():
            module.class_token.copy_(token)
            module.position.copy_(position)
        assert_same(network, module, image)


@pytest.mark.parametrize("name", ["lstm", "t5_small", "vit_b_16"])
def test_sequence_networks_of_the_zoo_run(name: str) -> None:
    graph = af.zoo.build(name)
    with torch.inference_mode():
        out = TorchNetwork(graph, "channels_last").run()
    assert tuple(out.shape) == graph.shape(len(graph) - 1)
    assert torch.isfinite(out).all()


def test_encoders_of_the_space_run() -> None:
    space = af.spaces.transformer(33, layers=3, widths=(64, 96), heads=(1, 3), vocabulary=100)
    for code in space.sample(5, 2):
        graph = space.graph(code)
        with torch.inference_mode():
            out = TorchNetwork(graph, "nchw").run()
        assert tuple(out.shape) == graph.shape(len(graph) - 1)
        assert torch.isfinite(out).all()


def test_darts_runs() -> None:
    space = af.spaces.darts(cells=5, channels=8, side=16)
    graph = space.graph(space.sample(1, 3)[0])
    with torch.inference_mode():
        assert TorchNetwork(graph, "channels_last").run().shape == (1, 10)


@pytest.mark.parametrize(
    ("into", "parts", "expected"),
    [
        ((2, 5, 6), [(2, 5, 2)] * 3, lambda x: [x[..., :2], x[..., 2:4], x[..., 4:]]),
        ((2, 5, 6), [(2, 5, 6), (2, 3, 6)], lambda x: [x, x[:, :3]]),
        ((2, 5, 6), [(2, 6), (6,), (5,)], lambda x: [x[:, 0], x[0, 0], x[0, :, 0]]),
        ((2, 9, 6), [(2, 6)], lambda x: [x[:, 0]]),
        ((1, 1, 6), [(4, 1, 6)], lambda x: [x.expand(4, 1, 6)]),
        ((1, 1, 6), [(4, 3, 2)], lambda x: [x[..., :2].expand(4, 3, 2)]),
        ((2, 5, 6), [(5, 2, 6), (2, 6, 5)], lambda x: [x.transpose(0, 1), x.transpose(1, 2)]),
        ((2, 3, 4, 5), [(2, 4, 5, 3)], lambda x: [x.permute(0, 2, 3, 1)]),
    ],
)  # fmt: skip
def test_parts(into: tuple[int, ...], parts: list[tuple[int, ...]], expected: Any) -> None:
    graph = af.Graph()
    x = graph.input(into)
    nodes = [graph.part(x, shape) for shape in parts]
    network = TorchNetwork(graph, "nchw")
    (tensor,) = network.inputs.values()
    for node, taken in zip(nodes, expected(tensor), strict=True):
        torch.testing.assert_close(network.operators[node](tensor), taken)
        assert network.operators[node](tensor).data_ptr() == taken.data_ptr()  # nothing moves


def test_concatenations_are_along_their_axis() -> None:
    graph = af.Graph()
    x = graph.input([2, 3, 4])
    graph.concat([x, graph.part(x, [2, 3, 1])], axis=-1)
    assert TorchNetwork(graph, "nchw").run().shape == (2, 3, 5)


def test_what_a_view_shares_is_not_written_over() -> None:
    graph = af.Graph()
    image = graph.input([1, 4, 8, 8])
    first = graph.relu(graph.view(image, [1, 4, 8, 8]))
    conv = graph.conv2d(first, 4)
    graph.add(graph.relu(graph.view(graph.view(conv, [1, 4, 8, 8]), [1, 4, 8, 8])), conv)
    network = TorchNetwork(graph, "nchw")
    (image,) = network.inputs.values()
    before = image.clone()
    with torch.inference_mode():
        x = network.operators[conv](before.relu())
        torch.testing.assert_close(network.run(), x.relu() + x)
    np.testing.assert_array_equal(image, before)
    chain = af.Graph()
    x = chain.conv2d(chain.input([1, 4, 8, 8]), 4)
    in_place = chain.relu(chain.view(x, [1, 4, 8, 8]))  # nobody else sees it
    assert TorchNetwork(chain, "nchw").operators[in_place].inplace


def test_indices_that_are_computed_are_refused() -> None:
    graph = af.Graph()
    x = graph.relu(graph.input([2, 5]), "rounded")
    graph.embedding(graph.view(x, [10]), 7, 3, "words")
    with pytest.raises(UnsupportedError, match="words: indices that 'rounded' computes"):
        TorchNetwork(graph, "nchw")
