"""Embeddings of images, computed once and cached on disk; heads and gates train on them in seconds.

A frozen backbone gives the same features in every epoch, so they are cached: those of the images as they
are, and those of a few augmented views of each.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from calibration.scores import StageOutputs
from trainer.fit.augment import AugmentConfig, augment, to_unit_range
from trainer.fit.batches import LabelledPixels, MeanStd, Normaliser, to_size
from trainer.fit.checkpoint import weights_digest
from trainer.fit.gradient_accumulation import GradientAccumulator
from trainer.fit.threads import TRIAL_IMAGES, ThreadChange, ThreadTuner
from trainer.models import Backbone, StageModel
from trainer.run.cache import Facts, cached, new_array

CACHE_FORMAT = 2
BATCH = 256
"""Images per forward pass; fixed, because the augmentation of a view depends on it."""

FEATURES = "features.npy"

FeatureArray = NDArray[np.float32]


class FeatureConfig(BaseModel):
    """Views of each image that are embedded, and the precision."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    views: int = Field(default=4, ge=0, le=64)
    """Augmented views per image, beside the image itself."""
    augment: AugmentConfig = AugmentConfig()
    bf16: bool = False
    """Compute in bfloat16, two to three times as fast on a processor that has it; stored as float32."""
    seed: int = Field(default=0, ge=0)


@dataclass(frozen=True, slots=True)
class Features:
    """Embeddings of n labelled images."""

    views: FeatureArray
    """[1 + views, n, d]; index 0 holds the images themselves. May be a memory-mapped file."""
    labels: Tensor
    """int64 [n]"""
    threads: tuple[ThreadChange, ...] = ()
    """Every number of threads that computed them, with the batch from which it did"""

    def __len__(self) -> int:
        return len(self.labels)

    def view(self, index: int) -> Tensor:
        """float32 [n, d]; indices beyond the last view wrap around."""
        return torch.from_numpy(np.array(self.views[index % len(self.views)]))


@dataclass(frozen=True, slots=True)
class ThreadPlan:
    """Threads for an embedding."""

    fixed: int | None = None
    """A number that measuring must not change; None: measured"""
    before: tuple[ThreadChange, ...] = ()
    """Those of earlier work of the same kind, whose last number is taken up; empty: measured anew"""

    @property
    def start(self) -> list[ThreadChange]:
        """The number to begin with, if it is known."""
        return [] if self.fixed is not None else [replace(last, step=0) for last in self.before[-1:]]


def embed(
    model: StageModel,
    data: LabelledPixels,
    mean_std: MeanStd,
    config: FeatureConfig,
    *,
    threads: ThreadPlan = ThreadPlan(),
    out: FeatureArray | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> Features:
    """Features of every view, written to `out` if given; `advance` gets the number of images done.

    One seed and one number of threads give the same features. The number stays as it was chosen: the caller
    restores torch's. The backbone computes as in serving, on fewer images at a time if memory runs out;
    raises `OutOfMemory` if not even one fits.
    """
    batches = _Batches(model, data.pixels, Normaliser.from_mean_std(mean_std), config)
    n, views = len(data), 1 + config.views
    found = np.empty((views, n, model.backbone.n_features), dtype=np.float32) if out is None else out
    accumulator = GradientAccumulator(BATCH)
    was_training = model.training
    model.eval()
    with torch.inference_mode(), torch.autocast(batches.device.type, torch.bfloat16, enabled=config.bf16):
        tuner = ThreadTuner(batches.trial, fixed=threads.fixed)
        tuner.start(n * views / TRIAL_IMAGES, threads.start)
        step = 0
        for view in range(views):
            generator = torch.Generator().manual_seed(config.seed * 1_000_003 + view)
            for rows in torch.split(torch.arange(n), BATCH):
                x = batches.draw(rows, view, generator)
                found[view, rows.numpy()] = accumulator.evaluate(
                    partial(_in_parts, model.backbone, x)
                ).numpy()
                step += 1
                tuner.after_step(step, len(rows))
                advance(len(rows))
    model.train(was_training)
    return Features(found, data.labels, tuple(tuner.changes))


@dataclass(frozen=True, slots=True)
class _Batches:
    """Normalised views of the images."""

    model: StageModel
    pixels: Tensor
    normalise: Normaliser
    config: FeatureConfig

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def draw(self, rows: Tensor, view: int, generator: torch.Generator) -> Tensor:
        """float32 [B, 3, S, S]; view 0 are the images themselves, others are augmented."""
        pixels = self.pixels[rows].to(self.device)
        x = to_unit_range(pixels) if view == 0 else augment(pixels, self.config.augment, generator)
        x = self.normalise(to_size(x, self.model.image_size))
        return x.contiguous(memory_format=torch.channels_last)

    def trial(self) -> None:
        """The features of a few images, for timing."""
        rows = torch.arange(min(TRIAL_IMAGES, len(self.pixels)))
        self.model.backbone(self.draw(rows, min(1, self.config.views), torch.Generator().manual_seed(0)))


def _in_parts(backbone: Backbone, x: Tensor, size: int) -> Tensor:
    """Features of normalised pixels, float32 on the CPU, `size` images at a time."""
    return torch.cat([backbone(part).float().cpu() for part in torch.split(x, size)])


def cached_features(
    model: StageModel,
    data: LabelledPixels,
    mean_std: MeanStd,
    config: FeatureConfig,
    cache: Path,
    *,
    threads: ThreadPlan = ThreadPlan(),
    advance: Callable[[int], None] = lambda _: None,
) -> Features:
    """As `embed`, but stored in the folder `cache` under a key of everything that the features depend on.

    The features are memory-mapped, so they may be larger than memory. Damaged ones are computed again, and
    so are those of another number of threads than the fixed one. Raises `DiskError`.
    """

    def make(unfinished: Path) -> Facts:
        shape = (1 + config.views, len(data), model.backbone.n_features)
        out = new_array(unfinished / FEATURES, shape, np.float32)
        made = embed(model, data, mean_std, config, threads=threads, out=out, advance=advance)
        out.flush()
        return {"threads": [[change.step, change.threads] for change in made.threads]}

    def fits(facts: Facts) -> bool:
        counts = {count for _, count in facts["threads"]}
        return threads.fixed is None or counts == {threads.fixed}

    key = feature_key(model, data, mean_std, config)
    entry = cached(cache / key, make, fits=fits)
    if entry.found:
        advance((1 + config.views) * len(data))
    changes = tuple(ThreadChange(*change) for change in entry.facts["threads"])
    return Features(np.load(entry.folder / FEATURES, mmap_mode="r"), data.labels, changes)


def feature_key(
    model: StageModel,
    data: LabelledPixels,
    mean_std: MeanStd,
    config: FeatureConfig,
) -> str:
    """Digest of the backbone's weights, the pixels, and the way to the views."""
    facts = {
        "format": CACHE_FORMAT,
        "batch": BATCH,
        "config": config.model_dump(mode="json"),
        "normalisation": [[float(v) for v in part] for part in mean_std],
        "image size": model.image_size,
        "data": data.digest(),
        "backbone": type(model.backbone).__name__,
        "weights": weights_digest(model.backbone.state_dict()),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:40]


def outputs_from(model: StageModel, features: Features, view: int = 0) -> StageOutputs:
    """Logits and gate of every image, float64: the outputs of the whole model from cached features."""
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    with torch.inference_mode():
        outputs = model.heads(features.view(view).to(device))
    model.train(was_training)
    return StageOutputs(outputs.logits.double().cpu().numpy(), outputs.gate.double().cpu().numpy())


def head_modules(model: StageModel) -> nn.ModuleList:
    """The three heads, the only part that trains on features."""
    return nn.ModuleList([model.classifier, model.gate, model.auxiliary])
