"""The zoo's networks that no test has otherwise, as torch modules with the zoo's layer names.

Written from the papers; sizes are the zoo's unless others are given.
"""

from __future__ import annotations

import torch
from torch import nn


def double_conv(c_in, c_out):
    layers = nn.Sequential()
    for i in (0, 3):
        layers.add_module(f"{i}", nn.Conv2d(c_in, c_out, 3, padding=1, bias=False))
        layers.add_module(f"{i + 1}", nn.BatchNorm2d(c_out))
        layers.add_module(f"{i + 2}", nn.ReLU(inplace=True))
        c_in = c_out
    return nn.ModuleDict({"double_conv": layers})


class UNet(nn.Module):
    """Down by pools, up by transposed convolutions, and skips in between."""

    CHANNELS = (64, 128, 256, 512, 1024)

    def __init__(self):
        super().__init__()
        self.inc = double_conv(3, self.CHANNELS[0])
        self.halvings = len(self.CHANNELS) - 1
        for i, (c_in, c_out) in enumerate(zip(self.CHANNELS, self.CHANNELS[1:], strict=False), 1):
            block = nn.ModuleList([nn.MaxPool2d(2), double_conv(c_in, c_out)])
            setattr(self, f"down{i}", nn.ModuleDict({"maxpool_conv": block}))
            up = {"up": nn.ConvTranspose2d(c_out, c_in, 2, 2), "conv": double_conv(c_out, c_in)}
            setattr(self, f"up{self.halvings + 1 - i}", nn.ModuleDict(up))
        self.outc = nn.ModuleDict({"conv": nn.Conv2d(self.CHANNELS[0], 2, 1)})

    def forward(self, x):
        x = self.inc["double_conv"](x)
        skipped = []
        for i in range(1, self.halvings + 1):
            skipped.append(x)
            pool, convs = getattr(self, f"down{i}")["maxpool_conv"]
            x = convs["double_conv"](pool(x))
        for i in range(1, self.halvings + 1):
            up = getattr(self, f"up{i}")
            x = up["conv"]["double_conv"](torch.cat([skipped.pop(), up["up"](x)], 1))
        return self.outc["conv"](x)


class ConvNormLeaky(nn.Module):
    def __init__(self, c_in, c_out, kernel=1, stride=1):
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False)
        self.bn, self.act = nn.BatchNorm2d(c_out), nn.LeakyReLU(0.1, inplace=True)

    def forward(self, x):
        return self.act(self.bn(self.conv(x)))


class DarknetBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1 = ConvNormLeaky(channels, channels // 2)
        self.conv2 = ConvNormLeaky(channels // 2, channels, 3)

    def forward(self, x):
        return x + self.conv2(self.conv1(x))


class Darknet53(nn.Module):
    STAGES = ((1, 64), (2, 128), (8, 256), (8, 512), (4, 1024))

    def __init__(self):
        super().__init__()
        self.stem = ConvNormLeaky(3, 32, 3)
        self.stages = nn.ModuleList()
        c_in = 32
        for blocks, channels in self.STAGES:
            stage = nn.Module()
            stage.down = ConvNormLeaky(c_in, channels, 3, 2)
            stage.blocks = nn.ModuleList(DarknetBlock(channels) for _ in range(blocks))
            self.stages.append(stage)
            c_in = channels
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(c_in, 1000)

    def forward(self, x):
        x = self.stem(x)
        for stage in self.stages:
            x = stage.down(x)
            for block in stage.blocks:
                x = block(x)
        return self.fc(torch.flatten(self.avgpool(x), 1))


def perceptron():
    """LeNet-300-100."""
    return nn.Sequential(
        nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10)
    )


class LanguageModel(nn.Module):
    """Two layers of an LSTM between an embedding and a linear layer."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Embedding(10_000, 650)
        self.rnn = nn.LSTM(650, 650, 2, batch_first=True)
        self.decoder = nn.Linear(650, 10_000)

    def forward(self, tokens):
        return self.decoder(self.rnn(self.encoder(tokens))[0])
