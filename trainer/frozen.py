"""Train a stage whose backbone is frozen: every image is embedded once, then the heads alone are trained.

A frozen backbone needs no pass an epoch, so the same plan takes a fraction of the time. What the heads
say about the training images is known at the end, for another stage to learn from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from trainer.batches import LabelledPixels
from trainer.compute import EXACT, ComputeConfig, computing, placed
from trainer.features import BATCH, FeatureConfig, Features, cached_features, outputs_from
from trainer.loop import FitResult, LoopConfig
from trainer.models import StageModel
from trainer.probe import ProbeConfig, fit_heads
from trainer.selection import EpochMetrics

FEWEST_EPOCHS = 30
"""Of the heads; they take seconds."""


@dataclass(frozen=True, slots=True)
class FrozenFit:
    """A stage with trained heads, and what it says about the images that they were trained on."""

    result: FitResult
    taught: Tensor
    """float32 [n, K], logits of the training images, the mean over their views"""


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
) -> FrozenFit:
    """Train the heads of `model` in place, on the images as they are and `views` augmented views of each.

    Of `loop`, what concerns the backbone alone is not read. Features are kept in the folder `cache` and
    found there again; those of `select` are computed as they will be served. `advance` hears of images
    embedded, out of all.
    """
    compute = compute.resolved()
    total, done = len(train) * (1 + views) + len(select), 0

    def count(images: int) -> None:
        nonlocal done
        done += images
        advance(done, total)

    # Of no seed's own, so that runs which differ in the seed alone share what is kept.
    augmented = FeatureConfig(views=views, augment=loop.augment, bf16=compute.precision == "bf16")
    with computing(compute) as device, placed(device, model):
        kept = cached_features(model, train, mean_std, augmented, cache, advance=count)
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
        taught = _mean_logits(model, kept)
    fitted = FitResult(
        model=model,
        best_epoch=result.best_epoch,
        history=result.history,
        seconds=result.seconds,
        shortened=False,
        micro_batch=BATCH,
    )
    return FrozenFit(fitted, taught)


def _mean_logits(model: StageModel, features: Features) -> Tensor:
    """float32 [n, K]"""
    views = range(len(features.views))
    logits = [torch.from_numpy(outputs_from(model, features, view).logits) for view in views]
    return torch.stack(logits).mean(dim=0).float()
