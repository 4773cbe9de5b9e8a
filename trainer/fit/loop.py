"""The training loop of one stage: from labelled pixels to the weights that are kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainer.errors import TrainingError
from trainer.fit.batches import FitData, steps_per_epoch
from trainer.fit.checkpoint import Checkpoint, weights_digest
from trainer.fit.checkpoint_selection import EpochMetrics, StepMetrics, best_epoch, measure
from trainer.fit.config import LoopConfig
from trainer.fit.device import EXACT, ComputeConfig, computing, fixed_threads, placed
from trainer.fit.gradient_accumulation import GradientAccumulator, explain_out_of_memory
from trainer.fit.loss import couples_images
from trainer.fit.optimizer import kernel_optimizer
from trainer.fit.schedule import Schedule
from trainer.fit.state import TrainingState
from trainer.fit.threads import ThreadChange, ThreadTuner, without_trace
from trainer.fit.training_batches import TrainingBatches
from trainer.fit.weight_average import WeightAverage
from trainer.models import StageModel


class NonFiniteLoss(TrainingError):
    """The loss is NaN or infinite."""


@dataclass(frozen=True, slots=True)
class StepProgress:
    """Progress of a training after one step."""

    epoch: int
    """From 1"""
    step: int
    """Steps done, over all epochs"""
    steps: int
    """Steps planned now"""
    loss: float
    images_per_second: float
    seconds_left: float


def _ignore(_: object) -> None:
    """The callback of a caller that needs none."""


@dataclass(frozen=True, slots=True)
class Callbacks:
    """Functions that the loop calls as it goes."""

    on_step: Callable[[StepProgress], None] = _ignore
    on_epoch: Callable[[EpochMetrics], None] = _ignore
    on_note: Callable[[str], None] = _ignore
    """Takes a sentence for the user, for example that memory ran out."""


@dataclass(frozen=True, slots=True)
class FitResult:
    """A trained stage."""

    model: StageModel
    """The model passed to `fit`, with the weights of its best epoch, in evaluation mode"""
    best_epoch: int
    """From 1"""
    history: tuple[EpochMetrics, ...]
    seconds: float
    shortened: bool
    """The time budget cut the schedule short, so another run may differ."""
    ended_early: bool
    """Nothing was gained any more, so the plan was cut"""
    micro_batch: int
    """Images per forward pass: fewer than the batch size if memory ran out"""
    threads: tuple[ThreadChange, ...] = ()
    """Every number of threads; one, unless another became faster on the way"""


def fit(
    model: StageModel,
    data: FitData,
    config: LoopConfig,
    *,
    compute: ComputeConfig = EXACT,
    teacher: StageModel | None = None,
    callbacks: Callbacks = Callbacks(),
    out: Path | None = None,
) -> FitResult:
    """Train `model` in place and keep the weights of its best epoch on `data.select`.

    Pixels may have any size: each batch is augmented as it is and then scaled to the input sizes of the
    model and of the teacher, so that both see the same view. Without a teacher, the student learns from
    `data.train.teacher_logits` if present. With `out`, the state is saved to `out/training.safetensors`
    after every epoch, and a later call resumes from it to the weights of an uninterrupted run. If memory
    runs out, batches are computed in smaller parts and `callbacks.on_note` gets a sentence about it. Both
    models are on the CPU afterwards.

    Raises `TrainingError` if views are to grow and a backbone takes one size only; `NonFiniteLoss`, naming
    the step and the batch; `ResumeMismatch` if `out` holds another run; `OutOfMemory` if not even single
    images fit; `NoSuchDevice`.
    """
    if config.first_views < 1.0:
        _require_any_size(model, teacher)
    compute = compute.resolved()
    with explain_out_of_memory("training"), computing(compute) as device, placed(device, model, teacher):
        model.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        batches = TrainingBatches(data, model.n_classes, config, compute, device)
        state = _new_state(model, len(data.train), config, callbacks)
        checkpoint = None if out is None else _checkpoint(out, model, data, config, compute, teacher)
        if checkpoint is not None:
            state.resume(checkpoint)
        tuner = ThreadTuner(_trial_of(model, teacher, batches, state, config), fixed=fixed_threads(compute))
        tuner.start(state.schedule.steps - state.step, state.thread_changes)
        state.thread_changes = tuner.changes

        while not state.finished:
            epoch = len(state.history) + 1
            torch.manual_seed(_epoch_seed(config.seed, epoch))
            generator = torch.Generator().manual_seed(_epoch_seed(config.seed, epoch))
            losses: list[float] = []
            for rows in batches.epoch(generator):
                rate = state.apply_learning_rate()
                batch = batches.draw(rows, partial(state.schedule.side, state.step), generator)
                loss = state.accumulator.backward(
                    len(rows),
                    partial(batch.outputs, model),
                    partial(batch.loss, teacher, config.objective),
                    couples_images=couples_images(config.objective),
                    model=model,
                )
                losses.append(finite(loss, state.step, epoch, rows))
                torch.nn.utils.clip_grad_norm_(model.parameters(), config.gradient_clip)
                state.optimizer.step()
                state.average.update()
                tuner.after_step(state.step + 1, state.schedule.work_of(state.step))
                state.step += 1
                callbacks.on_step(_progress(state, epoch, losses[-1], config.batch_size))
                if state.finished:
                    break

            step_metrics = StepMetrics(epoch, rate, sum(losses) / len(losses))
            with tuner.not_counted():
                metrics = state.accumulator.evaluate(
                    partial(measure, state.average.model, data.select, batches.normaliser, step_metrics)
                )
                state.close_epoch(metrics, config)
                if checkpoint is not None:
                    state.save(checkpoint)
                callbacks.on_epoch(metrics)

        state.load_best()
        return FitResult(
            model=model.eval(),
            best_epoch=best_epoch(state.history, config.checkpoint_selection).epoch,
            history=tuple(state.history),
            seconds=state.elapsed,
            shortened=state.schedule.was_shortened,
            ended_early=state.schedule.ends_early,
            micro_batch=state.accumulator.micro_batch,
            threads=tuple(tuner.changes),
        )


def _trial_of(
    model: StageModel,
    teacher: StageModel | None,
    batches: TrainingBatches,
    state: TrainingState,
    config: LoopConfig,
) -> Callable[[], None]:
    """One step without its update, for timing; weights, statistics and random states do not change."""
    rows = batches.first_rows()

    def trial() -> None:
        model.train()
        with without_trace(model):
            generator = torch.Generator().manual_seed(0)
            batch = batches.draw(rows, partial(state.schedule.side, state.step), generator)
            state.accumulator.backward(
                len(rows),
                partial(batch.outputs, model),
                partial(batch.loss, teacher, config.objective),
                couples_images=couples_images(config.objective),
                model=model,
            )

    return trial


def _new_state(model: StageModel, n_train: int, config: LoopConfig, callbacks: Callbacks) -> TrainingState:
    schedule = Schedule(
        config.epochs * steps_per_epoch(n_train, config.batch_size),
        lr=config.lr,
        warmup=config.warmup,
        time_budget_s=config.time_budget_s,
        first_views=config.first_views,
        least_steps=config.least_epochs * steps_per_epoch(n_train, config.batch_size),
    )
    return TrainingState(
        model,
        WeightAverage(model, config.ema_decay),
        kernel_optimizer(model, lr=config.lr, weight_decay=config.weight_decay),
        schedule,
        GradientAccumulator(config.batch_size, on_note=callbacks.on_note),
    )


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


def _epoch_seed(seed: int, epoch: int) -> int:
    """Differs between all epochs of all seeds, so a resumed run needs no saved random state."""
    return seed * 1_000_003 + epoch


def finite(loss: Tensor, step: int, epoch: int, rows: Tensor) -> float:
    """The loss of a step as a number; `NonFiniteLoss` names the step and the images of its batch."""
    value = float(loss.detach())
    if not math.isfinite(value):
        first = ", ".join(str(int(r)) for r in rows[:8])
        raise NonFiniteLoss(
            f"loss is {value} at step {step} (epoch {epoch}), on the batch of {len(rows)} training images "
            f"{first}, ...; a lower lr (or compute.precision fp32) may help"
        )
    return value


def _without_defaults_of_later_versions(config: LoopConfig) -> dict[str, Any]:
    """Plain values, without fields that checkpoints of earlier versions lack and that change nothing."""
    usual = LoopConfig()
    idle = {name for name in ("least_epochs", "patience") if getattr(config, name) == getattr(usual, name)}
    return config.model_dump(mode="json", exclude=idle)


def _checkpoint(
    out: Path,
    model: StageModel,
    data: FitData,
    config: LoopConfig,
    compute: ComputeConfig,
    teacher: StageModel | None,
) -> Checkpoint:
    """The checkpoint in `out`, with everything that must agree for a resumed run to be the same run."""
    fingerprint = {
        "config": _without_defaults_of_later_versions(config),
        # A resumed run keeps its number of threads, whatever is configured now.
        "compute": compute.model_dump(mode="json", exclude={"threads"}),
        "model shapes": {name: list(t.shape) for name, t in model.state_dict().items()},
        "training data": data.train.digest(),
        "selection data": data.select.digest(),
        "teacher": None if teacher is None else weights_digest(teacher.state_dict()),
    }
    return Checkpoint(out / "training.safetensors", fingerprint)
