"""Augmented batches of one training, and the outputs and the loss of a model on parts of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.fit.augment import augment
from trainer.fit.batches import FitData, LabelledPixels, Normaliser, epoch_order, shrink, step_rows, to_size
from trainer.fit.config import LoopConfig
from trainer.fit.device import ComputeConfig
from trainer.fit.loss import LossConfig, class_weights, training_loss
from trainer.models import HeadOutputs, StageModel


class TrainingBatches:
    """The training images of a stage, drawn step by step."""

    def __init__(
        self, data: FitData, n_classes: int, config: LoopConfig, compute: ComputeConfig, device: torch.device
    ) -> None:
        self.normaliser = Normaliser.from_mean_std(data.mean_std)
        self._train = data.train
        self._weights = _loss_weights(data.train, n_classes, config.objective.class_weight_power)
        self._config = config
        self._compute = compute
        self._device = device

    def epoch(self, generator: torch.Generator) -> Iterator[Tensor]:
        """The rows of each step of one epoch."""
        order = epoch_order(self._train.labels, self._config.balance, generator)
        return step_rows(order, self._config.batch_size)

    def first_rows(self) -> Tensor:
        """Rows of one batch, for timing."""
        return torch.arange(min(self._config.batch_size, len(self._train)))

    def draw(self, rows: Tensor, side: Callable[[int], int], generator: torch.Generator) -> Batch:
        """These rows, augmented; `side`: pixels per side of a full input -> of the input in this step."""
        train, device = self._train, self._device
        pixels = shrink(train.pixels[rows].to(device), side(train.pixels.shape[1]))
        return Batch(
            augment(pixels, self._config.augment, generator),
            side,
            train.labels[rows].to(device),
            self._weights[rows].to(device),
            None if train.teacher_logits is None else train.teacher_logits[rows].to(device),
            self.normaliser,
            self._compute,
        )


@dataclass(frozen=True, slots=True)
class Batch:
    """The images of one step, augmented, on the device."""

    views: Tensor
    side: Callable[[int], int]
    """Pixels per side of a model's full input -> of its input in this step"""
    labels: Tensor
    weights: Tensor
    teacher_logits: Tensor | None
    """[B, K], a teacher's logits of the images before augmentation"""
    normaliser: Normaliser
    compute: ComputeConfig

    def outputs(self, model: StageModel, part: slice) -> HeadOutputs:
        """Outputs of `model` on a part of the batch, float32."""
        with self.compute.autocast():
            x = self.normaliser(to_size(self.views[part], self.side(model.image_size)))
            outputs = model.single_pass(x.contiguous(memory_format=torch.channels_last))
        return HeadOutputs(*(each.float() for each in outputs))

    def loss(
        self, teacher: StageModel | None, config: LossConfig, outputs: HeadOutputs, part: slice
    ) -> Tensor:
        """Mean loss of a part of the batch, a scalar."""
        logits = None if self.teacher_logits is None else self.teacher_logits[part]
        if teacher is not None:
            with torch.no_grad():
                logits = self.outputs(teacher.eval(), part).logits
        return training_loss(outputs, self.labels[part], self.weights[part], config, logits)


def _loss_weights(train: LabelledPixels, n_classes: int, power: float) -> Tensor:
    """float32 [n]: the weight of each image times the weight of its class."""
    by_class = class_weights(train.labels, n_classes, power)[train.labels]
    return by_class if train.weights is None else by_class * train.weights
