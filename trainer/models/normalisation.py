"""Normalisation of pixels: that of every stage of a bundle, and those of pretrained weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn

RGB = tuple[float, float, float]
MeanStd = tuple[RGB, RGB]

IMAGENET: MeanStd = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and standard deviation of the input of every stage."""
HALVES: MeanStd = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


class ChangeNormalisation(nn.Module):
    """Maps pixels in the normalisation of every stage to that of the pretrained weights."""

    def __init__(self, own: MeanStd) -> None:
        super().__init__()
        mean, std = (torch.tensor(part) for part in IMAGENET)
        own_mean, own_std = (torch.tensor(part) for part in own)
        self.register_buffer("scale", (std / own_std).view(1, 3, 1, 1))
        self.register_buffer("shift", ((mean - own_mean) / own_std).view(1, 3, 1, 1))

    scale: Tensor
    shift: Tensor

    def forward(self, pixels: Tensor) -> Tensor:
        return pixels * self.scale + self.shift


def normalised_as(own: MeanStd) -> nn.Module:
    """The module that maps a stage's input to the normalisation `own`; the identity if they agree."""
    return nn.Identity() if own == IMAGENET else ChangeNormalisation(own)
