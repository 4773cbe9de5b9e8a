"""Pictures of a pretraining: the loss over the epochs, and predicted patches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from trainer.fit.augment import to_unit_range
from trainer.fit.batches import Normaliser
from trainer.pretrain.autoencoder import MaskedAutoencoder, from_patches, to_patches
from trainer.pretrain.loop import PretrainEpoch, held_out_masking
from trainer.reports.pictures import BLUE, GREY, ORANGE, figure_on

SHOWN = 8
GREY_LEVEL = 0.5


def draw_loss(history: Sequence[PretrainEpoch], path: Path, subtitle: str) -> None:
    """Draw the loss on the training images and on those held out."""
    epochs = [epoch.epoch for epoch in history]
    with figure_on(path) as figure:
        axes = figure.subplots()
        axes.plot(epochs, [epoch.train_loss for epoch in history], color=BLUE, lw=1.8, label="training")
        axes.plot(epochs, [epoch.held_out_loss for epoch in history], color=ORANGE, lw=1.8, label="held out")
        axes.set_xlabel("epoch")
        axes.set_ylabel("mean squared error of hidden patches")
        axes.legend()
        figure.suptitle("Masked autoencoder\n", x=0.01, ha="left", fontweight="bold", fontsize=13)
        figure.text(0.01, 0.995, f"\n\n{subtitle}", va="top", fontsize=9, color=GREY)


def draw_reconstructions(
    model: MaskedAutoencoder, pixels: Tensor, normalise: Normaliser, hidden_share: float, path: Path
) -> None:
    """Draw held-out images, uint8 [m, S, S, 3]: visible patches, predicted patches, original."""
    shown = pixels[torch.linspace(0, len(pixels) - 1, min(SHOWN, len(pixels))).long()]
    side = shown.shape[1]
    masking = held_out_masking(len(shown), (side // model.patch_size) ** 2, hidden_share)
    images = to_unit_range(shown)
    with torch.inference_mode():
        predicted = model.eval().reconstruct(normalise(images), masking)
    mean, std = (torch.tensor(part).view(1, 3, 1, 1) for part in (normalise.mean, normalise.std))
    patches = to_patches(images, model.patch_size)
    seen = from_patches(patches.masked_fill(masking.hidden.unsqueeze(-1), GREY_LEVEL), model.patch_size, side)
    rows = {"visible": seen, "predicted": predicted * std + mean, "original": images}
    with figure_on(path, (1.25 * len(shown) + 0.6, 1.25 * len(rows) + 0.5)) as figure:
        grid = figure.subplots(len(rows), len(shown), squeeze=False)
        for line, (name, batch) in zip(grid, rows.items(), strict=True):
            line[0].set_ylabel(name)
            for axes, image in zip(line, batch.clamp(0.0, 1.0), strict=True):
                axes.imshow(image.permute(1, 2, 0).numpy(), interpolation="nearest")
                axes.set_xticks([])
                axes.set_yticks([])
                axes.grid(visible=False)
                for spine in axes.spines.values():
                    spine.set_visible(False)
