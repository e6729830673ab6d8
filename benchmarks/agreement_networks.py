"""Ten networks for the table of `agreement.py`: as torch modules, and as graphs of the library."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

import alphaflops as af
from alphaflops.zoo.attention import attend, thirds

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import networks

HEADS, FEATURES, LENGTH, VOCABULARY, LAYERS = 8, 256, 128, 1000, 4  # of the small GPT


class Attention(nn.Module):
    """Self-attention written with SDPA, with products of matrices, or with MultiheadAttention."""

    def __init__(self, features: int, heads: int, how: str, causal: bool = False) -> None:
        super().__init__()
        self.heads, self.how, self.causal = heads, how, causal
        if how == "mha":
            self.own = nn.MultiheadAttention(features, heads, batch_first=True)
        else:
            self.qkv, self.out = nn.Linear(features, 3 * features), nn.Linear(features, features)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.how == "mha":
            return self.own(x, x, x, need_weights=False)[0]
        batch, length, features = x.shape
        heads = self.qkv(x).view(batch, length, 3, self.heads, features // self.heads)
        q, k, v = heads.permute(2, 0, 3, 1, 4)
        if self.how == "sdpa":
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        else:
            y = torch.softmax(q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5, -1) @ v
        return self.out(y.transpose(1, 2).reshape(batch, length, features))


class Layer(nn.Module):
    """A transformer's layer with the norms first."""

    def __init__(self, features: int, heads: int, how: str, causal: bool = False) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(features), nn.LayerNorm(features)
        self.attention = Attention(features, heads, how, causal)
        self.mlp = nn.Sequential(
            nn.Linear(features, 4 * features), nn.GELU(), nn.Linear(4 * features, features)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class ViT(nn.Module):
    """ViT-B/16 at 224 x 224."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 768, 16, 16)
        self.token = nn.Parameter(torch.zeros(1, 1, 768))
        self.position = nn.Parameter(torch.zeros(1, 197, 768))
        self.layers = nn.Sequential(*(Layer(768, 12, how) for _ in range(12)))
        self.norm, self.head = nn.LayerNorm(768), nn.Linear(768, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.position
        return self.head(self.norm(self.layers(x))[:, 0])


class GPT(nn.Module):
    """A decoder of four layers over 128 tokens, causal, with logits at every position."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, FEATURES)
        self.positions = nn.Parameter(torch.zeros(1, LENGTH, FEATURES))
        self.layers = nn.Sequential(
            *(Layer(FEATURES, HEADS, "sdpa", causal=True) for _ in range(LAYERS))
        )
        self.norm = nn.LayerNorm(FEATURES)
        self.head = nn.Linear(FEATURES, VOCABULARY, bias=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.layers(self.tokens(tokens) + self.positions)))


class LanguageModel(nn.Module):
    """The zoo's LSTM: two layers of 650 over 35 tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Embedding(10_000, 650)
        self.rnn = nn.LSTM(650, 650, 2, batch_first=True)
        self.decoder = nn.Linear(650, 10_000)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.rnn(self.encoder(tokens))[0])


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
        lambda: ViT("mha"), (1, 3, 224, 224), lambda: af.zoo.build("vit_b_16")
    ),
    "GPT (SDPA)": Network(GPT, (1, LENGTH), gpt_graph, tokens=True),
    "LSTM": Network(LanguageModel, (1, 35), lambda: af.zoo.build("lstm"), tokens=True),
}
