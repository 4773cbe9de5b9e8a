"""Check whether training may mirror images: only if the photographs do not tell left from right.

Mirroring is a sound augmentation exactly if a mirrored image of a class is as likely as the image. The
check tries it: within each class, a small network learns to tell mirrored images from originals, and is
tested on images that it was not trained on. Road signs carry arrows and digits, traffic keeps to one side;
cats look either way. The check runs within each class, because "arrow left" against "arrow right" is
symmetric as a whole, and mirroring would swap the labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.fit.augment import AugmentConfig, to_unit_range
from trainer.fit.batches import FitData, LabelledPixels, to_size
from trainer.fit.config import LoopConfig
from trainer.fit.device import EXACT
from trainer.fit.loop import fit
from trainer.models import ModelConfig, build_model

SIZE = 32
"""Pixels per side of the network's input"""
MOST_IMAGES = 3_000
FEWEST_IMAGES = 800
"""Images per class; fewer cannot show anything, so nothing is mirrored."""
LARGEST_ACCURACY = 0.55
"""Accuracy up to which the two count as indistinguishable (chance is .5, with a standard error of .025 on
the fewest images and .013 on the most)."""

COMPUTE = EXACT.model_copy(update={"threads": 1})
"""One thread, so that the result does not depend on the load of the machine"""

_MODEL = ModelConfig(name="cnn-tiny", width=16)
_LOOP = LoopConfig(
    epochs=12,
    batch_size=64,
    ema_decay=0.95,
    augment=AugmentConfig(smallest_crop=0.7, translate=0.05, brightness=0.2, contrast=0.2),
    checkpoint_selection="loss",
)


@dataclass(frozen=True, slots=True)
class MirrorCheck:
    """Result of the check, for the record of the run."""

    allowed: bool
    """Mirrored training images are as good as the originals, as far as a small network can tell."""
    reason: str


def check_mirroring(pixels: Tensor, labels: Tensor, *, seed: int = 0) -> MirrorCheck:
    """Check whether mirrored images of each class look like images of that class.

    `pixels` uint8 [n, size, size, 3] and `labels` int64 [n]: training images only. Takes seconds.
    """
    by_class = [torch.nonzero(labels == k).squeeze(-1) for k in range(int(labels.max()) + 1)]
    for k, rows in enumerate(by_class):
        if len(rows) < FEWEST_IMAGES:
            return MirrorCheck(
                False, f"class {k} has {len(rows)} training images; {FEWEST_IMAGES} are needed to judge"
            )
    for k, rows in enumerate(by_class):
        accuracy = mirror_accuracy(pixels[rows], seed=seed)
        if accuracy > LARGEST_ACCURACY:
            percent = f"{100 * accuracy:.0f} %"
            return MirrorCheck(
                False, f"mirrored images of class {k} are told from real ones in {percent} of cases"
            )
    return MirrorCheck(True, "mirrored images are not told from real ones, in any class")


def mirror_accuracy(pixels: Tensor, *, seed: int = 0) -> float:
    """Accuracy of a small network in telling mirrored images from originals, on images held out from it."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(pixels), generator=generator)[:MOST_IMAGES]
    small = to_size(to_unit_range(pixels[rows]), SIZE).mul(255).round().to(torch.uint8).permute(0, 2, 3, 1)
    mirrored = torch.randint(0, 2, (len(rows),), generator=generator)
    shown = torch.where(mirrored[:, None, None, None] == 1, small.flip(2), small)
    half = len(rows) // 2
    data = FitData(
        train=LabelledPixels(shown[:half], mirrored[:half]),
        select=LabelledPixels(shown[half:], mirrored[half:]),
        mean_std=((0.5, 0.5, 0.5), (0.25, 0.25, 0.25)),
    )
    model = build_model(_MODEL, SIZE, 2, seed=seed)
    config = _LOOP.model_copy(update={"seed": seed})
    result = fit(model, data, config, compute=COMPUTE)
    return result.history[-1].accuracy
