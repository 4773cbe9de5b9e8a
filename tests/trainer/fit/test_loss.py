"""Losses against their formulas by hand, and the gradients that make them learn."""

from __future__ import annotations

import math

import pytest
import torch

from trainer.fit.loss import (
    LossConfig,
    class_weights,
    correctness_loss,
    distillation,
    image_losses,
    selective_risk,
    training_loss,
)
from trainer.models import HeadOutputs

LOGITS = torch.tensor([[2.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
LABELS = torch.tensor([0, 0, 1])
ONES = torch.ones(3)


def test_selective_risk_divides_by_the_coverage() -> None:
    losses = torch.tensor([1.0, 2.0, 4.0])
    g = torch.tensor([0.5, 0.25, 0.25])
    coverage = 1.0 / 3.0
    by_hand = (0.5 + 0.5 + 1.0) / 3.0 / coverage + 32.0 * (0.8 - coverage) ** 2
    assert float(selective_risk(losses, torch.logit(g), 0.8)) == pytest.approx(by_hand, rel=1e-5)


def test_a_gate_that_answers_enough_pays_no_penalty_and_all_alike_changes_no_risk() -> None:
    losses = torch.tensor([1.0, 2.0, 4.0])
    for gate in (0.0, 1.0, 3.0):
        assert float(selective_risk(losses, torch.full((3,), gate), 0.5)) == pytest.approx(7 / 3, rel=1e-5)


def test_the_gate_is_soft_and_learns_to_leave_the_lossy_image() -> None:
    gate = torch.zeros(3, requires_grad=True)
    selective_risk(torch.tensor([0.1, 0.1, 5.0]), gate, 0.3).backward()
    assert gate.grad is not None
    assert gate.grad[2] > 0 > gate.grad[0]


def test_distillation_is_the_divergence_at_the_temperature() -> None:
    student, teacher = torch.tensor([[1.0, -1.0]]), torch.tensor([[3.0, 0.0]])
    p = torch.softmax(teacher / 2.0, -1)
    q = torch.softmax(student / 2.0, -1)
    by_hand = 4.0 * float((p * (p / q).log()).sum())
    assert float(distillation(student, teacher, 2.0)) == pytest.approx(by_hand, rel=1e-5)
    assert float(distillation(teacher, teacher, 2.0)) == pytest.approx(0.0, abs=1e-6)


def test_a_teacher_gets_its_share_and_weights_scale_images() -> None:
    config = LossConfig(teacher_weight=0.25, teacher_temperature=2.0)
    teacher = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0]])
    plain = torch.nn.functional.cross_entropy(LOGITS, LABELS, reduction="none")
    weights = torch.tensor([1.0, 2.0, 0.0])
    expected = (0.75 * plain + 0.25 * distillation(LOGITS, teacher, 2.0)) * weights
    assert torch.allclose(image_losses(LOGITS, LABELS, weights, config, teacher), expected)


def test_class_weights_go_from_none_to_equal_classes() -> None:
    labels = torch.tensor([0] * 9 + [1])
    assert torch.allclose(class_weights(labels, 2, 0.0), torch.ones(2))
    full = class_weights(labels, 2, 1.0)
    assert float(9 * full[0]) == pytest.approx(float(full[1])) == pytest.approx(5.0)
    assert torch.isfinite(class_weights(labels, 3, 1.0)).all()


def test_the_gate_of_cross_entropy_learns_correctness() -> None:
    gate = torch.tensor([0.0, 0.0, 0.0], requires_grad=True)
    loss = correctness_loss(LOGITS, gate, LABELS)
    assert loss.item() == pytest.approx(math.log(2.0))
    loss.backward()
    assert gate.grad is not None
    assert gate.grad[0] < 0 < gate.grad[1]


@pytest.mark.parametrize("kind", ["cross_entropy", "selective"])
def test_every_head_receives_a_gradient(kind: str) -> None:
    outputs = HeadOutputs(*(t.clone().requires_grad_() for t in (LOGITS, torch.zeros(3), LOGITS)))
    training_loss(outputs, LABELS, ONES, LossConfig.model_validate({"kind": kind})).backward()
    assert all(part.grad is not None and float(part.grad.abs().sum()) > 0 for part in outputs)
