"""Everything that a training carries from one epoch to the next, and how it survives being killed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainer.fit.checkpoint import (
    check_fingerprint,
    load_checkpoint,
    optimizer_tensors,
    prefixed,
    restore_optimizer,
    save_checkpoint,
    unprefixed,
    weights_digest,
)
from trainer.fit.checkpoint_selection import EpochMetrics, best_epoch
from trainer.fit.gradient_accumulation import MicroBatches
from trainer.fit.schedule import Schedule
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
        micro: MicroBatches,
    ) -> None:
        self.model = model
        self.average = average
        self.optimizer = optimizer
        self.schedule = schedule
        self.micro = micro
        self._changing = changing(model)
        self.best = self._copy_of_average()
        """Of what training changes, by name"""
        self.history: list[EpochMetrics] = []
        self.step = 0
        self._elapsed_before = 0.0
        self._started = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds of training, those before an interruption included."""
        return self._elapsed_before + time.monotonic() - self._started

    @property
    def finished(self) -> bool:
        return self.step >= self.schedule.steps

    def close_epoch(self, metrics: EpochMetrics, checkpoint_selection: str) -> None:
        """Enter an epoch's metrics, keep its weights where it is the best, and plan the rest."""
        self.history.append(metrics)
        if best_epoch(self.history, checkpoint_selection) is metrics:
            self.best = self._copy_of_average()
        self.schedule.keep_to_budget(self.step, self.elapsed)

    def save(self, path: Path, fingerprint: dict[str, Any]) -> None:
        """Write all that training changes; `fingerprint` says which run it belongs to."""
        tensors = {
            **prefixed("model", self._of(self.model)),
            **prefixed("average", self._of(self.average.model)),
            **prefixed("best", self.best),
            **prefixed("optimizer", optimizer_tensors(self.optimizer)),
        }
        state = {
            "fingerprint": fingerprint | {"frozen weights": self._digest_of_frozen()},
            "step": self.step,
            "steps": self.schedule.steps,
            "micro_batch": self.micro.size,
            "shortened": self.schedule.was_shortened,
            "elapsed_s": self.elapsed,
            "history": [metrics.row() for metrics in self.history],
        }
        save_checkpoint(path, tensors, state)

    def resume(self, path: Path, fingerprint: dict[str, Any]) -> None:
        """Go on from what `save` wrote; ResumeMismatch where another run wrote it."""
        tensors, state = load_checkpoint(path)
        expected = fingerprint | {"frozen weights": self._digest_of_frozen()}
        check_fingerprint(path, state["fingerprint"], expected)
        self.model.load_state_dict(unprefixed("model", tensors), strict=False)
        self.average.model.load_state_dict(unprefixed("average", tensors), strict=False)
        restore_optimizer(self.optimizer, unprefixed("optimizer", tensors))
        self.best = unprefixed("best", tensors)
        self.history = [EpochMetrics(**row) for row in state["history"]]
        self.step = self.average.updates = state["step"]
        self.micro.size = state["micro_batch"]
        self._elapsed_before = state["elapsed_s"]
        self.schedule.resume(state["steps"], state["shortened"], self.step, self._elapsed_before)

    def load_best(self) -> None:
        """Give the model the weights of its best epoch."""
        self.model.load_state_dict(self.best, strict=False)

    def _of(self, model: StageModel) -> dict[str, Tensor]:
        """What training changes of `model`; the frozen rest comes from where it came from."""
        return {name: tensor for name, tensor in model.state_dict().items() if name in self._changing}

    def _copy_of_average(self) -> dict[str, Tensor]:
        return {name: tensor.detach().clone() for name, tensor in self._of(self.average.model).items()}

    def _digest_of_frozen(self) -> str:
        """sha256 of the weights that are not kept, so that a run resumes on the same ones."""
        frozen = {n: tensor for n, tensor in self.model.state_dict().items() if n not in self._changing}
        return weights_digest(frozen)


def changing(model: StageModel) -> frozenset[str]:
    """Names of the tensors that training may change: trained weights, and statistics of batches."""
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    return frozenset(model.state_dict()) - frozen
