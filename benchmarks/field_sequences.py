"""Networks of text, speech, points, graphs and tables, as their authors write them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

Made = tuple[nn.Module, Any]  # and what its forward takes


class RMSNorm(nn.Module):
    """As language models write it, operator by operator."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)


def rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat([-second, first], -1) * sin


class Decoder(nn.Module):
    """A layer of a language model with rotary positions and a gated MLP."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_1, self.norm_2 = RMSNorm(width), RMSNorm(width)
        self.q, self.k, self.v, self.out = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.gate, self.up = (nn.Linear(width, hidden, bias=False) for _ in range(2))
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        y = self.norm_1(x)
        q, k, v = (
            proj(y).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for proj in (self.q, self.k, self.v)
        )
        q, k = rotated(q, cos, sin), rotated(k, cos, sin)
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).flatten(2))
        y = self.norm_2(x)
        return x + self.down(functional.silu(self.gate(y)) * self.up(y))


class LanguageModel(nn.Module):
    """Words, six decoders and a dense layer over 128 tokens."""

    def __init__(
        self, words: int = 8000, width: int = 512, heads: int = 8, layers: int = 6
    ) -> None:
        super().__init__()
        self.words = nn.Embedding(words, width)
        self.layers = nn.ModuleList(Decoder(width, heads, 1376) for _ in range(layers))
        self.norm, self.head = RMSNorm(width), nn.Linear(width, words, bias=False)
        rates = 10000.0 ** -torch.linspace(0, 1, width // heads // 2)
        angles = torch.outer(torch.arange(128.0), rates).repeat(1, 2)
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.words(tokens)
        for layer in self.layers:
            x = layer(x, self.cos, self.sin)
        return self.head(self.norm(x))


class Recurrent(nn.Module):
    """Words, a recurrence and a dense layer."""

    def __init__(self, words: int, recurrence: nn.Module, width: int, classes: int) -> None:
        super().__init__()
        self.words = nn.Embedding(words, recurrence.input_size)
        self.recurrence, self.head = recurrence, nn.Linear(width, classes)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.recurrence(self.words(tokens))[0])


class TextCNN(nn.Module):
    """Kim 2014: convolutions of three widths, and the largest of each channel."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(20000, 128)
        self.convs = nn.ModuleList(nn.Conv1d(128, 100, kernel) for kernel in (3, 4, 5))
        self.head = nn.Linear(300, 2)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.words(tokens).transpose(1, 2)
        found = [functional.relu(conv(x)).max(2).values for conv in self.convs]
        return self.head(torch.cat(found, 1))


class Separable(nn.Module):
    """Conv-TasNet's block (Luo and Mesgarani 2019)."""

    def __init__(self, width: int, hidden: int, dilation: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(width, hidden, 1), nn.PReLU(), nn.GroupNorm(1, hidden),
            nn.Conv1d(hidden, hidden, 3, 1, dilation, dilation, hidden), nn.PReLU(),
            nn.GroupNorm(1, hidden), nn.Conv1d(hidden, width, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class Separator(nn.Module):
    """Takes two speakers' voices apart."""

    def __init__(self, width: int = 256) -> None:
        super().__init__()
        self.encoder = nn.Conv1d(1, width, 16, 8, bias=False)
        blocks = [Separable(width // 2, width, 1 << i) for _ in range(2) for i in range(6)]
        self.masks = nn.Sequential(
            nn.GroupNorm(1, width), nn.Conv1d(width, width // 2, 1), *blocks,
            nn.Conv1d(width // 2, 2 * width, 1), nn.Sigmoid(), nn.Unflatten(1, (2, width)),
        )  # fmt: skip
        self.decoder = nn.ConvTranspose1d(width, 1, 16, 8, bias=False)

    def forward(self, sound: Tensor) -> Tensor:
        x = self.encoder(sound)
        return self.decoder((self.masks(x) * x[:, None]).flatten(0, 1))


class WaveNet(nn.Module):
    """Van den Oord et al. 2016: dilated, causal, gated."""

    def __init__(self, width: int = 64, layers: int = 10) -> None:
        super().__init__()
        self.first = nn.Conv1d(1, width, 1)
        self.gated = nn.ModuleList(
            nn.Conv1d(width, 2 * width, 2, dilation=1 << i) for i in range(layers)
        )
        self.along = nn.ModuleList(nn.Conv1d(width, width, 1) for _ in range(layers))
        self.out = nn.ModuleList(nn.Conv1d(width, 128, 1) for _ in range(layers))
        self.last = nn.Sequential(
            nn.ReLU(), nn.Conv1d(128, 128, 1), nn.ReLU(), nn.Conv1d(128, 256, 1)
        )

    def forward(self, sound: Tensor) -> Tensor:
        x, outs = self.first(sound), []
        for gated, along, out in zip(self.gated, self.along, self.out, strict=True):
            value, gate = gated(functional.pad(x, (gated.dilation[0], 0))).chunk(2, 1)
            y = torch.tanh(value) * torch.sigmoid(gate)
            outs.append(out(y))
            x = x + along(y)
        return self.last(sum(outs))


class Speech(nn.Module):
    """An encoder of log-mel frames: two convolutions and a transformer."""

    def __init__(self, width: int = 384, heads: int = 6, layers: int = 4) -> None:
        super().__init__()
        self.conv_1 = nn.Conv1d(80, width, 3, padding=1)
        self.conv_2 = nn.Conv1d(width, width, 3, 2, 1)
        self.layers = transformer(width, heads, layers)

    def forward(self, frames: Tensor) -> Tensor:
        x = functional.gelu(self.conv_2(functional.gelu(self.conv_1(frames))))
        return self.layers(x.transpose(1, 2))


class PointNet(nn.Module):
    """Qi et al. 2017, without its transforms."""

    def __init__(self) -> None:
        super().__init__()
        sizes = ((3, 64), (64, 128), (128, 1024))
        self.points = nn.Sequential(
            *(
                nn.Sequential(nn.Conv1d(a, b, 1), nn.BatchNorm1d(b), nn.ReLU(inplace=True))
                for a, b in sizes
            )
        )
        self.head = nn.Sequential(nn.Linear(1024, 512), nn.ReLU(), nn.Linear(512, 40))

    def forward(self, points: Tensor) -> Tensor:
        return self.head(self.points(points).max(2).values)


class GraphConvolution(nn.Module):
    """Kipf and Welling 2017, of a dense adjacency matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(500, 128), nn.Linear(128, 7)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        x = functional.relu(adjacency @ self.first(x))
        return functional.log_softmax(adjacency @ self.second(x), 1)


class Recommender(nn.Module):
    """DLRM (Naumov et al. 2019): bags of embeddings, their products in pairs, two MLPs."""

    def __init__(self, tables: int = 8, width: int = 32) -> None:
        super().__init__()
        self.tables = nn.ModuleList(
            nn.EmbeddingBag(100_000, width, mode="sum") for _ in range(tables)
        )
        self.dense = nn.Sequential(nn.Linear(13, 256), nn.ReLU(), nn.Linear(256, width), nn.ReLU())
        pairs = math.comb(tables + 1, 2)
        self.head = nn.Sequential(
            nn.Linear(pairs + width, 256), nn.ReLU(), nn.Linear(256, 1), nn.Sigmoid()
        )

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:
        dense = self.dense(numbers)
        bags = [table(categories[:, i]) for i, table in enumerate(self.tables)]
        features = torch.stack([dense, *bags], 1)
        products = torch.bmm(features, features.transpose(1, 2))
        rows, columns = torch.tril_indices(len(bags) + 1, len(bags) + 1, -1)
        return self.head(torch.cat([dense, products[:, rows, columns]], 1))


def transformer(width: int, heads: int, layers: int) -> nn.Module:
    layer = nn.TransformerEncoderLayer(width, heads, 4 * width, batch_first=True, norm_first=True)
    return nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)


def table_mlp() -> Made:
    sizes = ((200, 512), (512, 512))
    layers = [part for a, b in sizes for part in (nn.Linear(a, b), nn.BatchNorm1d(b), nn.ReLU())]
    return nn.Sequential(*layers, nn.Linear(512, 10)), torch.randn(1024, 200)


class Lines(nn.Module):
    """CRNN (Shi et al. 2017): reads a line of text, column by column."""

    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Sequential(
            nn.Conv2d(1, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(64, 128, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(128, 256, 3, padding=1), nn.BatchNorm2d(256), nn.ReLU(),
            nn.MaxPool2d((2, 1)), nn.Conv2d(256, 256, (4, 1)), nn.ReLU(),
        )  # fmt: skip
        self.columns, self.head = nn.LSTM(256, 256, bidirectional=True), nn.Linear(512, 37)

    def forward(self, line: Tensor) -> Tensor:
        columns = self.image(line).squeeze(2).permute(2, 0, 1)
        return self.head(self.columns(columns)[0])


def words(count: int, *shape: int) -> Tensor:
    return torch.randint(0, count, shape)


def lstm() -> Made:
    recurrence = nn.LSTM(512, 512, 2, batch_first=True)
    return Recurrent(10_000, recurrence, 512, 10_000), words(10_000, 1, 64)


def tagger() -> Made:
    recurrence = nn.GRU(128, 128, bidirectional=True, batch_first=True)
    return Recurrent(20_000, recurrence, 256, 20), words(20_000, 8, 50)


def recommender() -> Made:
    return Recommender(), (torch.randn(128, 13), words(100_000, 128, 8, 4))


NETWORKS: dict[str, Callable[[], Made]] = {
    "language model": lambda: (LanguageModel(), words(8000, 1, 128)),
    "transformer, 4 sequences": lambda: (transformer(256, 4, 4), torch.randn(4, 128, 256)),
    "LSTM language model": lstm,
    "GRU tagger": tagger,
    "text CNN": lambda: (TextCNN(), words(20_000, 16, 100)),
    "line reader": lambda: (Lines(), torch.randn(1, 1, 32, 128)),
    "speech encoder": lambda: (Speech(), torch.randn(1, 80, 1000)),
    "speaker separation": lambda: (Separator(), torch.randn(1, 1, 16_000)),
    "WaveNet": lambda: (WaveNet(), torch.randn(1, 1, 4000)),
    "PointNet": lambda: (PointNet(), torch.randn(8, 3, 1024)),
    "graph convolution": lambda: (
        GraphConvolution(),
        (torch.randn(1024, 500), torch.rand(1024, 1024)),
    ),
    "recommender": recommender,
    "table MLP": table_mlp,
}
