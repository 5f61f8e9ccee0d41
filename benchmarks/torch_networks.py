"""LeNet, ResNet (v1.5) and MobileNetV2 as PyTorch's users have them.

Parameters have torchvision's names, which `diglot.weights.names` knows, so that the same weights go
into both; torchvision itself is not needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn


def torch_network(name: str, classes: int) -> nn.Module:
    """Build a network by its name in diglot's catalogue."""
    if name == "lenet":
        return LeNet(classes)
    if name == "mobilenet_v2":
        return MobileNetV2(classes)
    block, depths = {
        "resnet18": (Basic, (2, 2, 2, 2)),
        "resnet50": (Bottleneck, (3, 4, 6, 3)),
    }[name]
    return ResNet(block, depths, classes)


def weights_for_torch(graph: Any, name: str) -> dict[str, np.ndarray]:
    """Return the weights of diglot's network by the names of `torch_network`'s parameters."""
    from diglot.networks import card
    from diglot.weights.names import translate

    state = torch_network(name, graph.output_shape[0]).state_dict()
    found = translate(graph, card(name).family, {theirs: np.array(theirs) for theirs in state})
    if found.missing:
        raise SystemExit(f"torch_networks.py has no {found.missing[0]!r} for {name}")
    ours = {str(theirs): mine for mine, theirs in found.arrays.items()}
    return {theirs: np.ascontiguousarray(graph.weights[mine]) for theirs, mine in ours.items()}


class LeNet(nn.Module):
    """Two convolutions and two dense layers, with tanh (LeCun et al., 1998)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 20, 5), nn.Conv2d(20, 50, 5)
        self.pool, self.tanh = nn.MaxPool2d(2), nn.Tanh()
        self.dense, self.head = nn.Linear(800, 500), nn.Linear(500, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.tanh(self.conv1(x)))
        x = self.pool(self.tanh(self.conv2(x)))
        return self.head(self.tanh(self.dense(x.flatten(1))))


class Basic(nn.Module):
    """Two 3x3 convolutions and what goes past them (He et al., 2016)."""

    expansion = 1

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(channels, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """1x1, 3x3 with the stride (which makes it v1.5), 1x1."""

    expansion = 4

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        out = self.expansion * width
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(channels, out, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


def _shortcut(channels: int, out: int, stride: int) -> nn.Module | None:
    if stride == 1 and channels == out:
        return None
    return nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))


class ResNet(nn.Module):
    """Four stages of blocks."""

    def __init__(self, block: type[nn.Module], depths: Sequence[int], classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        channels = 64
        for stage, depth in enumerate(depths, 1):
            width, blocks = 32 << stage, []
            for number in range(depth):
                blocks.append(block(channels, width, 2 if stage > 1 and number == 0 else 1))
                channels = block.expansion * width
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))


class Inverted(nn.Module):
    """Widen, filter each channel by itself, narrow again (Sandler et al., 2018)."""

    def __init__(self, channels: int, out: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = channels * expansion
        widen = [] if expansion == 1 else [_unit(channels, inner, 1)]
        self.conv = nn.Sequential(
            *widen,
            _unit(inner, inner, 3, stride, groups=inner),
            nn.Conv2d(inner, out, 1, bias=False),
            nn.BatchNorm2d(out),
        )
        self.fits = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.fits else self.conv(x)


def _unit(channels: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, out, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(out),
        nn.ReLU6(inplace=True),
    )


class MobileNetV2(nn.Module):
    """Seventeen inverted residuals between two convolutions."""

    # expansion, channels, blocks, stride of the first block
    STAGES = (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    )

    def __init__(self, classes: int) -> None:
        super().__init__()
        layers, channels = [_unit(3, 32, 3, 2)], 32
        for expansion, out, blocks, stride in self.STAGES:
            for number in range(blocks):
                layers.append(Inverted(channels, out, stride if number == 0 else 1, expansion))
                channels = out
        self.features = nn.Sequential(*layers, _unit(channels, 1280, 1))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).mean((2, 3)))
