"""Train a stage whose backbone is frozen: every image is embedded once, then the heads alone are trained.

A frozen backbone needs no pass an epoch, so the same plan takes a fraction of the time. What the heads
say about the training images is known at the end, for another stage to learn from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from trainer.fit.batches import LabelledPixels
from trainer.fit.checkpoint_selection import EpochMetrics
from trainer.fit.device import EXACT, ComputeConfig, computing, placed
from trainer.fit.loop import FitResult, LoopConfig
from trainer.models import StageModel
from trainer.transfer.features import BATCH, FeatureConfig, cached_features, outputs_from
from trainer.transfer.linear_probe import ProbeConfig, fit_heads

FEWEST_EPOCHS = 30
"""Of the heads; they take seconds."""


def fit_frozen(
    model: StageModel,
    train: LabelledPixels,
    select: LabelledPixels,
    mean_std: tuple[Sequence[float], Sequence[float]],
    loop: LoopConfig,
    *,
    views: int,
    cache: Path,
    compute: ComputeConfig = EXACT,
    advance: Callable[[int, int], None] = lambda _done, _all: None,
    on_epoch: Callable[[EpochMetrics], None] = lambda _: None,
) -> FitResult:
    """Train the heads of `model` in place, on the images as they are and `views` augmented views of each.

    Of `loop`, what concerns the backbone alone is not read. Features are kept in the folder `cache` and
    found there again; those of `select` are computed as they will be served. `advance` hears of images
    embedded, out of all.
    """
    compute = compute.resolved()
    count = _counted(len(train) * (1 + views) + len(select), advance)
    with computing(compute) as device, placed(device, model):
        kept = cached_features(model, train, mean_std, _views(loop, views, compute), cache, advance=count)
        plain = cached_features(model, select, mean_std, FeatureConfig(views=0), cache, advance=count)
        config = ProbeConfig(
            epochs=max(loop.epochs, FEWEST_EPOCHS),
            batch_size=loop.batch_size,
            lr=loop.lr,
            balance=loop.balance,
            objective=loop.objective,
            checkpoint_selection=loop.checkpoint_selection,
            seed=loop.seed,
        )
        result = fit_heads(model, kept, plain, config, on_epoch=on_epoch)
    return FitResult(
        model=model,
        best_epoch=result.best_epoch,
        history=result.history,
        seconds=result.seconds,
        shortened=False,
        micro_batch=BATCH,
    )


def lessons(
    model: StageModel,
    images: LabelledPixels,
    mean_std: tuple[Sequence[float], Sequence[float]],
    loop: LoopConfig,
    *,
    views: int,
    cache: Path,
    compute: ComputeConfig = EXACT,
    advance: Callable[[int, int], None] = lambda _done, _all: None,
) -> Tensor:
    """What a trained stage says about `images`, float32 [n, K]: its logits, the mean over their views.

    For a student that learns from a teacher too large to be asked at every step. After `fit_frozen` on
    the same images, with the same views and the same cache, no image is embedded again.
    """
    compute = compute.resolved()
    count = _counted(len(images) * (1 + views), advance)
    with computing(compute) as device, placed(device, model):
        kept = cached_features(model, images, mean_std, _views(loop, views, compute), cache, advance=count)
        each = [torch.from_numpy(outputs_from(model, kept, view).logits) for view in range(1 + views)]
    return torch.stack(each).mean(dim=0).float()


def _counted(total: int, advance: Callable[[int, int], None]) -> Callable[[int], None]:
    """Adds up what it is called with and tells `advance` the sum, out of `total`."""
    done = 0

    def count(images: int) -> None:
        nonlocal done
        done += images
        advance(done, total)

    return count


def _views(loop: LoopConfig, views: int, compute: ComputeConfig) -> FeatureConfig:
    """Of no seed's own, so that runs which differ in the seed alone share what is kept."""
    return FeatureConfig(views=views, augment=loop.augment, bf16=compute.precision == "bf16")
