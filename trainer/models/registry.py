"""Architectures by name: their configuration, and the one place that builds a stage from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Self

import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from trainer.models.backbones import FAMILIES, TransformerConfig, build_transformer, check_family
from trainer.models.convnets import CnnTiny, ResNetSmall
from trainer.models.efficientnet import VARIANTS, EfficientNetConfig, build_efficientnet, weight_file
from trainer.models.pretrained import WeightFolder, open_weights
from trainer.models.stage import Backbone, StageModel

BackboneBuilder = Callable[["ModelConfig", int], Backbone]
"""(config, image size in pixels) -> backbone with random weights"""


class ModelConfig(BaseModel):
    """Architecture of one stage. Its input size comes from the preprocessing of the stage."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "resnet-small"
    width: int = Field(default=32, ge=4, le=1024)
    """Channels of the first level of a convolutional network; later levels double it."""
    depth: int = Field(default=1, ge=1, le=16)
    """Blocks per level of a convolutional network."""
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of the features that is dropped before the heads, in training only."""
    mirror_average: bool = False
    """Average the outputs on an image and on its mirror image: more accurate, at twice the work."""
    transformer: TransformerConfig | None = None
    """Size or weights of a vision transformer, and which of them are trained."""
    efficientnet: EfficientNetConfig | None = None
    """Fine-tuning of the ImageNet weights of an EfficientNet."""

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
"""Pixels per side; below this the halvings of the networks would leave nothing of the image."""


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """An architecture whose pretrained weights, if any, have been found and checked."""

    config: ModelConfig
    folder: WeightFolder | None = None
    """Weights of a pretrained transformer"""
    file: Path | None = None
    """Weights of an EfficientNet"""

    @property
    def is_pretrained(self) -> bool:
        return self.folder is not None or self.file is not None

    def configured(self, config: ModelConfig) -> Self:
        """The same weights with another configuration of the same architecture."""
        return replace(self, config=config)


def resolve_model(config: ModelConfig) -> ResolvedModel:
    """Find the pretrained weights of an architecture, from the hub if necessary.

    Called once at the start of a run, so that a mistyped folder is refused before any image is decoded.
    Raises `BackboneError`.
    """
    transformer = config.transformer
    if transformer is not None and transformer.is_pretrained:
        folder = open_weights(transformer.weights)
        check_family(config.name, folder)
        return ResolvedModel(config, folder=folder)
    if config.name in VARIANTS:
        return ResolvedModel(config, file=weight_file(config.name))
    return ResolvedModel(config)


def build_model(
    model: ModelConfig | ResolvedModel, image_size: int, n_classes: int, *, seed: int = 0
) -> StageModel:
    """A stage with fresh or pretrained weights; one seed gives one result.

    A plain configuration is resolved here. `image_size`: pixels per side of the square input. The global
    random state of torch does not change.
    """
    if image_size < SMALLEST_IMAGE:
        raise ValueError(f"image_size is {image_size}; models start at {SMALLEST_IMAGE} pixels a side")
    if n_classes < 2:
        raise ValueError(f"n_classes is {n_classes}; a classifier needs at least 2")
    found = model if isinstance(model, ResolvedModel) else resolve_model(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return StageModel(
            _backbone(found, image_size),
            image_size=image_size,
            n_classes=n_classes,
            dropout=found.config.dropout,
            mirror_average=found.config.mirror_average,
        )


def _backbone(model: ResolvedModel, image_size: int) -> Backbone:
    config = model.config
    if config.name in FAMILIES:
        options = config.transformer or TransformerConfig()
        return build_transformer(config.name, options, image_size, model.folder)
    if model.file is not None:
        options_of_net = config.efficientnet or EfficientNetConfig()
        return build_efficientnet(config.name, options_of_net, image_size, model.file)
    return BACKBONES[config.name](config, image_size)
