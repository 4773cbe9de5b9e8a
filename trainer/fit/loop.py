"""The training loop of one stage: from labelled pixels to the weights that are kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from trainer.choices import CheckpointSelection
from trainer.errors import TrainingError
from trainer.fit.augment import AugmentConfig, augment
from trainer.fit.batches import (
    LabelledPixels,
    Normaliser,
    epoch_order,
    shrink,
    step_rows,
    steps_per_epoch,
    to_size,
)
from trainer.fit.checkpoint import weights_digest
from trainer.fit.checkpoint_selection import EpochMetrics, best_epoch, measure
from trainer.fit.device import EXACT, ComputeConfig, computing, placed
from trainer.fit.gradient_accumulation import MicroBatches, telling_memory
from trainer.fit.loss import ObjectiveConfig, class_weights, couples_images, training_loss
from trainer.fit.optimizer import kernel_optimizer
from trainer.fit.schedule import Schedule
from trainer.fit.state import TrainingState
from trainer.fit.weight_average import WeightAverage
from trainer.models import HeadOutputs, StageModel


class NonFiniteLoss(TrainingError):
    """The loss became NaN or infinite."""


class LoopConfig(BaseModel):
    """How one stage is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(default=30, ge=1)
    batch_size: int = Field(default=128, ge=2)
    lr: float = Field(default=7e-3, gt=0.0)
    """Peak learning rate, see `trainer.fit.optimizer`."""
    weight_decay: float = Field(default=0.05, ge=0.0)
    """Of matrices and kernels; biases and normalisation are free."""
    warmup: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Share of the steps in which the learning rate rises; then a cosine takes it to zero."""
    gradient_clip: float = Field(default=5.0, gt=0.0)
    """Largest norm of the gradient."""
    ema_decay: float = Field(default=0.995, ge=0.0, lt=1.0)
    """Of the averaged weights, which are the ones that are measured and kept; 0 averages nothing."""
    balance: float = Field(default=0.0, ge=0.0, le=1.0)
    """0 shows every image once an epoch; 1 shows every class equally often."""
    objective: ObjectiveConfig = ObjectiveConfig()
    augment: AugmentConfig = AugmentConfig()
    first_views: float = Field(default=1.0, ge=0.25, le=1.0)
    """Share of the full side that views start with; they grow, see `trainer.fit.schedule`. For convolutional
    networks."""
    time_budget_s: float | None = Field(default=None, gt=0.0)
    """Fewer steps are trained, on a shorter schedule, where the planned ones would take longer."""
    checkpoint_selection: CheckpointSelection = "augrc"
    seed: int = Field(default=0, ge=0)


@dataclass(frozen=True, slots=True)
class StepProgress:
    """Where training is, after a step."""

    epoch: int
    """From 1"""
    step: int
    """Steps done, over all epochs"""
    steps: int
    """Steps now planned"""
    loss: float
    images_per_second: float
    seconds_left: float


@dataclass(frozen=True, slots=True)
class FitResult:
    """A trained stage."""

    model: StageModel
    """The model that was handed in, with the best epoch's weights, in evaluation mode"""
    best_epoch: int
    """From 1"""
    history: tuple[EpochMetrics, ...]
    seconds: float
    shortened: bool
    """The time budget cut the schedule short, so another run may differ."""
    micro_batch: int
    """Images that went through the network at once: fewer than the batch where memory ran out"""


def fit(
    model: StageModel,
    train: LabelledPixels,
    select: LabelledPixels,
    spec_mean_std: tuple[Sequence[float], Sequence[float]],
    config: LoopConfig,
    *,
    compute: ComputeConfig = EXACT,
    teacher: StageModel | None = None,
    on_epoch: Callable[[EpochMetrics], None] | None = None,
    on_step: Callable[[StepProgress], None] | None = None,
    on_note: Callable[[str], None] = lambda _: None,
    out: Path | None = None,
) -> FitResult:
    """Train `model` in place and keep the weights of its best epoch on `select`.

    Pixels may be of any size: each batch is augmented as it is and then scaled to the model's and the
    teacher's own input size, so that both see the same view; without a teacher, `train.taught` teaches
    where it is given. With `out`, the state is kept in
    `out/training.safetensors` after every epoch, and a run that finds one goes on from there to the
    weights it would have reached uninterrupted. Where memory runs out, batches are computed in smaller
    parts and `on_note` hears of it. Both models are back where they were, on the CPU, afterwards.

    Raises TrainingError where views are to grow and a backbone takes one size only; NonFiniteLoss, naming
    the step and the batch; ResumeMismatch where `out` holds another run; OutOfMemory where not even
    single images fit; NoSuchDevice.
    """
    if config.first_views < 1.0:
        _require_any_size(model, teacher)
    compute = compute.resolved()
    with telling_memory("training"), computing(compute) as device, placed(device, model, teacher):
        model.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        normalise = Normaliser.from_mean_std(spec_mean_std)
        loss_weights = _loss_weights(train, model.n_classes, config.objective.class_weight_power)
        steps = config.epochs * steps_per_epoch(len(train), config.batch_size)
        state = TrainingState(
            model,
            WeightAverage(model, config.ema_decay),
            kernel_optimizer(model, lr=config.lr, weight_decay=config.weight_decay),
            Schedule(
                steps,
                lr=config.lr,
                warmup=config.warmup,
                time_budget_s=config.time_budget_s,
                first_views=config.first_views,
            ),
            MicroBatches(config.batch_size, tell=on_note),
        )
        checkpoint = None if out is None else out / "training.safetensors"
        fingerprint = (
            {} if checkpoint is None else _fingerprint(model, train, select, config, compute, teacher)
        )
        if checkpoint is not None and checkpoint.exists():
            state.resume(checkpoint, fingerprint)

        while not state.finished:
            epoch = len(state.history) + 1
            torch.manual_seed(_epoch_seed(config.seed, epoch))
            generator = torch.Generator().manual_seed(_epoch_seed(config.seed, epoch))
            losses: list[float] = []
            rate = config.lr
            for rows in step_rows(epoch_order(train.labels, config.balance, generator), config.batch_size):
                rate = state.schedule.rate(state.step)
                for group in state.optimizer.param_groups:
                    group["lr"] = rate
                small = partial(state.schedule.side, state.step)
                pixels = shrink(train.pixels[rows].to(device), small(train.pixels.shape[1]))
                batch = _Batch(
                    augment(pixels, config.augment, generator),
                    small,
                    train.labels[rows].to(device),
                    loss_weights[rows].to(device),
                    None if train.taught is None else train.taught[rows].to(device),
                    normalise,
                    compute,
                )
                loss = state.micro.backward(
                    len(rows),
                    partial(batch.outputs, model),
                    partial(batch.loss, teacher, config.objective),
                    couples=couples_images(config.objective),
                    model=model,
                )
                losses.append(finite(loss, state.step, epoch, rows))
                torch.nn.utils.clip_grad_norm_(model.parameters(), config.gradient_clip)
                state.optimizer.step()
                state.average.update()
                state.step += 1
                if on_step is not None:
                    on_step(_progress(state, epoch, losses[-1], config.batch_size))
                if state.finished:
                    break

            metrics = state.micro.measure(
                partial(
                    measure,
                    state.average.model,
                    select,
                    normalise,
                    epoch=epoch,
                    learning_rate=rate,
                    train_loss=sum(losses) / len(losses),
                )
            )
            state.close_epoch(metrics, config.checkpoint_selection)
            if checkpoint is not None:
                state.save(checkpoint, fingerprint)
            if on_epoch is not None:
                on_epoch(metrics)

        state.load_best()
        return FitResult(
            model=model.eval(),
            best_epoch=best_epoch(state.history, config.checkpoint_selection).epoch,
            history=tuple(state.history),
            seconds=state.elapsed,
            shortened=state.schedule.was_shortened,
            micro_batch=state.micro.size,
        )


@dataclass(frozen=True, slots=True)
class _Batch:
    """The images of one step, augmented, on the device."""

    views: Tensor
    side: Callable[[int], int]
    """Pixels a side of a model's full input -> of its input in this step"""
    labels: Tensor
    weights: Tensor
    taught: Tensor | None
    """[B, K], what a teacher said about the images before they were augmented"""
    normalise: Normaliser
    compute: ComputeConfig

    def outputs(self, model: StageModel, part: slice) -> HeadOutputs:
        """Of these images, float32."""
        with self.compute.autocast():
            x = self.normalise(to_size(self.views[part], self.side(model.image_size)))
            outputs = model.look(x.contiguous(memory_format=torch.channels_last))
        return HeadOutputs(*(each.float() for each in outputs))

    def loss(
        self, teacher: StageModel | None, objective: ObjectiveConfig, outputs: HeadOutputs, part: slice
    ) -> Tensor:
        taught = None if self.taught is None else self.taught[part]
        if teacher is not None:
            with torch.no_grad():
                taught = self.outputs(teacher.eval(), part).logits
        return training_loss(outputs, self.labels[part], self.weights[part], objective, taught)


def _require_any_size(*models: StageModel | None) -> None:
    for model in models:
        if model is not None and not model.backbone.any_size:
            raise TrainingError(
                f"first_views is below 1, but {type(model.backbone).__name__} takes images of one size only; "
                "leave it out, or 1"
            )


def _progress(state: TrainingState, epoch: int, loss: float, batch_size: int) -> StepProgress:
    elapsed = state.elapsed
    return StepProgress(
        epoch=epoch,
        step=state.step,
        steps=state.schedule.steps,
        loss=loss,
        images_per_second=state.step * batch_size / max(elapsed, 1e-9),
        seconds_left=state.schedule.seconds_left(state.step, elapsed),
    )


def _loss_weights(train: LabelledPixels, n_classes: int, power: float) -> Tensor:
    """float32 [n]: each image's own weight times its class's."""
    of_class = class_weights(train.labels, n_classes, power)[train.labels]
    return of_class if train.weights is None else of_class * train.weights


def _epoch_seed(seed: int, epoch: int) -> int:
    """Different for every epoch of every seed, so a resumed run needs no saved random state."""
    return seed * 1_000_003 + epoch


def finite(loss: Tensor, step: int, epoch: int, rows: Tensor) -> float:
    """The loss of a step; `NonFiniteLoss` names the step and the images of its batch."""
    value = float(loss.detach())
    if not math.isfinite(value):
        first = ", ".join(str(int(r)) for r in rows[:8])
        raise NonFiniteLoss(
            f"loss is {value} at step {step} (epoch {epoch}), on the batch of {len(rows)} training images "
            f"{first}, ...; a lower lr (or compute.precision fp32) may help"
        )
    return value


def _fingerprint(
    model: StageModel,
    train: LabelledPixels,
    select: LabelledPixels,
    config: LoopConfig,
    compute: ComputeConfig,
    teacher: StageModel | None,
) -> dict[str, Any]:
    """What must be the same for a resumed run to be the same run."""
    return {
        "config": config.model_dump(mode="json"),
        "compute": compute.model_dump(mode="json"),
        "model shapes": {name: list(t.shape) for name, t in model.state_dict().items()},
        "training data": train.digest(),
        "selection data": select.digest(),
        "teacher": None if teacher is None else weights_digest(teacher.state_dict()),
    }
