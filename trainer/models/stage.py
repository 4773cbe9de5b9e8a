"""A stage of the cascade as a torch module: a backbone and its three heads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor, nn


class HeadOutputs(NamedTuple):
    """What the three heads say about B images."""

    logits: Tensor
    """[B, K], the classifier's"""
    gate: Tensor
    """[B], logit of the gate: its sigmoid is the soft decision to answer"""
    auxiliary: Tensor
    """[B, K], logits of the head that is trained on every image, answered or not"""


class Backbone(nn.Module, ABC):
    """Pixels to one feature vector an image."""

    n_features: int
    weights: str = "random"
    """Name of the pretrained weights, or `random`"""
    any_size: bool = False
    """Takes images of other sizes than the one it was built for"""

    @property
    def is_pretrained(self) -> bool:
        return self.weights != "random"

    @property
    def is_frozen(self) -> bool:
        """Training changes none of its weights, so an image always has the same features."""
        return not any(parameter.requires_grad for parameter in self.parameters())

    @abstractmethod
    def forward(self, pixels: Tensor) -> Tensor:
        """float [B, 3, H, W] -> [B, n_features]"""


class StageModel(nn.Module):
    """Backbone, classifier, gate and auxiliary head (SelectiveNet, arXiv 1901.09192, section 3).

    The gate has a hidden layer of its own, so that "shall I answer?" need not be linear in the
    features that answer "which one?". The auxiliary head keeps the backbone from forgetting the images
    that the gate would rather not answer; it is not exported.
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
        """`mirror_average`: outside of training, the mean of what is said of an image and its mirror
        image, at twice the work; for tasks in which left and right mean the same."""
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
        seen = self.look(pixels)
        if self.training or not self.mirror_average:
            return seen
        mirrored = self.look(pixels.flip(-1))
        return HeadOutputs(*((one + other) / 2 for one, other in zip(seen, mirrored, strict=True)))

    def look(self, pixels: Tensor) -> HeadOutputs:
        """One pass, whatever `mirror_average` says; of images of any size where the backbone takes it."""
        return self.heads(self.backbone(pixels))

    def heads(self, features: Tensor) -> HeadOutputs:
        """The backbone's features, [B, n_features] -> outputs of the three heads."""
        features = self.dropout(features)
        return HeadOutputs(
            logits=self.classifier(features),
            gate=self.gate(features).squeeze(-1),
            auxiliary=self.auxiliary(features),
        )
