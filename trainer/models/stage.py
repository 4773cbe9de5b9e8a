"""A stage of the cascade as a torch module: a backbone and its three heads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor, nn


class HeadOutputs(NamedTuple):
    """Outputs of the three heads on B images."""

    logits: Tensor
    """[B, K], the classifier's"""
    gate: Tensor
    """[B], logit of the gate; its sigmoid is the soft decision to answer"""
    auxiliary: Tensor
    """[B, K], logits of the head that is trained on every image, answered or not"""


class Backbone(nn.Module, ABC):
    """A network from pixels to one feature vector per image."""

    n_features: int
    weights: str = "random"
    """Name of the pretrained weights, or `random`"""
    any_size: bool = False
    """Whether it takes images of other sizes than the one it was built for"""

    @property
    def is_pretrained(self) -> bool:
        return self.weights != "random"

    @property
    def is_frozen(self) -> bool:
        """Whether training changes none of its weights, so that an image always has the same features."""
        return not any(parameter.requires_grad for parameter in self.parameters())

    @abstractmethod
    def forward(self, pixels: Tensor) -> Tensor:
        """float [B, 3, H, W] -> [B, n_features]"""


class StageModel(nn.Module):
    """Backbone, classifier, gate and auxiliary head (SelectiveNet, arXiv 1901.09192, section 3).

    The gate has a hidden layer of its own, so that the decision to answer need not be linear in the
    features that decide the class. The auxiliary head keeps the features useful on the images that the
    gate rejects; it is not exported.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        image_size: int,
        n_classes: int,
        dropout: float,
        mirror_average: bool = False,
    ) -> None:
        """`mirror_average`: outside training, average the outputs on an image and on its mirror image, at
        twice the work; for tasks in which left and right mean the same."""
        super().__init__()
        d = backbone.n_features
        self.image_size = image_size
        self.n_classes = n_classes
        self.mirror_average = mirror_average
        self.backbone = backbone
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(d, n_classes)
        self.gate = nn.Sequential(nn.Linear(d, d // 2), nn.ReLU(), nn.Linear(d // 2, 1))
        self.auxiliary = nn.Linear(d, n_classes)

    def forward(self, pixels: Tensor) -> HeadOutputs:
        """Normalised pixels, float32 [B, 3, image_size, image_size] -> outputs of the three heads."""
        upright = self.single_pass(pixels)
        if self.training or not self.mirror_average:
            return upright
        mirrored = self.single_pass(pixels.flip(-1))
        return HeadOutputs(*((one + other) / 2 for one, other in zip(upright, mirrored, strict=True)))

    def single_pass(self, pixels: Tensor) -> HeadOutputs:
        """One pass without mirror averaging; of images of any size if the backbone takes it."""
        return self.heads(self.backbone(pixels))

    def heads(self, features: Tensor) -> HeadOutputs:
        """Features of the backbone, [B, n_features] -> outputs of the three heads."""
        features = self.dropout(features)
        return HeadOutputs(
            logits=self.classifier(features),
            gate=self.gate(features).squeeze(-1),
            auxiliary=self.auxiliary(features),
        )
