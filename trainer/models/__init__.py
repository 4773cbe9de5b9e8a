"""Architectures of the two stages, their heads and what they cost."""

from trainer.models.backbones import FAMILIES, TransformerBackbone, TransformerConfig
from trainer.models.cost import macs, n_parameters
from trainer.models.efficientnet import VARIANTS, EfficientNetConfig
from trainer.models.registry import BACKBONES, ModelConfig, build_model
from trainer.models.stage import Backbone, HeadOutputs, StageModel

__all__ = [
    "BACKBONES",
    "FAMILIES",
    "VARIANTS",
    "Backbone",
    "EfficientNetConfig",
    "HeadOutputs",
    "ModelConfig",
    "StageModel",
    "TransformerBackbone",
    "TransformerConfig",
    "build_model",
    "macs",
    "n_parameters",
]
