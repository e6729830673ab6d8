"""The networks of the zoo as torch modules, so that they can be run and exported.

Written from the papers with torchvision's module names; torchvision itself is not needed.
"""

from __future__ import annotations

import torch
from torch import nn


def conv_norm(c_in, c_out, kernel=1, stride=1, groups=1):
    pad = kernel // 2
    conv = nn.Conv2d(c_in, c_out, kernel, stride, pad, groups=groups, bias=False)
    return conv, nn.BatchNorm2d(c_out)


class Block(nn.Module):
    def __init__(self, c_in, width, stride, bottleneck):
        super().__init__()
        self.convolutions = 3 if bottleneck else 2
        c_out = width * 4 if bottleneck else width
        if bottleneck:
            self.conv1, self.bn1 = conv_norm(c_in, width)
            self.conv2, self.bn2 = conv_norm(width, width, 3, stride)
            self.conv3, self.bn3 = conv_norm(width, c_out)
        else:
            self.conv1, self.bn1 = conv_norm(c_in, width, 3, stride)
            self.conv2, self.bn2 = conv_norm(width, width, 3)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride != 1 or c_in != c_out:
            self.downsample = nn.Sequential(*conv_norm(c_in, c_out, 1, stride))

    def forward(self, x):
        y = self.bn1(self.conv1(x))
        y = self.bn2(self.conv2(self.relu(y)))
        if self.convolutions == 3:
            y = self.bn3(self.conv3(self.relu(y)))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    def __init__(self, blocks, bottleneck):
        super().__init__()
        self.conv1, self.bn1 = conv_norm(3, 64, 7, 2)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        c_in = 64
        for stage, count in enumerate(blocks):
            layer = []
            for i in range(count):
                stride = 2 if stage > 0 and i == 0 else 1
                layer.append(Block(c_in, 64 << stage, stride, bottleneck))
                c_in = (64 << stage) * (4 if bottleneck else 1)
            setattr(self, f"layer{stage + 1}", nn.Sequential(*layer))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(c_in, 1000)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


class VGG16(nn.Module):
    def __init__(self, hidden=4096):
        super().__init__()
        layers = []
        c_in = 3
        for channels, convolutions in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
            for _ in range(convolutions):
                layers += [nn.Conv2d(c_in, channels, 3, padding=1), nn.ReLU(inplace=True)]
                c_in = channels
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(7)
        self.classifier = nn.Sequential(
            nn.Linear(512 * 49, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(hidden, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(hidden, 1000),
        )

    def forward(self, x):
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


def conv_norm_relu6(*sizes):
    return nn.Sequential(*conv_norm(*sizes), nn.ReLU6(inplace=True))


class InvertedResidual(nn.Module):
    def __init__(self, c_in, c_out, stride, expansion):
        super().__init__()
        self.residual = stride == 1 and c_in == c_out
        hidden = c_in * expansion
        layers = [conv_norm_relu6(c_in, hidden)] if expansion > 1 else []
        layers.append(conv_norm_relu6(hidden, hidden, 3, stride, hidden))
        self.conv = nn.Sequential(*layers, *conv_norm(hidden, c_out))

    def forward(self, x):
        return x + self.conv(x) if self.residual else self.conv(x)


class MobileNetV2(nn.Module):
    STAGES = (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    )

    def __init__(self):
        super().__init__()
        layers = [conv_norm_relu6(3, 32, 3, 2)]
        c_in = 32
        for expansion, c_out, blocks, stride in self.STAGES:
            for i in range(blocks):
                step = stride if i == 0 else 1
                layers.append(InvertedResidual(c_in, c_out, step, expansion))
                c_in = c_out
        layers.append(conv_norm_relu6(c_in, 1280))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, 1000))

    def forward(self, x):
        x = nn.functional.adaptive_avg_pool2d(self.features(x), 1)
        return self.classifier(torch.flatten(x, 1))


class DenseLayer(nn.Module):
    def __init__(self, c_in):
        super().__init__()
        self.norm1, self.relu1 = nn.BatchNorm2d(c_in), nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(c_in, 128, 1, bias=False)
        self.norm2, self.relu2 = nn.BatchNorm2d(128), nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(128, 32, 3, padding=1, bias=False)

    def forward(self, features):
        x = self.conv1(self.relu1(self.norm1(torch.cat(features, 1))))
        return self.conv2(self.relu2(self.norm2(x)))


class DenseBlock(nn.ModuleDict):
    def __init__(self, c_in, layers):
        super().__init__()
        for i in range(layers):
            self[f"denselayer{i + 1}"] = DenseLayer(c_in + 32 * i)

    def forward(self, x):
        features = [x]
        for layer in self.values():
            features.append(layer(features))
        return torch.cat(features, 1)


def transition(c_in):
    layers = nn.Sequential()
    layers.add_module("norm", nn.BatchNorm2d(c_in))
    layers.add_module("relu", nn.ReLU(inplace=True))
    layers.add_module("conv", nn.Conv2d(c_in, c_in // 2, 1, bias=False))
    layers.add_module("pool", nn.AvgPool2d(2))
    return layers


class DenseNet121(nn.Module):
    def __init__(self, blocks=(6, 12, 24, 16)):
        super().__init__()
        self.features = nn.Sequential()
        self.features.add_module("conv0", nn.Conv2d(3, 64, 7, 2, 3, bias=False))
        self.features.add_module("norm0", nn.BatchNorm2d(64))
        self.features.add_module("relu0", nn.ReLU(inplace=True))
        self.features.add_module("pool0", nn.MaxPool2d(3, 2, 1))
        channels = 64
        for i, layers in enumerate(blocks, 1):
            self.features.add_module(f"denseblock{i}", DenseBlock(channels, layers))
            channels += 32 * layers
            if i < 4:
                self.features.add_module(f"transition{i}", transition(channels))
                channels //= 2
        self.features.add_module("norm5", nn.BatchNorm2d(channels))
        self.classifier = nn.Linear(channels, 1000)

    def forward(self, x):
        x = nn.functional.relu(self.features(x), inplace=True)
        x = nn.functional.adaptive_avg_pool2d(x, 1)
        return self.classifier(torch.flatten(x, 1))


NETWORKS = {
    "densenet121": DenseNet121,
    "mobilenet_v2": MobileNetV2,
    "resnet18": lambda: ResNet((2, 2, 2, 2), bottleneck=False),
    "resnet50": lambda: ResNet((3, 4, 6, 3), bottleneck=True),
    "vgg16": VGG16,
}

#: The same with less of it, where making and writing the whole takes long and shows no more.
SMALL = {
    "densenet": lambda: DenseNet121((2, 3, 2, 2)),
    "vgg": lambda: VGG16(hidden=64),
}


def build(name):
    """The network in inference mode, with weights that are quick to make.

    Every tensor has a value of its own: exporters drop biases of zero and merge equal tensors.
    """
    with torch.device("meta"):
        network = {**NETWORKS, **SMALL}[name]().eval()
    network = network.to_empty(device="cpu")
    with torch.no_grad():
        for i, tensor in enumerate([*network.parameters(), *network.buffers()], 1):
            tensor.fill_(i / 64)
    return network.requires_grad_(False)
