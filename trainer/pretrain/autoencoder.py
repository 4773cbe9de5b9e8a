"""Masked autoencoder (He et al., arXiv 2111.06377) around a transformer backbone."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainer.models.backbones import TransformerBackbone
from trainer.pretrain.masking import Masking, only_visible

EPSILON = 1e-6
"""Added to the variance of a patch"""


class MaskedAutoencoder(nn.Module):
    """Predicts the hidden patches of an image from its visible ones."""

    def __init__(
        self, backbone: TransformerBackbone, decoder: nn.Module, *, patch_size: int, normalise_patches: bool
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.decoder = decoder
        self.patch_size = patch_size
        self.normalise_patches = normalise_patches
        """Whether the target of each patch is normalised by its own mean and deviation (section 4.1)"""

    def forward(self, pixels: Tensor, masking: Masking) -> Tensor:
        """Mean squared error over the hidden patches, float32 []; pixels as in `predict`."""
        predicted = self.predict(pixels, masking).float()
        error = (predicted - self.targets(pixels)).square().mean(dim=-1)
        return error[masking.hidden].mean()

    def predict(self, pixels: Tensor, masking: Masking) -> Tensor:
        """Predicted patches, [B, N, patch_size^2 x 3]; pixels [B, 3, S, S], normalised as in every stage."""
        own = self.backbone.normalisation(pixels)
        with only_visible(self.backbone.net, masking.visible, self.backbone.first_patch):
            tokens = self.backbone.net(pixel_values=own).last_hidden_state
        # The decoder reads the class token and patches, but no registers.
        seen = torch.cat([tokens[:, :1], tokens[:, self.backbone.first_patch :]], dim=1)
        predicted: Tensor = self.decoder(seen, masking.restore).logits
        return predicted

    def targets(self, pixels: Tensor) -> Tensor:
        """Targets of `predict`, float32 [B, N, patch_size^2 x 3]."""
        patches = to_patches(self.backbone.normalisation(pixels).float(), self.patch_size)
        if not self.normalise_patches:
            return patches
        mean, deviation = patch_statistics(patches)
        return (patches - mean) / deviation

    def reconstruct(self, pixels: Tensor, masking: Masking) -> Tensor:
        """The image with its hidden patches predicted, float32 [B, 3, S, S], normalised as `pixels`.

        If targets are normalised, mean and deviation of each patch come from the image itself.
        """
        patches = to_patches(pixels.float(), self.patch_size)
        predicted = self.predict(pixels, masking).float()
        if self.normalise_patches:
            mean, deviation = patch_statistics(
                to_patches(self.backbone.normalisation(pixels).float(), self.patch_size)
            )
            predicted = predicted * deviation + mean
        side = pixels.shape[-1]
        whole = self._as_stage_input(from_patches(predicted, self.patch_size, side))
        hidden = masking.hidden.unsqueeze(-1)
        return from_patches(
            torch.where(hidden, to_patches(whole, self.patch_size), patches), self.patch_size, side
        )

    def _as_stage_input(self, own: Tensor) -> Tensor:
        """Undo the normalisation of the backbone."""
        if isinstance(self.backbone.normalisation, nn.Identity):
            return own
        zero = torch.zeros_like(own[:1])
        shift = self.backbone.normalisation(zero)
        image: Tensor = (own - shift) / (self.backbone.normalisation(zero + 1.0) - shift)
        return image


def to_patches(images: Tensor, patch_size: int) -> Tensor:
    """[B, 3, S, S] -> [B, N, patch_size^2 x 3], patches in row-major order, colours last."""
    b, channels, side, _ = images.shape
    n = side // patch_size
    grid = images.reshape(b, channels, n, patch_size, n, patch_size)
    return grid.permute(0, 2, 4, 3, 5, 1).reshape(b, n * n, patch_size**2 * channels)


def from_patches(patches: Tensor, patch_size: int, side: int) -> Tensor:
    """Inverse of `to_patches` for images of `side` pixels."""
    b, n = len(patches), side // patch_size
    grid = patches.reshape(b, n, n, patch_size, patch_size, -1)
    return grid.permute(0, 5, 1, 3, 2, 4).reshape(b, -1, side, side)


def patch_statistics(patches: Tensor) -> tuple[Tensor, Tensor]:
    """(mean, standard deviation) of every patch, each [B, N, 1]."""
    variance = patches.var(dim=-1, keepdim=True)
    return patches.mean(dim=-1, keepdim=True), (variance + EPSILON).sqrt()
