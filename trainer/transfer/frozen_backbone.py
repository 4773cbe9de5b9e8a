"""Training of a stage whose backbone is frozen: every image is embedded once, then only the heads train.

A frozen backbone needs no pass per epoch, so the same plan takes a fraction of the time. The outputs of the
heads on the training images are known at the end, and another stage can learn from them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from trainer.fit.batches import FitData, LabelledPixels, MeanStd
from trainer.fit.checkpoint_selection import EpochMetrics
from trainer.fit.config import LoopConfig
from trainer.fit.device import EXACT, ComputeConfig, computing, placed
from trainer.fit.loop import FitResult
from trainer.models import StageModel
from trainer.transfer.features import BATCH, FeatureConfig, cached_features, outputs_from
from trainer.transfer.linear_probe import LinearProbeConfig, fit_linear_probe

FEWEST_EPOCHS = 30
"""Least number of epochs for the heads; they take seconds."""


@dataclass(frozen=True, slots=True)
class CachedViews:
    """The embedded views of the training images and the folder that stores them."""

    views: int
    """Augmented views per image, beside the image itself"""
    folder: Path

    def config(self, loop: LoopConfig, compute: ComputeConfig) -> FeatureConfig:
        """Its seed is fixed, so that runs which differ only in their seed share the cached features."""
        bf16 = compute.precision == "bf16"
        return FeatureConfig(views=self.views, augment=loop.augment, bf16=bf16)


def fit_frozen_backbone(
    model: StageModel,
    data: FitData,
    loop: LoopConfig,
    cache: CachedViews,
    *,
    compute: ComputeConfig = EXACT,
    advance: Callable[[int, int], None] = lambda _done, _all: None,
    on_epoch: Callable[[EpochMetrics], None] = lambda _: None,
) -> FitResult:
    """Train the heads of `model` in place, on the images and on `cache.views` augmented views of each.

    Fields of `loop` that concern only the backbone are not read. Features of `data.select` are computed as
    in serving. `advance` gets (images embedded, all images).
    """
    compute = compute.resolved()
    train, select, mean_std = data.train, data.select, data.mean_std
    count = _counter(len(train) * (1 + cache.views) + len(select), advance)
    with computing(compute) as device, placed(device, model):
        views, plain = cache.config(loop, compute), FeatureConfig(views=0)
        train_features = cached_features(model, train, mean_std, views, cache.folder, advance=count)
        select_features = cached_features(model, select, mean_std, plain, cache.folder, advance=count)
        config = LinearProbeConfig(
            epochs=max(loop.epochs, FEWEST_EPOCHS),
            batch_size=loop.batch_size,
            lr=loop.lr,
            balance=loop.balance,
            objective=loop.objective,
            checkpoint_selection=loop.checkpoint_selection,
            seed=loop.seed,
        )
        result = fit_linear_probe(model, train_features, select_features, config, on_epoch=on_epoch)
    return FitResult(
        model=model,
        best_epoch=result.best_epoch,
        history=result.history,
        seconds=result.seconds,
        shortened=False,
        ended_early=False,
        micro_batch=BATCH,
    )


def teacher_logits(
    model: StageModel,
    images: LabelledPixels,
    mean_std: MeanStd,
    loop: LoopConfig,
    cache: CachedViews,
    *,
    compute: ComputeConfig = EXACT,
    advance: Callable[[int, int], None] = lambda _done, _all: None,
) -> Tensor:
    """Logits of a trained stage on `images`, float32 [n, K], the mean over their views.

    They train a student whose teacher is too slow to run at every step. After `fit_frozen_backbone` on the
    same images with the same cache, no image is embedded again.
    """
    compute = compute.resolved()
    count = _counter(len(images) * (1 + cache.views), advance)
    with computing(compute) as device, placed(device, model):
        views = cache.config(loop, compute)
        features = cached_features(model, images, mean_std, views, cache.folder, advance=count)
        each = [
            torch.from_numpy(outputs_from(model, features, view).logits) for view in range(1 + cache.views)
        ]
    return torch.stack(each).mean(dim=0).float()


def _counter(total: int, advance: Callable[[int, int], None]) -> Callable[[int], None]:
    """A function that adds up its arguments and passes (sum, total) to `advance`."""
    done = 0

    def count(images: int) -> None:
        nonlocal done
        done += images
        advance(done, total)

    return count
