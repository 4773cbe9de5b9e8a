"""Embeddings of images, computed once and cached on disk; heads and gates train on them in seconds.

A frozen backbone gives the same features in every epoch, so they are cached: those of the images as they
are, and those of a few augmented views of each.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from uuid import uuid4

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
from trainer.models import Backbone, StageModel
from trainer.run.disk import explain_disk_errors, reserve
from trainer.run.record import file_digest

CACHE_FORMAT = 1
BATCH = 256
"""Images per forward pass; fixed, because the augmentation of a view depends on it."""

DIGEST_LENGTH = 16
"""Hexadecimal digits of the content's digest in the name of a file"""

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

    def __len__(self) -> int:
        return len(self.labels)

    def view(self, index: int) -> Tensor:
        """float32 [n, d]; indices beyond the last view wrap around."""
        return torch.from_numpy(np.array(self.views[index % len(self.views)]))


def embed(
    model: StageModel,
    data: LabelledPixels,
    mean_std: MeanStd,
    config: FeatureConfig,
    *,
    out: FeatureArray | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> Features:
    """Features of every view, written to `out` if given; `advance` gets the number of images done.

    The same seed gives the same views. The backbone computes as in serving, on fewer images at a time if
    memory runs out; raises `OutOfMemory` if not even one fits.
    """
    normalise = Normaliser.from_mean_std(mean_std)
    device = next(model.parameters()).device
    n, views = len(data), 1 + config.views
    found = np.empty((views, n, model.backbone.n_features), dtype=np.float32) if out is None else out
    accumulator = GradientAccumulator(BATCH)
    was_training = model.training
    model.eval()
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=config.bf16):
        for view in range(views):
            generator = torch.Generator().manual_seed(config.seed * 1_000_003 + view)
            for rows in torch.split(torch.arange(n), BATCH):
                pixels = data.pixels[rows].to(device)
                x = to_unit_range(pixels) if view == 0 else augment(pixels, config.augment, generator)
                x = normalise(to_size(x, model.image_size)).contiguous(memory_format=torch.channels_last)
                found[view, rows.numpy()] = accumulator.evaluate(
                    partial(_in_parts, model.backbone, x)
                ).numpy()
                advance(len(rows))
    model.train(was_training)
    return Features(found, data.labels)


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
    advance: Callable[[int], None] = lambda _: None,
) -> Features:
    """As `embed`, but stored in the folder `cache` under a key of everything that the features depend on.

    The file is memory-mapped, so it may be larger than memory. Its name ends in a digest of its content, so
    a damaged file is computed again. An interrupted pass leaves no file that could be taken for a complete
    one.
    """
    key = feature_key(model, data, mean_std, config)
    path = next((file for file in sorted(cache.glob(f"{key}.*.npy")) if _is_intact(file)), None)
    if path is not None:
        advance((1 + config.views) * len(data))
        return Features(np.load(path, mmap_mode="r"), data.labels)
    unfinished = cache / f".{key}.{uuid4().hex[:8]}.npy"
    with explain_disk_errors(cache / f"{key}.npy"):
        cache.mkdir(parents=True, exist_ok=True)
        try:
            shape = (1 + config.views, len(data), model.backbone.n_features)
            out = np.lib.format.open_memmap(unfinished, mode="w+", dtype=np.float32, shape=shape)
            reserve(unfinished)
            embed(model, data, mean_std, config, out=out, advance=advance)
            out.flush()
            path = cache / f"{key}.{file_digest(unfinished)[:DIGEST_LENGTH]}.npy"
            os.replace(unfinished, path)
        finally:
            unfinished.unlink(missing_ok=True)
    return Features(np.load(path, mmap_mode="r"), data.labels)


def _is_intact(file: Path) -> bool:
    """Whether the content matches the digest in the name; a damaged file is removed, to be computed again."""
    if file_digest(file)[:DIGEST_LENGTH] == file.name.split(".")[1]:
        return True
    file.unlink()
    return False


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
