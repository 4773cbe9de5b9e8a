"""Linear probe: train the three heads on cached features, in seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from trainer.choices import CheckpointSelection
from trainer.fit.batches import epoch_order, step_rows, steps_per_epoch
from trainer.fit.checkpoint_selection import EpochMetrics, StepMetrics, best_epoch, measure_outputs
from trainer.fit.loop import finite
from trainer.fit.loss import LossConfig, class_weights, training_loss
from trainer.fit.schedule import Schedule
from trainer.models import StageModel
from trainer.transfer.features import Features, head_modules, outputs_from


class LinearProbeConfig(BaseModel):
    """Training of the heads."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(default=30, ge=1)
    """Each epoch shows one view of every image; the views take turns."""
    batch_size: int = Field(default=128, ge=2)
    lr: float = Field(default=3e-3, gt=0.0)
    """Peak learning rate of AdamW."""
    weight_decay: float = Field(default=0.01, ge=0.0)
    warmup: float = Field(default=0.1, ge=0.0, lt=1.0)
    balance: float = Field(default=0.0, ge=0.0, le=1.0)
    """0 shows every image once per epoch; 1 shows every class equally often."""
    objective: LossConfig = LossConfig()
    checkpoint_selection: CheckpointSelection = "augrc"
    seed: int = Field(default=0, ge=0)


@dataclass(frozen=True, slots=True)
class LinearProbeResult:
    """Trained heads."""

    model: StageModel
    """The model passed in, with the heads of the best epoch, in evaluation mode"""
    best_epoch: int
    history: tuple[EpochMetrics, ...]
    seconds: float


def fit_linear_probe(
    model: StageModel,
    train: Features,
    select: Features,
    config: LinearProbeConfig,
    *,
    on_epoch: Callable[[EpochMetrics], None] = lambda _: None,
) -> LinearProbeResult:
    """Train the heads of `model` in place and keep those of the best epoch on `select`.

    One seed gives one result, whether the features were cached or not. Raises `NonFiniteLoss`.
    """
    started = time.monotonic()
    heads = head_modules(model)
    device = next(heads.parameters()).device
    model.eval()
    heads.train()
    optimizer = torch.optim.AdamW(heads.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    steps = config.epochs * steps_per_epoch(len(train), config.batch_size)
    schedule = Schedule(steps, lr=config.lr, warmup=config.warmup, time_budget_s=None)
    power = config.objective.class_weight_power
    weights = class_weights(train.labels, model.n_classes, power)[train.labels]
    history: list[EpochMetrics] = []
    best: dict[str, Tensor] = {}
    step, rate = 0, config.lr
    # Dropout draws from the global generator, whose state must not change.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        generator = torch.Generator().manual_seed(config.seed)
        for epoch in range(1, config.epochs + 1):
            features, losses = train.view(epoch - 1), []
            model.dropout.train()
            heads.train()
            for rows in step_rows(epoch_order(train.labels, config.balance, generator), config.batch_size):
                rate = schedule.rate(step)
                for group in optimizer.param_groups:
                    group["lr"] = rate
                loss = training_loss(
                    model.heads(features[rows].to(device)),
                    train.labels[rows].to(device),
                    weights[rows].to(device),
                    config.objective,
                )
                losses.append(finite(loss, step, epoch, rows))
                optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                step += 1
            step_metrics = StepMetrics(epoch, rate, sum(losses) / len(losses))
            metrics = measure_outputs(outputs_from(model, select), select.labels, step_metrics)
            history.append(metrics)
            if best_epoch(history, config.checkpoint_selection) is metrics:
                best = {name: tensor.detach().clone() for name, tensor in heads.state_dict().items()}
            on_epoch(metrics)
    heads.load_state_dict(best)
    model.eval()
    return LinearProbeResult(
        model=model,
        best_epoch=best_epoch(history, config.checkpoint_selection).epoch,
        history=tuple(history),
        seconds=time.monotonic() - started,
    )
