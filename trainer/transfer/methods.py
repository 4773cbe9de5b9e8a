"""Methods of transfer from a pretrained backbone: full training, an adapter, or the heads alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor

from bundle.images.preprocess import PreprocessSpec
from calibration.scores import StageOutputs
from trainer.choices import Adapt, AdapterTargets
from trainer.fit.batches import FitData, LabelledPixels, Normaliser
from trainer.fit.checkpoint_selection import EpochMetrics, stage_outputs
from trainer.fit.config import LoopConfig
from trainer.fit.device import ComputeConfig
from trainer.fit.loop import Callbacks, StepProgress, fit
from trainer.models import (
    ModelConfig,
    ResolvedModel,
    StageModel,
    TransformerConfig,
    build_model,
    n_parameters,
)
from trainer.models.adapters import AdapterConfig
from trainer.models.pretrained import WeightFolder
from trainer.transfer.frozen_backbone import CachedViews, fit_frozen_backbone


@dataclass(frozen=True, slots=True)
class Method:
    """One way of training, and the learning rates to try for it."""

    title: str
    adapt: Adapt
    rates: tuple[float, float, float]
    """Rising; the middle one is the default"""
    targets: AdapterTargets = "qv"


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "full": Method("full", "full", (3e-5, 1e-4, 3e-4)),
        "lora": Method("LoRA q/v", "lora", (5e-4, 1.5e-3, 5e-3)),
        "lora-all": Method("LoRA all", "lora", (5e-4, 1.5e-3, 5e-3), "all-linear"),
        "dora": Method("DoRA q/v", "dora", (5e-4, 1.5e-3, 5e-3)),
        "dora-all": Method("DoRA all", "dora", (5e-4, 1.5e-3, 5e-3), "all-linear"),
        "head": Method("linear probe", "head", (1e-3, 3e-3, 1e-2)),
    }
)
"""Rates of full training are far lower, since every step moves every weight."""


@dataclass(frozen=True, slots=True)
class Task:
    """The inputs that all methods share."""

    family: str
    weights: WeightFolder
    spec: PreprocessSpec
    n_classes: int
    train: LabelledPixels
    select: LabelledPixels
    loop: LoopConfig
    """For methods that train the backbone; its learning rate and seed are set per run"""
    compute: ComputeConfig
    """Resolved"""
    rank: int
    views: int
    """Augmented views per image that the linear probe caches"""
    cache: Path
    """Folder of cached features"""

    @property
    def data(self) -> FitData:
        return FitData(self.train, self.select, (self.spec.mean, self.spec.std))


@dataclass(frozen=True, slots=True)
class Trained:
    """A model trained on the task."""

    model: StageModel
    best: EpochMetrics
    rate: float
    seconds: float
    trained: int
    """Number of weights that training could change"""
    parameters: int
    step_bytes: int
    """Memory of a training step, see `step_bytes`"""


def train_with(
    method: Method, task: Task, rate: float, seed: int, advance: Callable[[int, int], None]
) -> Trained:
    """Train by one method at one learning rate; `advance` gets (done, total) images."""
    transformer = TransformerConfig(
        weights=task.weights.source,
        adapt=method.adapt,
        adapter=AdapterConfig(rank=task.rank, targets=method.targets),
    )
    resolved = ResolvedModel(ModelConfig(name=task.family, transformer=transformer), folder=task.weights)
    model = build_model(resolved, task.spec.height, task.n_classes, seed=seed)
    trained, parameters = n_parameters(model, trainable_only=True), n_parameters(model)
    bytes_per_step = step_bytes(model, task.spec.height, task.loop.batch_size)
    run = _train_heads if method.adapt == "head" else _train_backbone
    best, seconds = run(model, task, rate, seed, advance)
    return Trained(model, best, rate, seconds, trained, parameters, bytes_per_step)


def _train_backbone(
    model: StageModel, task: Task, rate: float, seed: int, advance: Callable[[int, int], None]
) -> tuple[EpochMetrics, float]:
    loop = task.loop.model_copy(update={"lr": rate, "seed": seed})

    def show(progress: StepProgress) -> None:
        advance(progress.step * loop.batch_size, progress.steps * loop.batch_size)

    result = fit(model, task.data, loop, compute=task.compute, callbacks=Callbacks(on_step=show))
    return result.history[result.best_epoch - 1], result.seconds


def _train_heads(
    model: StageModel, task: Task, rate: float, seed: int, advance: Callable[[int, int], None]
) -> tuple[EpochMetrics, float]:
    """Train the heads alone, on features that all seeds and rates share."""
    result = fit_frozen_backbone(
        model,
        task.data,
        task.loop.model_copy(update={"lr": rate, "seed": seed}),
        CachedViews(task.views, task.cache),
        compute=task.compute,
        advance=advance,
    )
    return result.history[result.best_epoch - 1], result.seconds


def outputs_on(model: StageModel, data: LabelledPixels, spec: PreprocessSpec) -> StageOutputs:
    """Logits and gate of every image, in float32."""
    return stage_outputs(model, data, Normaliser.from_mean_std((spec.mean, spec.std)))


ADAM_MOMENTS = 2


def step_bytes(model: StageModel, image_size: int, batch_size: int) -> int:
    """Bytes that a training step holds at once.

    They are all weights, the gradient and the optimiser's two moments of the trained ones, and the
    activations kept for the backward pass. They are counted on one image rather than read from the process,
    so the number is the same on every machine; overheads of the allocator and the libraries do not count.
    """
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    device = next(model.parameters()).device
    was_training = model.training
    model.train()
    # Dropout and jittered positions draw random numbers; the generator must not change.
    with (
        torch.random.fork_rng(devices=[]),
        torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
    ):
        # Held until the count is read, so that no storage is freed and its address used again.
        outputs = model(torch.zeros(1, 3, image_size, image_size, device=device))
        activations = sum(kept.values())
    del outputs
    model.train(was_training)
    of_weights = sum(p.numel() * p.element_size() for p in model.parameters())
    of_trained = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    return of_weights + (1 + ADAM_MOMENTS) * of_trained + batch_size * activations
