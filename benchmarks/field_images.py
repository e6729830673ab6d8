"""Networks that make, cut out and find things in images, as their authors write them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

Made = tuple[nn.Module, Any]  # and what its forward takes


class ConvNorm(nn.Sequential):
    """Convolution, batch norm and an activation in place."""

    activation: type[nn.Module] = nn.ReLU

    def __init__(self, c_in: int, c_out: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(c_out),
            self.activation(inplace=True),
        )


class Double(nn.Sequential):
    """U-Net's two convolutions."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__(ConvNorm(c_in, c_out), ConvNorm(c_out, c_out))


class Up(nn.Module):
    """Twice the extent, beside what has been skipped."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(c_in, c_out, 2, stride=2)
        self.conv = Double(2 * c_out, c_out)

    def forward(self, x: Tensor, skipped: Tensor) -> Tensor:
        return self.conv(torch.cat([skipped, self.up(x)], 1))


class UNet(nn.Module):
    """U-Net (Ronneberger et al. 2015) with padding and norms."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        widths = [width << i for i in range(5)]
        self.first = Double(3, width)
        self.down = nn.ModuleList(Double(a, b) for a, b in pairwise(widths))
        self.up = nn.ModuleList(Up(2 * c, c) for c in widths[-2::-1])
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        skipped = [self.first(x)]
        for down in self.down:
            skipped.append(down(functional.max_pool2d(skipped[-1], 2)))
        x = skipped.pop()
        for up in self.up:
            x = up(x, skipped.pop())
        return self.head(x)


class FPN(nn.Module):
    """Segmentation by a pyramid of features (Lin et al. 2017), brought together bilinearly."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        widths = (32, 64, 128, 256)
        self.stem = ConvNorm(3, 32, 7, 2)
        self.stages = nn.ModuleList(
            nn.Sequential(ConvNorm(a, b, 3, 2), ConvNorm(b, b), ConvNorm(b, b))
            for a, b in zip((32, *widths), widths, strict=False)
        )
        self.lateral = nn.ModuleList(nn.Conv2d(c, 128, 1) for c in widths)
        self.smooth = nn.ModuleList(nn.Conv2d(128, 128, 3, padding=1) for _ in widths)
        self.head = nn.Conv2d(128, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        features = [self.stem(x)]
        for stage in self.stages:
            features.append(stage(features[-1]))
        levels = [lateral(f) for lateral, f in zip(self.lateral, features[1:], strict=True)]
        for i in range(len(levels) - 2, -1, -1):
            levels[i] = levels[i] + functional.interpolate(levels[i + 1], scale_factor=2.0)
        size = levels[0].shape[2:]
        joined = sum(
            functional.interpolate(functional.relu(smooth(level)), size, mode="bilinear")
            for smooth, level in zip(self.smooth, levels, strict=True)
        )
        return functional.interpolate(self.head(joined), x.shape[2:], mode="bilinear")


class Residual(nn.Module):
    """EDSR's block (Lim et al. 2017): no norms, scaled."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + 0.1 * self.second(functional.relu(self.first(x)))


class Diffused(nn.Module):
    """A block of a denoising network (Ho et al. 2020), told the time."""

    def __init__(self, c_in: int, c_out: int, time: int = 256) -> None:
        super().__init__()
        self.norm_1, self.norm_2 = nn.GroupNorm(32, c_in), nn.GroupNorm(32, c_out)
        self.conv_1 = nn.Conv2d(c_in, c_out, 3, padding=1)
        self.conv_2 = nn.Conv2d(c_out, c_out, 3, padding=1)
        self.time = nn.Linear(time, c_out)
        self.skip = nn.Conv2d(c_in, c_out, 1) if c_in != c_out else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        y = self.conv_1(functional.silu(self.norm_1(x)))
        y = y + self.time(functional.silu(time))[:, :, None, None]
        return self.skip(x) + self.conv_2(functional.silu(self.norm_2(y)))


class PixelAttention(nn.Module):
    """Self-attention of all pixels."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads, self.norm = heads, nn.GroupNorm(32, width)
        self.qkv, self.out = nn.Conv2d(width, 3 * width, 1), nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        split = self.qkv(self.norm(x)).reshape(n, 3, self.heads, c // self.heads, h * w)
        q, k, v = split.transpose(-1, -2).unbind(1)
        y = functional.scaled_dot_product_attention(q, k, v)
        return x + self.out(y.transpose(-1, -2).reshape(n, c, h, w))


class Denoiser(nn.Module):
    """A U-Net of three extents that takes noise out of an image."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        two, four = 2 * width, 4 * width
        self.time = nn.Sequential(nn.Linear(width, 256), nn.SiLU(), nn.Linear(256, 256))
        self.register_buffer("rates", torch.exp(torch.linspace(0, -9, width // 2)))
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.down_1, self.half_1 = Diffused(width, width), nn.Conv2d(width, width, 3, 2, 1)
        self.down_2, self.half_2 = Diffused(width, two), nn.Conv2d(two, two, 3, 2, 1)
        self.near, self.middle_1 = PixelAttention(two), Diffused(two, four)
        self.far, self.middle_2 = PixelAttention(four), Diffused(four, two)
        self.twice_2, self.up_2 = nn.Conv2d(two, two, 3, padding=1), Diffused(four, two)
        self.twice_1, self.up_1 = nn.Conv2d(two, width, 3, padding=1), Diffused(two, width)
        self.norm, self.last = nn.GroupNorm(32, width), nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, x: Tensor, step: Tensor) -> Tensor:
        angle = step[:, None].float() * self.rates
        time = self.time(torch.cat([angle.sin(), angle.cos()], 1))
        one = self.down_1(self.first(x), time)
        two = self.near(self.down_2(self.half_1(one), time))
        y = self.middle_2(self.far(self.middle_1(self.half_2(two), time)), time)
        y = self.twice_2(functional.interpolate(y, scale_factor=2.0))
        y = self.up_2(torch.cat([y, two], 1), time)
        y = self.twice_1(functional.interpolate(y, scale_factor=2.0))
        y = self.up_1(torch.cat([y, one], 1), time)
        return self.last(functional.silu(self.norm(y)))


class ConvNormSiLU(ConvNorm):
    """Convolution, batch norm and SiLU."""

    activation = nn.SiLU


class Split(nn.Module):
    """A detector's block: half of the channels goes on, and all parts are joined."""

    def __init__(self, c_in: int, c_out: int, depth: int) -> None:
        super().__init__()
        half = c_out // 2
        self.first = ConvNormSiLU(c_in, c_out, 1)
        self.blocks = nn.ModuleList(
            nn.Sequential(ConvNormSiLU(half, half, 3), ConvNormSiLU(half, half, 3))
            for _ in range(depth)
        )
        self.last = ConvNormSiLU((2 + depth) * half, c_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        parts = list(self.first(x).chunk(2, 1))
        for block in self.blocks:
            parts.append(parts[-1] + block(parts[-1]))
        return self.last(torch.cat(parts, 1))


class Detector(nn.Module):
    """A detector of one stage with a pyramid of pools, two ways up and three heads."""

    def __init__(self, classes: int = 80, bins: int = 16) -> None:
        super().__init__()
        self.bins, self.sizes = bins, (4 * bins, classes)
        self.eighth = nn.Sequential(
            ConvNormSiLU(3, 16, 3, 2), ConvNormSiLU(16, 32, 3, 2), Split(32, 32, 1),
            ConvNormSiLU(32, 64, 3, 2), Split(64, 64, 2),
        )  # fmt: skip
        self.sixteenth = nn.Sequential(ConvNormSiLU(64, 128, 3, 2), Split(128, 128, 2))
        self.last = nn.Sequential(ConvNormSiLU(128, 256, 3, 2), Split(256, 256, 1))
        self.narrow, self.wide = ConvNormSiLU(256, 128, 1), ConvNormSiLU(512, 256, 1)
        self.pool = nn.MaxPool2d(5, 1, 2)
        self.up_1, self.up_2 = Split(384, 128, 1), Split(192, 64, 1)
        self.heads = nn.ModuleList(
            nn.Sequential(
                ConvNormSiLU(c, 64, 3), ConvNormSiLU(64, 64, 3), nn.Conv2d(64, sum(self.sizes), 1)
            )
            for c in (64, 128, 256)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        eighth = self.eighth(x)
        sixteenth = self.sixteenth(eighth)
        pools = [self.narrow(self.last(sixteenth))]
        for _ in range(3):
            pools.append(self.pool(pools[-1]))
        last = self.wide(torch.cat(pools, 1))
        up_1 = torch.cat([functional.interpolate(last, scale_factor=2.0), sixteenth], 1)
        up_1 = self.up_1(up_1)
        up_2 = torch.cat([functional.interpolate(up_1, scale_factor=2.0), eighth], 1)
        levels = (self.up_2(up_2), up_1, last)
        found = [head(level).flatten(2) for head, level in zip(self.heads, levels, strict=True)]
        boxes, classes = torch.cat(found, 2).split(self.sizes, 1)
        share = boxes.view(len(x), 4, self.bins, -1).softmax(2)
        distance = torch.arange(float(self.bins)).view(1, 1, -1, 1)
        return (share * distance).sum(2), classes.sigmoid()


def transposed(c_in: int, c_out: int, *, kernel: int = 4, stride: int = 2) -> nn.Sequential:
    padding = 0 if stride == 1 else 1
    conv = nn.ConvTranspose2d(c_in, c_out, kernel, stride, padding, stride + 2 - kernel, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(c_out), nn.ReLU(inplace=True))


def generator() -> Made:
    widths = (512, 256, 128, 64)
    layers = [transposed(a, b) for a, b in pairwise(widths)]
    first = nn.Sequential(nn.ConvTranspose2d(100, 512, 4, bias=False), nn.BatchNorm2d(512))
    last = nn.ConvTranspose2d(64, 3, 4, 2, 1)
    module = nn.Sequential(first, nn.ReLU(inplace=True), *layers, last, nn.Tanh())
    return module, torch.randn(4, 100, 1, 1)


def decoder() -> Made:
    widths = (256, 128, 64, 32)
    layers = [transposed(a, b, kernel=3) for a, b in pairwise(widths)]
    first = nn.Sequential(nn.Linear(128, 256 * 8 * 8), nn.Unflatten(1, (256, 8, 8)))
    last = nn.Sequential(nn.Conv2d(32, 3, 3, padding=1), nn.Sigmoid())
    return nn.Sequential(first, *layers, last), torch.randn(8, 128)


def super_resolution() -> Made:
    blocks = [Residual(64) for _ in range(8)]
    twice = [nn.Conv2d(64, 256, 3, padding=1), nn.PixelShuffle(2), nn.Conv2d(64, 3, 3, padding=1)]
    module = nn.Sequential(nn.Conv2d(3, 64, 3, padding=1), *blocks, *twice)
    return module, torch.randn(1, 3, 96, 96)


def video() -> Made:
    def layer(c_in: int, c_out: int, stride: int) -> list[nn.Module]:
        conv = nn.Conv3d(c_in, c_out, 3, stride, 1, bias=False)
        return [conv, nn.BatchNorm3d(c_out), nn.ReLU(inplace=True)]

    first = [nn.Conv3d(3, 32, (3, 7, 7), (1, 2, 2), (1, 3, 3)), nn.ReLU(inplace=True)]
    sizes = ((32, 32, 1), (32, 64, 2), (64, 64, 1), (64, 128, 2), (128, 128, 1))
    layers = [part for size in sizes for part in layer(*size)]
    last = [nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(128, 400)]
    return nn.Sequential(*first, *layers, *last), torch.randn(1, 3, 8, 112, 112)


def game() -> Made:
    """Return what plays Atari's games (Mnih et al. 2015), on a batch to learn from."""
    convs = [nn.Conv2d(4, 32, 8, 4), nn.Conv2d(32, 64, 4, 2), nn.Conv2d(64, 64, 3)]
    layers = [part for conv in convs for part in (conv, nn.ReLU())]
    last = [nn.Flatten(), nn.Linear(3136, 512), nn.ReLU(), nn.Linear(512, 6)]
    return nn.Sequential(*layers, *last), torch.rand(32, 4, 84, 84)


NETWORKS: dict[str, Callable[[], Made]] = {
    "U-Net": lambda: (UNet(32, 2), torch.randn(1, 3, 256, 256)),
    "FPN segmentation": lambda: (FPN(21), torch.randn(1, 3, 256, 256)),
    "detector": lambda: (Detector(), torch.randn(1, 3, 320, 320)),
    "super-resolution": super_resolution,
    "denoiser": lambda: (Denoiser(), (torch.randn(1, 3, 64, 64), torch.tensor([10]))),
    "GAN's generator": generator,
    "VAE's decoder": decoder,
    "video": video,
    "game player": game,
}
