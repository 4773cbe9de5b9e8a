"""Architectures by name: what a config may say, and the one place that builds a stage from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Self

import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from trainer.models.backbones import FAMILIES, TransformerConfig, build_transformer, check_family
from trainer.models.convnets import CnnTiny, ResNetSmall
from trainer.models.efficientnet import VARIANTS, EfficientNetConfig, build_efficientnet, weight_file
from trainer.models.pretrained import open_weights
from trainer.models.stage import Backbone, StageModel

BackboneBuilder = Callable[["ModelConfig", int], Backbone]
"""(config, image size in pixels) -> backbone with fresh weights"""


class ModelConfig(BaseModel):
    """One stage's architecture. Its input size comes from the stage's preprocessing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "resnet-small"
    width: int = Field(default=32, ge=4, le=1024)
    """Channels of a convolutional net's first level; the later levels double it."""
    depth: int = Field(default=1, ge=1, le=16)
    """Blocks a level of a convolutional net."""
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of the features that is dropped before the heads, in training only."""
    mirror_average: bool = False
    """Judge an image and its mirror image and take the mean: better, at twice the work."""
    transformer: TransformerConfig | None = None
    """Of a vision transformer: its size or its weights, and how they are trained."""
    efficientnet: EfficientNetConfig | None = None
    """Of an EfficientNet: how its ImageNet weights are trained on."""

    @field_validator("name")
    @classmethod
    def _is_registered(cls, name: str) -> str:
        known = (*BACKBONES, *FAMILIES, *VARIANTS)
        if name not in known:
            raise ValueError(f"model name is {name!r}; it must be one of {', '.join(known)}")
        return name

    @model_validator(mode="after")
    def _has_the_options_of_its_kind(self) -> Self:
        if self.transformer is not None and self.name not in FAMILIES:
            raise ValueError(f"{self.name} is no transformer; `transformer` is for {', '.join(FAMILIES)}")
        if self.efficientnet is not None and self.name not in VARIANTS:
            raise ValueError(f"{self.name} is no EfficientNet; `efficientnet` is for {', '.join(VARIANTS)}")
        return self

    @model_validator(mode="after")
    def _mirrors_what_it_trains(self) -> Self:
        options = self.transformer or self.efficientnet
        if self.mirror_average and options is not None and options.adapt == "head":
            raise ValueError(
                "mirror_average looks at each image twice, but adapt 'head' trains on features of the image "
                "alone; leave mirror_average out, or train with another adapt"
            )
        return self


def _resnet_small(config: ModelConfig, image_size: int) -> Backbone:
    return ResNetSmall(image_size, width=config.width, depth=config.depth)


def _cnn_tiny(config: ModelConfig, image_size: int) -> Backbone:
    return CnnTiny(image_size, width=config.width, depth=config.depth)


BACKBONES: Mapping[str, BackboneBuilder] = MappingProxyType(
    {"resnet-small": _resnet_small, "cnn-tiny": _cnn_tiny}
)

SMALLEST_IMAGE = 16
"""Pixels a side; below this the trunks would halve away the last of the image."""


def build_model(config: ModelConfig, image_size: int, n_classes: int, *, seed: int = 0) -> StageModel:
    """A stage with fresh weights, the same ones for the same seed.

    `image_size`: pixels a side of its square input. Leaves torch's global random state as it was.
    """
    if image_size < SMALLEST_IMAGE:
        raise ValueError(f"image_size is {image_size}; models start at {SMALLEST_IMAGE} pixels a side")
    if n_classes < 2:
        raise ValueError(f"n_classes is {n_classes}; a classifier needs at least 2")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        backbone = _backbone(config, image_size)
        return StageModel(
            backbone,
            image_size=image_size,
            n_classes=n_classes,
            dropout=config.dropout,
            mirror_average=config.mirror_average,
        )


def require_weights(config: ModelConfig) -> None:
    """`BackboneError` where the stage's pretrained weights cannot be had; fetches them from the hub.

    For the start of a run, so that a mistyped folder is told before any image is decoded.
    """
    transformer = config.transformer
    if transformer is not None and transformer.is_pretrained:
        check_family(config.name, open_weights(transformer.weights))
    if config.name in VARIANTS:
        weight_file(config.name)


def _backbone(config: ModelConfig, image_size: int) -> Backbone:
    if config.name in FAMILIES:
        return build_transformer(config.name, config.transformer or TransformerConfig(), image_size)
    if config.name in VARIANTS:
        return build_efficientnet(config.name, config.efficientnet or EfficientNetConfig(), image_size)
    return BACKBONES[config.name](config, image_size)
