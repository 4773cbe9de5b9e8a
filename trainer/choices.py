"""Sets of choices, each spelled once for the command line and the configurations; imports no torch.

A name here is what a user types and what config.yaml holds. The modules that act on a set keep a mapping
by these names (`trainer.fit.augment.LEVELS`, for example), and a test compares the two.
"""

from __future__ import annotations

from typing import Literal, get_args

CertificationMethod = Literal["exact", "look-ahead", "scrc-i", "scrc-t"]
"""Methods of certification"""
CertificateName = Literal[CertificationMethod, "none"]
"""The same, or no certificate"""
ScoreChoice = Literal["softmax", "margin", "gate", "best"]
"""Scores that rank the images; `best` is whichever ranks val_select best"""
Normalisation = Literal["imagenet", "minus-one-one", "zero-one", "bytes"]
"""Pixel values that a wrapped model expects"""

SplitOrigin = Literal["drawn", "folders"]
"""Where the splits come from: drawn by demur, or named by the folders of the data set"""
CheckpointSelection = Literal["augrc", "loss", "mcc"]
"""Metric on val_select by which the kept epoch is chosen"""
AugmentLevel = Literal["none", "geometric", "colour", "degraded", "ladder"]
"""Strength of the augmentation of training images"""
Device = Literal["auto", "cpu", "cuda"]
"""Device that trains"""
Precision = Literal["auto", "fp32", "bf16"]
"""Precision of the activations in training"""

NamedTask = Literal["roadwork"]
"""Reference tasks with figures of their own"""

AdapterMethod = Literal["lora", "dora"]
"""Low-rank adapters"""
AdapterTargets = Literal["qv", "all-linear"]
"""Matrices that get an adapter"""
Adapt = Literal["lora", "dora", "head", "full"]
"""Which weights of a pretrained backbone are trained"""
ComparedMethod = Literal["full", "lora", "lora-all", "dora", "dora-all", "head"]
"""Training methods of `demur compare`"""

ConvNet = Literal["resnet-small", "cnn-tiny"]
"""Convolutional networks that start from random weights"""
TransformerFamily = Literal["vit", "dinov2", "dinov2-registers", "dinov3"]
"""Vision transformers, from random or from pretrained weights"""
EfficientNetVariant = Literal["efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2"]
"""EfficientNets with ImageNet weights"""
ImageModel = Literal[ConvNet, TransformerFamily, EfficientNetVariant]
"""Every architecture that a stage can have"""

PretrainSplit = Literal["train", "all"]
"""Part of the data that a pretraining reads"""
PretrainRows = Literal["auto", PretrainSplit]
"""Rows of the data that a pretraining reads"""


def names(choices: object) -> tuple[str, ...]:
    """The names of one of the sets above, in their order."""
    return get_args(choices)
