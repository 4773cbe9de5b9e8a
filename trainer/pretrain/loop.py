"""The training loop of a masked autoencoder.

Muon trains the matrices of the transformer's blocks and Adam the rest (`trainer.fit.optimizer`), with one
learning rate: on two cores and a few dozen epochs it reaches a loss for which AdamW needs far longer. The
thin factors of LoRA are trained by Adam.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from trainer.fit.augment import augment, to_unit_range
from trainer.fit.batches import MeanStd, Normaliser, step_rows, steps_per_epoch, to_size
from trainer.fit.checkpoint import (
    Checkpoint,
    optimizer_tensors,
    prefixed,
    restore_optimizer,
    unprefixed,
)
from trainer.fit.device import ComputeConfig, fixed_threads
from trainer.fit.gradient_accumulation import GradientAccumulator
from trainer.fit.loop import finite
from trainer.fit.optimizer import KernelOptimizer
from trainer.fit.schedule import Schedule
from trainer.fit.threads import TRIAL_IMAGES, ThreadChange, ThreadTuner, without_trace
from trainer.pretrain.autoencoder import MaskedAutoencoder
from trainer.pretrain.config import PretrainConfig
from trainer.pretrain.images import UnlabelledPixels
from trainer.pretrain.masking import Masking, draw_masking

HELD_OUT_SEED = 20_240_610
"""Seed of the masks of the held-out images, the same in every epoch and every run"""


@dataclass(frozen=True, slots=True)
class PretrainEpoch:
    """Metrics of one epoch. They hold no times, so one seed repeats them exactly."""

    epoch: int
    """From 1"""
    learning_rate: float
    train_loss: float
    """Mean over the steps of the epoch"""
    held_out_loss: float
    """Loss on images held out from training, with masks that do not change"""

    def row(self) -> dict[str, int | float]:
        """Column -> value, for metrics.csv."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class PretrainProgress:
    """Progress of a pretraining after one step."""

    epoch: int
    step: int
    steps: int
    loss: float


def _ignore(_: object) -> None:
    """The callback of a caller that needs none."""


@dataclass(frozen=True, slots=True)
class PretrainCallbacks:
    """Functions that the loop calls as it goes."""

    on_step: Callable[[PretrainProgress], None] = _ignore
    on_epoch: Callable[[PretrainEpoch], None] = _ignore
    on_note: Callable[[str], None] = _ignore
    """Takes a sentence for the user, for example that memory ran out."""


@dataclass(frozen=True, slots=True)
class PretrainFit:
    """A trained autoencoder's history; its weights are in the model."""

    history: tuple[PretrainEpoch, ...]
    seconds: float
    """Including those before an interruption"""
    threads: tuple[ThreadChange, ...]
    """Every number of threads, with the step from which it computed"""


def fit_autoencoder(
    model: MaskedAutoencoder,
    images: UnlabelledPixels,
    mean_std: MeanStd,
    config: PretrainConfig,
    device: torch.device,
    *,
    checkpoint: Checkpoint,
    callbacks: PretrainCallbacks = PretrainCallbacks(),
) -> PretrainFit:
    """Train the weights of `model` that are not frozen, in place.

    The state is saved to `checkpoint` after every epoch, and a later call resumes from it to the weights of
    an uninterrupted run. If memory runs out, fewer images go through the network at a time, for the same
    batches, and `callbacks.on_note` gets a sentence about it. Raises `NonFiniteLoss`, naming the step;
    `ResumeMismatch` if the checkpoint belongs to another run; `OutOfMemory` if not even one image fits.
    """
    batches = _Batches(model, images.train, Normaliser.from_mean_std(mean_std), config, device)
    per_epoch = steps_per_epoch(len(images.train), config.batch_size)
    schedule = Schedule(config.epochs * per_epoch, lr=config.lr, warmup=config.warmup, time_budget_s=None)
    optimizer = pretraining_optimizer(model, lr=config.lr, weight_decay=config.weight_decay)
    state = _State(model, optimizer, GradientAccumulator(config.batch_size, on_note=callbacks.on_note))
    state.resume(checkpoint)
    tuner = ThreadTuner(batches.trial, fixed=fixed_threads(config.compute))
    tuner.start((schedule.steps - state.step) * config.batch_size / TRIAL_IMAGES, state.thread_changes)
    state.thread_changes = tuner.changes

    while len(state.history) < config.epochs:
        epoch = len(state.history) + 1
        seed = config.seed * 1_000_003 + epoch
        torch.manual_seed(seed)  # some backbones jitter positions in training
        generator = torch.Generator().manual_seed(seed)
        model.train()
        losses: list[float] = []
        rate = config.lr
        order = torch.randperm(len(images.train), generator=generator)
        for rows in step_rows(order, config.batch_size):
            rate = schedule.rate(state.step)
            for group in optimizer.param_groups:
                group["lr"] = rate
            mean_loss = batches.draw(rows, generator)
            loss = state.accumulator.backward_mean(len(rows), mean_loss, model=model)
            losses.append(finite(loss, state.step, epoch, rows))
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.gradient_clip)
            optimizer.step()
            state.step += 1
            tuner.after_step(state.step)
            callbacks.on_step(PretrainProgress(epoch, state.step, schedule.steps, losses[-1]))
        with tuner.not_counted():
            held_out = state.accumulator.evaluate(
                partial(held_out_loss, model, images.held_out, batches.normalise, config, device)
            )
            state.history.append(PretrainEpoch(epoch, rate, sum(losses) / len(losses), held_out))
            state.save(checkpoint)
            callbacks.on_epoch(state.history[-1])
    model.eval()
    return PretrainFit(tuple(state.history), state.elapsed, tuple(state.thread_changes))


@dataclass(frozen=True, slots=True)
class _Batches:
    """Augmented and masked batches of the training images, and the loss of the model on them."""

    model: MaskedAutoencoder
    pixels: Tensor
    """uint8 [n, S, S, 3]"""
    normalise: Normaliser
    config: PretrainConfig
    device: torch.device

    def draw(self, rows: Tensor, generator: torch.Generator) -> Callable[[slice], Tensor]:
        """Part of a batch of these rows -> its mean loss."""
        side = self.pixels.shape[1]
        patches = (side // self.model.patch_size) ** 2
        views = augment(self.pixels[rows].to(self.device), self.config.augment, generator)
        masking = draw_masking(len(rows), patches, self.config.hidden_share, generator).to(self.device)
        return partial(
            _mean_loss, self.model, self.normalise(to_size(views, side)), masking, self.config.compute
        )

    def trial(self) -> None:
        """The gradient of a few images, for timing; weights and random states do not change."""
        self.model.train()
        with without_trace(self.model):
            rows = torch.arange(min(TRIAL_IMAGES, self.config.batch_size, len(self.pixels)))
            loss = self.draw(rows, torch.Generator().manual_seed(0))(slice(0, len(rows)))
            loss.backward()  # type: ignore[no-untyped-call]


def _mean_loss(
    model: MaskedAutoencoder, x: Tensor, masking: Masking, compute: ComputeConfig, part: slice
) -> Tensor:
    """Mean loss of a part of a batch, float32 [B, 3, S, S]."""
    with compute.autocast():
        loss: Tensor = model(x[part], masking[part])
    return loss


def pretraining_optimizer(model: MaskedAutoencoder, *, lr: float, weight_decay: float) -> KernelOptimizer:
    """An optimiser of the trained weights; matrices decay; vectors, tokens and positions do not."""
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
"""Least rows and columns for Muon; a thinner matrix has too few directions to equalise."""
ADAM_BETA2 = 0.95
"""As masked autoencoders are trained (arXiv 2111.06377, table 8)"""


def held_out_masking(images: int, patches: int, hidden_share: float) -> Masking:
    """The fixed masks with which held-out images are measured and drawn."""
    return draw_masking(images, patches, hidden_share, torch.Generator().manual_seed(HELD_OUT_SEED))


def held_out_loss(
    model: MaskedAutoencoder,
    pixels: Tensor,
    normalise: Normaliser,
    config: PretrainConfig,
    device: torch.device,
    batch: int,
) -> float:
    """Mean loss on images without augmentation, uint8 [m, S, S, 3], `batch` at a time.

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
    """The state that goes from one epoch to the next; frozen weights are read again from their folder."""

    def __init__(
        self, model: nn.Module, optimizer: KernelOptimizer, accumulator: GradientAccumulator
    ) -> None:
        self.step = 0
        self.accumulator = accumulator
        self.history: list[PretrainEpoch] = []
        self.thread_changes: list[ThreadChange] = []
        self._trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self._optimizer = optimizer
        self._elapsed_before = 0.0
        self._started = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds, including those before an interruption."""
        return self._elapsed_before + time.monotonic() - self._started

    def save(self, checkpoint: Checkpoint) -> None:
        tensors = {
            **prefixed("model", {name: p.detach() for name, p in self._trained.items()}),
            **prefixed("optimizer", optimizer_tensors(self._optimizer)),
        }
        history = [epoch.row() for epoch in self.history]
        facts = {
            "step": self.step,
            "micro_batch": self.accumulator.micro_batch,
            "elapsed_s": self.elapsed,
            "history": history,
            "threads": [[change.step, change.threads] for change in self.thread_changes],
        }
        checkpoint.save(tensors, facts)

    def resume(self, checkpoint: Checkpoint) -> None:
        found = checkpoint.load()
        if found is None:
            return
        tensors, facts = found
        weights = unprefixed("model", tensors)
        with torch.no_grad():
            for name, parameter in self._trained.items():
                parameter.copy_(weights[name])
        restore_optimizer(self._optimizer, unprefixed("optimizer", tensors))
        self.accumulator.micro_batch = facts["micro_batch"]
        self.step, self._elapsed_before = facts["step"], facts["elapsed_s"]
        self.history = [PretrainEpoch(**row) for row in facts["history"]]
        self.thread_changes = [ThreadChange(*change) for change in facts.get("threads", ())]
