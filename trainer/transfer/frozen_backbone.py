"""Training of a stage whose backbone is frozen: every image is embedded once, then only the heads train.

A frozen backbone needs no pass per epoch, so the same plan takes a fraction of the time. The outputs of the
heads on the training images are known at the end, and another stage can learn from them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from trainer.fit.batches import FitData, LabelledPixels, MeanStd
from trainer.fit.checkpoint_selection import EpochMetrics
from trainer.fit.config import LoopConfig
from trainer.fit.device import EXACT, ComputeConfig, computing, fixed_threads, placed
from trainer.fit.loop import FitResult
from trainer.fit.threads import ThreadChange
from trainer.models import StageModel
from trainer.transfer.features import BATCH, FeatureConfig, ThreadPlan, cached_features, outputs_from
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
        plan = ThreadPlan(fixed_threads(compute))
        train_features = cached_features(
            model, train, mean_std, views, cache.folder, threads=plan, advance=count
        )
        plan = replace(plan, before=train_features.threads)
        select_features = cached_features(
            model, select, mean_std, plain, cache.folder, threads=plan, advance=count
        )
        threads = (*train_features.threads, *select_features.threads)
        # The heads take seconds; they compute with the number that the features ended with.
        torch.set_num_threads(threads[-1].threads)
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
        threads=threads,
    )


@dataclass(frozen=True, slots=True)
class TeacherOutputs:
    """What a student learns from a teacher that is too slow to run at every step."""

    logits: Tensor
    """float32 [n, K], the mean over the views of each image"""
    threads: tuple[ThreadChange, ...]
    """Every number of threads that computed them"""


def teacher_outputs(
    model: StageModel,
    images: LabelledPixels,
    mean_std: MeanStd,
    loop: LoopConfig,
    cache: CachedViews,
    *,
    compute: ComputeConfig = EXACT,
    before: tuple[ThreadChange, ...] = (),
    advance: Callable[[int, int], None] = lambda _done, _all: None,
) -> TeacherOutputs:
    """Outputs of a trained stage on `images`; `before`: the threads that trained it.

    After `fit_frozen_backbone` on the same images with the same cache, no image is embedded again.
    """
    compute = compute.resolved()
    count = _counter(len(images) * (1 + cache.views), advance)
    with computing(compute) as device, placed(device, model):
        plan = ThreadPlan(fixed_threads(compute), before)
        views = cache.config(loop, compute)
        features = cached_features(model, images, mean_std, views, cache.folder, threads=plan, advance=count)
        each = [
            torch.from_numpy(outputs_from(model, features, view).logits) for view in range(1 + cache.views)
        ]
    return TeacherOutputs(torch.stack(each).mean(dim=0).float(), features.threads)


def _counter(total: int, advance: Callable[[int, int], None]) -> Callable[[int], None]:
    """A function that adds up its arguments and passes (sum, total) to `advance`."""
    done = 0

    def count(images: int) -> None:
        nonlocal done
        done += images
        advance(done, total)

    return count
