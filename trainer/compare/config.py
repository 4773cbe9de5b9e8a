"""Configuration of a comparison of training methods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from trainer.choices import AugmentLevel, CheckpointSelection
from trainer.config import read_as
from trainer.data.config import DataConfig, SplitConfig
from trainer.fit.device import ComputeConfig
from trainer.run.promise import PromiseConfig
from trainer.transfer.methods import METHODS


class CompareConfig(BaseModel):
    """The methods, the data and the training budget of a comparison."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: DataConfig
    backbone: str
    """`folder:PATH` or `hub:OWNER/NAME[@REVISION]`"""
    methods: tuple[str, ...] = tuple(METHODS)
    seeds: int = Field(default=3, ge=1)
    search: bool = True
    """Try three learning rates per method with the first seed and keep the one that val_select ranks best."""
    image_size: int | None = Field(default=None, ge=16, le=1024)
    """Pixels per side; by default the size that the backbone was trained with."""
    train_images: int | None = Field(default=None, ge=4)
    """A labelling budget: this many training images, the same for all methods; by default all."""
    epochs: int = Field(default=10, ge=1)
    batch_size: int = Field(default=64, ge=2)
    rank: int = Field(default=8, ge=1, le=512)
    views: int = Field(default=4, ge=0, le=64)
    """Augmented views per image that the linear probe caches."""
    augment: AugmentLevel = "colour"
    balance: float = Field(default=0.5, ge=0.0, le=1.0)
    compute: ComputeConfig = ComputeConfig()
    checkpoint_selection: CheckpointSelection = "augrc"
    splits: SplitConfig = SplitConfig()
    promise: PromiseConfig = PromiseConfig()
    seed: int = Field(default=0, ge=0)
    """The runs take this seed and the following ones."""

    @field_validator("methods")
    @classmethod
    def _are_known(cls, methods: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in methods if name not in METHODS]
        if unknown or not methods:
            raise ValueError(f"methods are {', '.join(methods) or 'none'}; known: {', '.join(METHODS)}")
        return tuple(dict.fromkeys(methods))


def read_config(values: Mapping[str, Any]) -> CompareConfig:
    """The configuration from dotted fields; None keeps a default. `ConfigError` lists all faults."""
    return read_as(CompareConfig, None, values)
