"""Train the three heads on kept features: a linear probe, or a new gate, in seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from trainer.choices import CheckpointSelection
from trainer.fit.batches import epoch_order, step_rows, steps_per_epoch
from trainer.fit.checkpoint_selection import EpochMetrics, best_epoch, measure_outputs
from trainer.fit.loop import finite
from trainer.fit.loss import ObjectiveConfig, class_weights, training_loss
from trainer.fit.schedule import Schedule
from trainer.models import StageModel
from trainer.transfer.features import Features, head_modules, outputs_from


class ProbeConfig(BaseModel):
    """How the heads are trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(default=30, ge=1)
    """Each shows one view of every image; the views take turns."""
    batch_size: int = Field(default=128, ge=2)
    lr: float = Field(default=3e-3, gt=0.0)
    """Peak learning rate of AdamW."""
    weight_decay: float = Field(default=0.01, ge=0.0)
    warmup: float = Field(default=0.1, ge=0.0, lt=1.0)
    balance: float = Field(default=0.0, ge=0.0, le=1.0)
    """0 shows every image once an epoch; 1 shows every class equally often."""
    objective: ObjectiveConfig = ObjectiveConfig()
    checkpoint_selection: CheckpointSelection = "augrc"
    seed: int = Field(default=0, ge=0)


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """Trained heads."""

    model: StageModel
    """The model that was handed in, with the best epoch's heads, in evaluation mode"""
    best_epoch: int
    history: tuple[EpochMetrics, ...]
    seconds: float


def fit_heads(
    model: StageModel,
    train: Features,
    select: Features,
    config: ProbeConfig,
    *,
    on_epoch: Callable[[EpochMetrics], None] = lambda _: None,
) -> ProbeResult:
    """Train the heads of `model` in place and keep those of the best epoch on `select`.

    One seed gives the same heads, wherever the features come from. Raises `NonFiniteLoss`.
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
    # Dropout draws from the global generator: leave that as it was.
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
            metrics = measure_outputs(
                outputs_from(model, select),
                select.labels,
                epoch=epoch,
                learning_rate=rate,
                train_loss=sum(losses) / len(losses),
            )
            history.append(metrics)
            if best_epoch(history, config.checkpoint_selection) is metrics:
                best = {name: tensor.detach().clone() for name, tensor in heads.state_dict().items()}
            on_epoch(metrics)
    heads.load_state_dict(best)
    model.eval()
    return ProbeResult(
        model=model,
        best_epoch=best_epoch(history, config.checkpoint_selection).epoch,
        history=tuple(history),
        seconds=time.monotonic() - started,
    )
