"""Ten networks for the table of `agreement.py`: as torch modules, and as graphs of the library."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

import alphaflops as af
from alphaflops.zoo.attention import attend, thirds

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import networks
from torch_models import GPT, ViT
from zoo_modules import LanguageModel

HEADS, FEATURES, LENGTH, VOCABULARY, LAYERS = 8, 256, 128, 1000, 4  # of the small GPT


def grouped() -> nn.Module:
    """Make convolutions of 32, 8 and as many groups as channels."""
    return nn.Sequential(
        nn.Conv2d(3, 128, 3, 2, 1, bias=False),
        nn.Conv2d(128, 256, 3, 1, 1, groups=32),
        nn.Conv2d(256, 256, 5, 2, 2, groups=8),
        nn.Conv2d(256, 256, 3, 1, 1, groups=256),
    )


def grouped_graph() -> af.Graph:
    graph = af.Graph("grouped")
    x = graph.conv2d(graph.input([1, 3, 64, 64]), 128, 3, 2, 1)
    x = graph.conv2d(x, 256, 3, 1, 1, groups=32, bias=True)
    x = graph.conv2d(x, 256, 5, 2, 2, groups=8, bias=True)
    graph.conv2d(x, 256, 3, 1, 1, groups=256, bias=True)
    return graph


def transposed() -> nn.Module:
    """Make a decoder of images: four doublings of the extent."""
    sizes = (128, 64, 32, 16, 3)
    return nn.Sequential(*(nn.ConvTranspose2d(a, b, 4, 2, 1) for a, b in pairwise(sizes)))


def transposed_graph() -> af.Graph:
    graph = af.Graph("transposed")
    x = graph.input([1, 128, 8, 8])
    for channels in (64, 32, 16, 3):
        x = graph.conv(x, channels, 4, 2, 1, bias=True, transposed=True)
    return graph


def gpt_graph() -> af.Graph:
    graph = af.Graph("gpt")
    x = graph.embedding(graph.input([1, LENGTH]), VOCABULARY, FEATURES)
    x = graph.add(x, graph.constant([1, LENGTH, FEATURES], True))
    for i in range(LAYERS):
        y = graph.linear(graph.norm(x, "layer"), 3 * FEATURES, True)
        y = attend(graph, thirds(graph, y, f"{i}"), HEADS, f"{i}")
        x = graph.add(x, graph.linear(y, FEATURES, True))
        y = graph.activation(graph.linear(graph.norm(x, "layer"), 4 * FEATURES, True), "gelu")
        x = graph.add(x, graph.linear(y, FEATURES, True))
    graph.linear(graph.norm(x, "layer"), VOCABULARY)
    return graph


class Network(NamedTuple):
    """A torch module, the shape of its input (tokens where `tokens`), and the same as a graph."""

    module: Callable[[], nn.Module]
    shape: tuple[int, ...]
    graph: Callable[[], af.Graph]
    tokens: bool = False

    def input(self) -> torch.Tensor:
        if self.tokens:
            return torch.zeros(self.shape, dtype=torch.long)
        return torch.zeros(self.shape)

    def build(self) -> nn.Module:
        """Make the module in inference mode, with weights that are quick to make."""
        with torch.device("meta"):
            module = self.module().eval()
        module = module.to_empty(device="cpu")
        for tensor in [*module.parameters(), *module.buffers()]:
            tensor.data.fill_(0)
        return module


def _of_zoo(name: str) -> Network:
    return Network(networks.NETWORKS[name], (1, 3, 224, 224), lambda: af.zoo.build(name))


NETWORKS = {
    "ResNet-50": _of_zoo("resnet50"),
    "MobileNetV2": _of_zoo("mobilenet_v2"),
    "VGG-16": _of_zoo("vgg16"),
    "DenseNet-121": _of_zoo("densenet121"),
    "grouped": Network(grouped, (1, 3, 64, 64), grouped_graph),
    "transposed": Network(transposed, (1, 128, 8, 8), transposed_graph),
    "ViT-B/16 (SDPA)": Network(
        lambda: ViT("sdpa"), (1, 3, 224, 224), lambda: af.zoo.build("vit_b_16")
    ),
    "ViT-B/16 (MHA)": Network(
        lambda: ViT("module"), (1, 3, 224, 224), lambda: af.zoo.build("vit_b_16")
    ),
    "GPT (SDPA)": Network(
        lambda: GPT(VOCABULARY, LENGTH, FEATURES, HEADS, LAYERS),
        (1, LENGTH),
        gpt_graph,
        tokens=True,
    ),
    "LSTM": Network(LanguageModel, (1, 35), lambda: af.zoo.build("lstm"), tokens=True),
}
