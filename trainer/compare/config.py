"""The configuration of a comparison: what is compared, and with how much of everything."""

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
    """What is compared, and with how much of everything."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: DataConfig
    backbone: str
    """`folder:PATH` or `hub:OWNER/NAME[@REVISION]`"""
    methods: tuple[str, ...] = tuple(METHODS)
    seeds: int = Field(default=3, ge=1)
    search: bool = True
    """Try three learning rates a method with the first seed and keep what val_select ranks best."""
    image_size: int | None = Field(default=None, ge=16, le=1024)
    """Pixels a side; by default what the backbone was trained with."""
    train_images: int | None = Field(default=None, ge=4)
    """A labelled budget: so many images of the training split, the same for all; by default all."""
    epochs: int = Field(default=10, ge=1)
    batch_size: int = Field(default=64, ge=2)
    rank: int = Field(default=8, ge=1, le=512)
    views: int = Field(default=4, ge=0, le=64)
    """Augmented views an image that the linear probe keeps."""
    augment: AugmentLevel = "colour"
    balance: float = Field(default=0.5, ge=0.0, le=1.0)
    compute: ComputeConfig = ComputeConfig()
    checkpoint_selection: CheckpointSelection = "augrc"
    splits: SplitConfig = SplitConfig()
    promise: PromiseConfig = PromiseConfig()
    seed: int = Field(default=0, ge=0)
    """Of the splits; the runs take this seed and the following ones."""

    @field_validator("methods")
    @classmethod
    def _are_known(cls, methods: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in methods if name not in METHODS]
        if unknown or not methods:
            raise ValueError(f"methods are {', '.join(methods) or 'none'}; known: {', '.join(METHODS)}")
        return tuple(dict.fromkeys(methods))


def read_config(values: Mapping[str, Any]) -> CompareConfig:
    """From dotted fields; None leaves a default. `ConfigError` lists all faults."""
    return read_as(CompareConfig, None, values)
