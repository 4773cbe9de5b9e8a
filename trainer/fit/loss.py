"""The training loss: cross entropy, distillation, and SelectiveNet's selective risk.

Every part is a function of tensors; `training_loss` combines them according to `LossConfig`. The same
per-image loss, from labels and from a teacher if there is one, enters either kind of loss.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn import functional

from trainer.models import HeadOutputs

COVERAGE_PENALTY = 32.0
"""lambda of SelectiveNet's interior-point penalty (arXiv 1901.09192, equation 2)."""


class LossConfig(BaseModel):
    """The kind of loss and its constants."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["cross_entropy", "selective"] = "cross_entropy"
    target_coverage: float = Field(default=0.9, gt=0.0, le=1.0)
    """`selective` only: share of a batch that the gate should answer."""
    label_smoothing: float = Field(default=0.0, ge=0.0, lt=0.5)
    class_weight_power: float = Field(default=0.0, ge=0.0, le=1.0)
    """0 weighs every image equally; 1 weighs every class equally, however rare."""
    teacher_temperature: float = Field(default=2.0, gt=0.0)
    teacher_weight: float = Field(default=0.8, ge=0.0, le=1.0)
    """Share of the distillation term if there is a teacher; the labels get the rest."""


def class_weights(labels: Tensor, n_classes: int, power: float) -> Tensor:
    """float32 [K]: (n / (K n_k)) ** power, so that an average image weighs 1 at power 0 and 1."""
    counts = torch.bincount(labels, minlength=n_classes).clamp(min=1).to(torch.float32)
    return (counts.sum() / (n_classes * counts)) ** power


def distillation(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T^2 KL(teacher || student) at temperature T per image, [B] (Hinton et al., arXiv 1503.02531).

    The factor T^2 keeps the size of the gradient independent of T.
    """
    log_student = functional.log_softmax(student / temperature, dim=-1)
    log_teacher = functional.log_softmax(teacher / temperature, dim=-1)
    kl = functional.kl_div(log_student, log_teacher, reduction="none", log_target=True).sum(dim=-1)
    return temperature**2 * kl


def image_losses(
    logits: Tensor,
    labels: Tensor,
    weights: Tensor,
    config: LossConfig,
    teacher_logits: Tensor | None = None,
) -> Tensor:
    """Loss of each image, [B]: cross entropy, mixed with distillation if there are teacher logits.

    `labels` int64 [B]; `weights` [B], one per image; `logits`, `teacher_logits` [B, K].
    """
    losses = functional.cross_entropy(
        logits, labels, reduction="none", label_smoothing=config.label_smoothing
    )
    if teacher_logits is not None:
        taught = distillation(logits, teacher_logits, config.teacher_temperature)
        losses = (1.0 - config.teacher_weight) * losses + config.teacher_weight * taught
    return losses * weights


def selective_risk(losses: Tensor, gate: Tensor, target_coverage: float) -> Tensor:
    """mean(loss g) / mean(g) + 32 max(0, c - mean(g))^2, a scalar (arXiv 1901.09192, equations 1-2).

    `losses` [B]; `gate` [B], logits. g = sigmoid(gate) is soft, so the gate learns too. The paper
    divides by the coverage; without the division the gate lowers the risk by answering less.
    """
    g = torch.sigmoid(gate)
    coverage = g.mean()
    risk = (losses * g).mean() / coverage.clamp(min=1e-6)
    return risk + COVERAGE_PENALTY * torch.relu(target_coverage - coverage) ** 2


def correctness_loss(logits: Tensor, gate: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy of the gate against "the classifier is right", a scalar: the meaning of the gate."""
    correct = (logits.detach().argmax(dim=-1) == labels).to(gate.dtype)
    return functional.binary_cross_entropy_with_logits(gate, correct)


def _cross_entropy_loss(
    outputs: HeadOutputs, main: Tensor, auxiliary: Tensor, labels: Tensor, config: LossConfig
) -> Tensor:
    """Both heads on every image; the gate, with a small weight, on the correctness of the classifier."""
    gate_loss = correctness_loss(outputs.logits, outputs.gate, labels)
    return 0.5 * main.mean() + 0.5 * auxiliary.mean() + 0.1 * gate_loss


def _selective_loss(
    outputs: HeadOutputs, main: Tensor, auxiliary: Tensor, labels: Tensor, config: LossConfig
) -> Tensor:
    """0.5 L_selective + 0.5 L_auxiliary (arXiv 1901.09192, equation 3)."""
    return 0.5 * selective_risk(main, outputs.gate, config.target_coverage) + 0.5 * auxiliary.mean()


_BatchLoss = Callable[[HeadOutputs, Tensor, Tensor, Tensor, LossConfig], Tensor]
_BATCH_LOSSES: Mapping[str, _BatchLoss] = MappingProxyType(
    {"cross_entropy": _cross_entropy_loss, "selective": _selective_loss}
)


def couples_images(config: LossConfig) -> bool:
    """Whether the loss of a batch is no mean over its images, as the selective risk divides by coverage."""
    return config.kind == "selective"


def training_loss(
    outputs: HeadOutputs,
    labels: Tensor,
    weights: Tensor,
    config: LossConfig,
    teacher_logits: Tensor | None = None,
) -> Tensor:
    """The loss of a batch, a scalar. `labels` int64 [B]; `weights` float32 [B]."""
    main = image_losses(outputs.logits, labels, weights, config, teacher_logits)
    auxiliary = image_losses(outputs.auxiliary, labels, weights, config, teacher_logits)
    return _BATCH_LOSSES[config.kind](outputs, main, auxiliary, labels, config)
