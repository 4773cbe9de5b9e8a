"""The training loop of a masked autoencoder.

Muon on the matrices of the transformer's blocks and Adam on the rest (`trainer.fit.optimizer`), with one
learning rate: on two cores and a few dozen epochs it reaches a loss for which AdamW needs far longer.
LoRA's thin factors go by Adam.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trainer.fit.augment import augment, to_unit_range
from trainer.fit.batches import Normaliser, step_rows, steps_per_epoch, to_size
from trainer.fit.checkpoint import (
    check_fingerprint,
    load_checkpoint,
    optimizer_tensors,
    prefixed,
    restore_optimizer,
    save_checkpoint,
    unprefixed,
)
from trainer.fit.device import ComputeConfig
from trainer.fit.gradient_accumulation import MicroBatches
from trainer.fit.loop import finite
from trainer.fit.optimizer import KernelOptimizer
from trainer.fit.schedule import Schedule
from trainer.pretrain.autoencoder import MaskedAutoencoder
from trainer.pretrain.config import PretrainConfig
from trainer.pretrain.images import Unlabelled
from trainer.pretrain.masking import Masking, draw_masking

HELD_OUT_SEED = 20_240_610
"""Of the masks of the held-out images, the same in every epoch and every run"""


@dataclass(frozen=True, slots=True)
class PretrainEpoch:
    """One epoch. Holds no times: a seed repeats it exactly."""

    epoch: int
    """From 1"""
    learning_rate: float
    train_loss: float
    """Mean over the epoch's steps"""
    held_out_loss: float
    """On images that are not learned from, with masks that do not change"""

    def row(self) -> dict[str, int | float]:
        """Column -> value, for metrics.csv."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Pace:
    """Where training is, after a step."""

    epoch: int
    step: int
    steps: int
    loss: float


def fit_autoencoder(
    model: MaskedAutoencoder,
    images: Unlabelled,
    mean_std: tuple[Sequence[float], Sequence[float]],
    config: PretrainConfig,
    device: torch.device,
    *,
    checkpoint: Path,
    fingerprint: dict[str, Any],
    on_step: Callable[[Pace], None] = lambda _: None,
    on_epoch: Callable[[PretrainEpoch], None] = lambda _: None,
    on_note: Callable[[str], None] = lambda _: None,
) -> tuple[tuple[PretrainEpoch, ...], float]:
    """Train what is not frozen of `model`, in place; returns (every epoch, seconds).

    `checkpoint` keeps the state after every epoch; a run that finds it goes on from there to the weights
    it would have reached uninterrupted. Raises `NonFiniteLoss`, naming the step, and `ResumeMismatch`
    where the checkpoint is of another run. Where memory runs out, fewer images go through the network at
    a time, for the same batches; `on_note` is told, and `OutOfMemory` raised where not even one fits.
    """
    normalise = Normaliser.from_mean_std(mean_std)
    side, patches = images.train.shape[1], (images.train.shape[1] // model.patch_size) ** 2
    per_epoch = steps_per_epoch(len(images.train), config.batch_size)
    schedule = Schedule(config.epochs * per_epoch, lr=config.lr, warmup=config.warmup, time_budget_s=None)
    optimizer = pretraining_optimizer(model, lr=config.lr, weight_decay=config.weight_decay)
    state = _State(model, optimizer, MicroBatches(config.batch_size, tell=on_note))
    if checkpoint.exists():
        state.resume(checkpoint, fingerprint)

    while len(state.history) < config.epochs:
        epoch = len(state.history) + 1
        seed = config.seed * 1_000_003 + epoch
        torch.manual_seed(seed)  # some backbones jitter positions while they learn
        generator = torch.Generator().manual_seed(seed)
        model.train()
        losses: list[float] = []
        rate = config.lr
        order = torch.randperm(len(images.train), generator=generator)
        for rows in step_rows(order, config.batch_size):
            rate = schedule.rate(state.step)
            for group in optimizer.param_groups:
                group["lr"] = rate
            views = augment(images.train[rows].to(device), config.augment, generator)
            masking = draw_masking(len(rows), patches, config.hidden_share, generator).to(device)
            x = normalise(to_size(views, side))
            loss = state.micro.backward_mean(
                len(rows), partial(_mean_loss, model, x, masking, config.compute), model=model
            )
            losses.append(finite(loss, state.step, epoch, rows))
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.gradient_clip)
            optimizer.step()
            state.step += 1
            on_step(Pace(epoch, state.step, schedule.steps, losses[-1]))
        held_out = state.micro.measure(
            partial(held_out_loss, model, images.held_out, normalise, config, device)
        )
        state.history.append(PretrainEpoch(epoch, rate, sum(losses) / len(losses), held_out))
        state.save(checkpoint, fingerprint)
        on_epoch(state.history[-1])
    model.eval()
    return tuple(state.history), state.elapsed


def _mean_loss(
    model: MaskedAutoencoder, x: Tensor, masking: Masking, compute: ComputeConfig, part: slice
) -> Tensor:
    """Of some images of a batch, float32 [B, 3, S, S]."""
    with compute.autocast():
        loss: Tensor = model(x[part], masking[part])
    return loss


def pretraining_optimizer(model: MaskedAutoencoder, *, lr: float, weight_decay: float) -> KernelOptimizer:
    """Over what is not frozen; matrices decay, vectors, tokens and positions do not."""
    orthogonal, matrices, vectors = [], [], []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if (
            parameter.ndim == 2
            and min(parameter.shape) >= MUON_FROM
            and "layer" in name
            and "lora_" not in name
        ):
            orthogonal.append(parameter)
        elif parameter.ndim in (2, 4):
            matrices.append(parameter)
        else:
            vectors.append(parameter)
    groups: list[dict[str, Any]] = [
        {"params": orthogonal, "orthogonal": True, "weight_decay": weight_decay},
        {"params": matrices, "weight_decay": weight_decay, "beta2": ADAM_BETA2},
        {"params": vectors, "beta2": ADAM_BETA2},
    ]
    return KernelOptimizer([group for group in groups if group["params"]], lr=lr)


MUON_FROM = 16
"""Rows or columns; a thinner matrix has too few directions to make equal."""
ADAM_BETA2 = 0.95
"""As masked autoencoders are trained (arXiv 2111.06377, table 8)"""


def held_out_masking(images: int, patches: int, hidden_share: float) -> Masking:
    """The masks that held-out images are always measured and drawn with."""
    return draw_masking(images, patches, hidden_share, torch.Generator().manual_seed(HELD_OUT_SEED))


def held_out_loss(
    model: MaskedAutoencoder,
    pixels: Tensor,
    normalise: Normaliser,
    config: PretrainConfig,
    device: torch.device,
    batch: int,
) -> float:
    """Mean loss on images as they are, uint8 [m, S, S, 3], `batch` at a time.

    Leaves `model` in evaluation mode.
    """
    model.eval()
    patches = (pixels.shape[1] // model.patch_size) ** 2
    masking = held_out_masking(len(pixels), patches, config.hidden_share)
    total = 0.0
    with torch.inference_mode(), config.compute.autocast():
        for start in range(0, len(pixels), batch):
            part = slice(start, start + batch)
            x = normalise(to_unit_range(pixels[part].to(device)))
            total += float(model(x, masking[part].to(device))) * len(x)
    return total / len(pixels)


class _State:
    """What goes from one epoch to the next; frozen weights are not kept, they come from their folder."""

    def __init__(self, model: nn.Module, optimizer: KernelOptimizer, micro: MicroBatches) -> None:
        self.step = 0
        self.micro = micro
        self.history: list[PretrainEpoch] = []
        self._learning = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self._optimizer = optimizer
        self._elapsed_before = 0.0
        self._started = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds, those before an interruption included."""
        return self._elapsed_before + time.monotonic() - self._started

    def save(self, path: Path, fingerprint: dict[str, Any]) -> None:
        tensors = {
            **prefixed("model", {name: p.detach() for name, p in self._learning.items()}),
            **prefixed("optimizer", optimizer_tensors(self._optimizer)),
        }
        history = [epoch.row() for epoch in self.history]
        facts = {
            "fingerprint": fingerprint,
            "step": self.step,
            "micro_batch": self.micro.size,
            "elapsed_s": self.elapsed,
            "history": history,
        }
        save_checkpoint(path, tensors, facts)

    def resume(self, path: Path, fingerprint: dict[str, Any]) -> None:
        tensors, facts = load_checkpoint(path)
        check_fingerprint(path, facts["fingerprint"], fingerprint)
        weights = unprefixed("model", tensors)
        with torch.no_grad():
            for name, parameter in self._learning.items():
                parameter.copy_(weights[name])
        restore_optimizer(self._optimizer, unprefixed("optimizer", tensors))
        self.micro.size = facts["micro_batch"]
        self.step, self._elapsed_before = facts["step"], facts["elapsed_s"]
        self.history = [PretrainEpoch(**row) for row in facts["history"]]
