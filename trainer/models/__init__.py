"""Architectures of the two stages, their heads and their cost."""

from trainer.models.backbones import FAMILIES, TransformerBackbone, TransformerConfig
from trainer.models.cost import macs, n_parameters
from trainer.models.efficientnet import VARIANTS, EfficientNetConfig
from trainer.models.registry import BACKBONES, ModelConfig, ResolvedModel, build_model, resolve_model
from trainer.models.stage import Backbone, HeadOutputs, StageModel

__all__ = [
    "BACKBONES",
    "FAMILIES",
    "VARIANTS",
    "Backbone",
    "EfficientNetConfig",
    "HeadOutputs",
    "ModelConfig",
    "ResolvedModel",
    "StageModel",
    "TransformerBackbone",
    "TransformerConfig",
    "build_model",
    "macs",
    "n_parameters",
    "resolve_model",
]
