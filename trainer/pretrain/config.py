"""Configuration of a pretraining: images, backbone, trained weights and schedule."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from trainer.choices import PretrainRows
from trainer.config import read_as
from trainer.data.config import DataConfig, SplitConfig
from trainer.fit.augment import AugmentConfig
from trainer.fit.device import ComputeConfig
from trainer.models.backbones import FAMILIES
from trainer.pretrain.decoder import DecoderConfig
from trainer.pretrain.explora import ExploraConfig
from trainer.run.promise import PromiseConfig


class ShapeConfig(BaseModel):
    """Shape of a backbone that starts from random weights; pretrained weights fix it themselves."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    patch_size: int | None = Field(default=None, ge=2, le=64)
    """Pixels per side; by default 16, or an eighth of the image if that is smaller than 128 pixels."""
    hidden_size: int = Field(default=192, ge=16, le=8192)
    layers: int = Field(default=12, ge=1, le=80)
    heads: int = Field(default=3, ge=1, le=64)
    mlp_ratio: int = Field(default=4, ge=1, le=8)
    registers: int = Field(default=4, ge=0, le=16)
    """Number of register tokens, for families that have them."""


class PretrainConfig(BaseModel):
    """All inputs of a pretraining. The resolved configuration is written beside the weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: DataConfig
    rows: PretrainRows = "auto"
    """`train`: the training split that `demur train` and `demur compare` draw from the same data, group,
    split seed, sizes and promise, so that no image of their certificate or test is used. `all`: every image.
    `auto`: `train` if there are labels, else `all`."""
    backbone: str
    """`folder:PATH` or `hub:OWNER/NAME[@REVISION]` for ExPLoRA; a family, as `vit`, with `from_scratch`"""
    from_scratch: bool = False
    """Start from random weights and train all of them."""
    shape: ShapeConfig = ShapeConfig()
    """With `from_scratch` only."""
    explora: ExploraConfig = ExploraConfig()
    """Without `from_scratch` only."""
    decoder: DecoderConfig = DecoderConfig()
    """For a backbone without a decoder of its own."""
    image_size: int | None = Field(default=None, ge=16, le=1024)
    """Pixels per side; by default the training size of the weights, or one that suits the images."""
    hidden_share: float = Field(default=0.75, ge=0.1, le=0.95)
    """Share of the patches of an image that is hidden from the backbone."""
    normalise_patches: bool = True
    """Normalise the target of each hidden patch by its own mean and deviation."""
    epochs: int = Field(default=50, ge=1)
    batch_size: int = Field(default=256, ge=2)
    lr: float = Field(default=1e-3, gt=0.0)
    """Peak learning rate, see `trainer.pretrain.loop`."""
    weight_decay: float = Field(default=0.05, ge=0.0)
    warmup: float = Field(default=0.1, ge=0.0, lt=1.0)
    gradient_clip: float = Field(default=5.0, gt=0.0)
    augment: AugmentConfig = AugmentConfig(smallest_crop=0.4)
    compute: ComputeConfig = ComputeConfig()
    splits: SplitConfig = SplitConfig()
    """For `rows: train`."""
    promise: PromiseConfig = PromiseConfig()
    """For `rows: train`: the size of the calibration split follows from it."""
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _says_where_the_weights_come_from(self) -> Self:
        if self.from_scratch and self.backbone not in FAMILIES:
            raise ValueError(
                f"backbone is {self.backbone!r} with from_scratch; it must be one of {', '.join(FAMILIES)}"
            )
        if not self.from_scratch and self.backbone.partition(":")[0] not in ("folder", "hub"):
            raise ValueError(
                f"backbone is {self.backbone!r}; it must be folder:PATH or hub:OWNER/NAME, or, with "
                f"from_scratch, one of {', '.join(FAMILIES)}"
            )
        return self


def load_pretrain_config(path: Path | None, overrides: Mapping[str, Any]) -> PretrainConfig:
    """The file's values with `overrides` (dotted field -> value) on top; `ConfigError` lists all faults."""
    return read_as(PretrainConfig, path, overrides)
