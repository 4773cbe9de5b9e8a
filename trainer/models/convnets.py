"""Small convolutional backbones that train from random weights in minutes on two cores.

The stem of both halves the resolution until the trunk works at about 32 x 32, so one architecture serves
32 px road signs and 224 px streets at a similar cost.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainer.models.stage import Backbone

TRUNK_SIZE = 32
"""Resolution, in pixels, to which the stem reduces its input (up to 1.5 times as much)"""


def stem_halvings(image_size: int) -> int:
    """Number of times that the stem halves an input of `image_size` pixels."""
    halvings = 0
    while image_size / 2**halvings > 1.5 * TRUNK_SIZE:
        halvings += 1
    return halvings


def conv_bn_relu(inputs: int, outputs: int, *, stride: int = 1) -> nn.Sequential:
    """3 x 3 convolution, batch normalisation, rectifier."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def stem(image_size: int, width: int) -> nn.Sequential:
    """RGB to `width` channels at the resolution of the trunk."""
    strides = [2] * stem_halvings(image_size) or [1]
    channels = [3, *[width] * len(strides)]
    return nn.Sequential(
        *(conv_bn_relu(channels[i], channels[i + 1], stride=stride) for i, stride in enumerate(strides))
    )


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions around a shortcut (He et al., arXiv 1512.03385, figure 2).

    The second normalisation starts at zero, so that a new block is the identity and deep networks accept a
    high learning rate from the first step on.
    """

    def __init__(self, inputs: int, outputs: int, *, stride: int) -> None:
        super().__init__()
        self.first = conv_bn_relu(inputs, outputs, stride=stride)
        last_norm = nn.BatchNorm2d(outputs)
        nn.init.zeros_(last_norm.weight)
        self.second = nn.Sequential(nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), last_norm)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride, ceil_mode=True) if stride > 1 else nn.Identity(),
                nn.Conv2d(inputs, outputs, 1, bias=False),
                nn.BatchNorm2d(outputs),
            )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.second(self.first(x)) + self.shortcut(x))


class ResNetSmall(Backbone):
    """Four residual levels of 1, 2, 4, 8 x `width` channels, `depth` blocks each, average-pooled."""

    any_size = True

    def __init__(self, image_size: int, *, width: int, depth: int) -> None:
        super().__init__()
        widths = [width, 2 * width, 4 * width, 8 * width]
        blocks: list[nn.Module] = []
        inputs = width
        for level, outputs in enumerate(widths):
            for index in range(depth):
                stride = 2 if level > 0 and index == 0 else 1
                blocks.append(ResidualBlock(inputs, outputs, stride=stride))
                inputs = outputs
        self.stem = stem(image_size, width)
        self.trunk = nn.Sequential(*blocks)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.n_features = widths[-1]

    def forward(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.pool(self.trunk(self.stem(pixels)))
        return features


class CnnTiny(Backbone):
    """`depth` plain convolutions per level, halving and doubling to 4 x `width`: a fast net for stage A."""

    any_size = True

    def __init__(self, image_size: int, *, width: int, depth: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = width
        for outputs in (2 * width, 4 * width, 4 * width):
            for index in range(depth):
                layers.append(conv_bn_relu(inputs, outputs, stride=2 if index == 0 else 1))
                inputs = outputs
        self.stem = stem(image_size, width)
        self.trunk = nn.Sequential(*layers)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.n_features = 4 * width

    def forward(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.pool(self.trunk(self.stem(pixels)))
        return features
