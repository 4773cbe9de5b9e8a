"""Architectures of the two stages, their heads and what they cost."""

from trainer.models.cost import macs, n_parameters
from trainer.models.registry import BACKBONES, ModelConfig, build_model
from trainer.models.stage import Backbone, HeadOutputs, StageModel

__all__ = [
    "BACKBONES",
    "Backbone",
    "HeadOutputs",
    "ModelConfig",
    "StageModel",
    "build_model",
    "macs",
    "n_parameters",
]
