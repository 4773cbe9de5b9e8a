"""The state of a training: all that goes from one epoch to the next, saved so that a killed run resumes."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from trainer.fit.checkpoint import (
    Checkpoint,
    optimizer_tensors,
    prefixed,
    restore_optimizer,
    unprefixed,
    weights_digest,
)
from trainer.fit.checkpoint_selection import EpochMetrics, best_epoch, has_stalled
from trainer.fit.config import LoopConfig
from trainer.fit.gradient_accumulation import GradientAccumulator
from trainer.fit.schedule import Schedule
from trainer.fit.threads import ThreadChange
from trainer.fit.weight_average import WeightAverage
from trainer.models import StageModel


class TrainingState:
    """Weights, their average, the best of them so far, the optimiser, the schedule and the history."""

    def __init__(
        self,
        model: StageModel,
        average: WeightAverage,
        optimizer: torch.optim.Optimizer,
        schedule: Schedule,
        accumulator: GradientAccumulator,
    ) -> None:
        self.model = model
        self.average = average
        self.optimizer = optimizer
        self.schedule = schedule
        self.accumulator = accumulator
        self._mutable = mutable_tensors(model)
        self.best = self._copy_of_average()
        """Tensors of the best epoch that training changes, by name"""
        self.history: list[EpochMetrics] = []
        self.thread_changes: list[ThreadChange] = []
        self.step = 0
        self._elapsed_before = 0.0
        self._started = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds of training, including those before an interruption."""
        return self._elapsed_before + time.monotonic() - self._started

    @property
    def finished(self) -> bool:
        return self.step >= self.schedule.steps

    def close_epoch(self, metrics: EpochMetrics, config: LoopConfig) -> None:
        """Append the metrics of an epoch, keep its weights if it is the best, and plan the rest."""
        self.history.append(metrics)
        if best_epoch(self.history, config.checkpoint_selection) is metrics:
            self.best = self._copy_of_average()
        self.schedule.keep_to_budget(self.step, self.elapsed)
        if not self.schedule.ends_early and has_stalled(self.history, config):
            self.schedule.end_within(self.step, self.step // len(self.history))

    def apply_learning_rate(self) -> float:
        """Set the optimiser to the learning rate of the current step; returns it."""
        rate = self.schedule.rate(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        return rate

    def save(self, checkpoint: Checkpoint) -> None:
        """Write all that training changes."""
        tensors = {
            **prefixed("model", self._of(self.model)),
            **prefixed("average", self._of(self.average.model)),
            **prefixed("best", self.best),
            **prefixed("optimizer", optimizer_tensors(self.optimizer)),
        }
        state = {
            "step": self.step,
            "steps": self.schedule.steps,
            "micro_batch": self.accumulator.micro_batch,
            "shortened": self.schedule.was_shortened,
            "ends_early": self.schedule.ends_early,
            "elapsed_s": self.elapsed,
            "history": [metrics.row() for metrics in self.history],
            "threads": [[change.step, change.threads] for change in self.thread_changes],
        }
        self._with_frozen_weights(checkpoint).save(tensors, state)

    def resume(self, checkpoint: Checkpoint) -> None:
        """Continue from what `save` wrote, if anything; raises `ResumeMismatch` if another run wrote it."""
        found = self._with_frozen_weights(checkpoint).load()
        if found is None:
            return
        tensors, state = found
        self.model.load_state_dict(unprefixed("model", tensors), strict=False)
        self.average.model.load_state_dict(unprefixed("average", tensors), strict=False)
        restore_optimizer(self.optimizer, unprefixed("optimizer", tensors))
        self.best = unprefixed("best", tensors)
        self.history = [EpochMetrics(**row) for row in state["history"]]
        self.thread_changes = [ThreadChange(*change) for change in state.get("threads", ())]
        self.step = self.average.updates = state["step"]
        self.accumulator.micro_batch = state["micro_batch"]
        self._elapsed_before = state["elapsed_s"]
        self.schedule.resume(
            state["steps"],
            state["shortened"],
            self.step,
            self._elapsed_before,
            ends_early=state.get("ends_early", False),
        )

    def load_best(self) -> None:
        """Load the weights of the best epoch into the model."""
        self.model.load_state_dict(self.best, strict=False)

    def _of(self, model: StageModel) -> dict[str, Tensor]:
        """The tensors of `model` that training changes; frozen ones are read again from their source."""
        return {name: tensor for name, tensor in model.state_dict().items() if name in self._mutable}

    def _copy_of_average(self) -> dict[str, Tensor]:
        return {name: tensor.detach().clone() for name, tensor in self._of(self.average.model).items()}

    def _with_frozen_weights(self, checkpoint: Checkpoint) -> Checkpoint:
        """`checkpoint`, bound to the frozen weights too, which it does not hold."""
        frozen = {n: tensor for n, tensor in self.model.state_dict().items() if n not in self._mutable}
        return checkpoint.bound_to("frozen weights", weights_digest(frozen))


def mutable_tensors(model: StageModel) -> frozenset[str]:
    """Names of the tensors that training may change: trained weights and batch statistics."""
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    return frozenset(model.state_dict()) - frozen
