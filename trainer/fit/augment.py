"""Augmentation: random changes to a whole batch of training images as tensors.

Each image gets its own random change. All randomness comes from the `torch.Generator` argument, so one seed
repeats an epoch exactly. Four named levels build on each other: `none`, `geometric`, `colour`, `degraded`.
In a fifth, `ladder`, a quarter of the images stands on each of four such rungs, like the queries of the
roadwork task. No level mirrors an image, because left and right can matter (arrows, the closed side of a
road); mirroring is a separate option.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn import functional


class AugmentConfig(BaseModel):
    """Limits of each change. Zeros (and a scale of 1) change nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    horizontal_flip: bool = False
    """Mirror half of the images; only for tasks in which left and right mean the same."""
    rotation_degrees: float = Field(default=0.0, ge=0.0, le=180.0)
    """Rotate by up to this angle in either direction."""
    smallest_crop: float = Field(default=1.0, gt=0.0, le=1.0)
    """Crop to between this share of the area and the whole image, then scale back up."""
    aspect: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Stretch one side relative to the other by up to this share."""
    translate: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Shift by up to this share of the side, in addition to the crop."""
    brightness: float = Field(default=0.0, ge=0.0, lt=1.0)
    contrast: float = Field(default=0.0, ge=0.0, lt=1.0)
    saturation: float = Field(default=0.0, ge=0.0, lt=1.0)
    tint: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Scale red, green and blue independently."""
    downsample: float = Field(default=0.0, ge=0.0, le=1.0)
    """Share of the images whose resolution is halved."""
    blur: float = Field(default=0.0, ge=0.0, le=1.0)
    """Share of the images that are blurred, by a Gaussian of up to one pixel in 48 of the side."""
    noise: float = Field(default=0.0, ge=0.0, le=1.0)
    """Largest standard deviation of the pixel noise, of a range of 1."""
    erase: float = Field(default=0.0, ge=0.0, le=1.0)
    """Share of the images in which a rectangle is painted over (arXiv 1708.04896)."""
    rungs: bool = False
    """Draw for each image how many kinds of change it gets: none (except mirroring), geometric ones, colour
    and resolution as well, or also blur, noise and erasing."""


_GEOMETRIC = AugmentConfig(rotation_degrees=15.0, smallest_crop=0.5, aspect=0.15, translate=0.05)
_COLOUR = _GEOMETRIC.model_copy(
    update={"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "tint": 0.1, "downsample": 0.1}
)
_DEGRADED = _COLOUR.model_copy(update={"blur": 0.25, "noise": 0.05, "erase": 0.25})

_LADDER = AugmentConfig(
    rungs=True,
    rotation_degrees=20.0,
    smallest_crop=0.2,
    brightness=0.3,
    contrast=0.3,
    saturation=0.3,
    tint=0.1,
    downsample=0.5,
    blur=0.5,
    noise=0.08,
)

LEVELS: Mapping[str, AugmentConfig] = MappingProxyType(
    {
        "none": AugmentConfig(),
        "geometric": _GEOMETRIC,
        "colour": _COLOUR,
        "degraded": _DEGRADED,
        "ladder": _LADDER,
    }
)


def level(name: str) -> AugmentConfig:
    """The named level; `ValueError` lists the known ones."""
    try:
        return LEVELS[name]
    except KeyError:
        raise ValueError(f"augment level is {name!r}; it must be one of {', '.join(LEVELS)}") from None


def augment(images: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """A randomly changed copy of each image.

    `images`: uint8 [B, H, W, 3] or float32 [B, 3, H, W] in [0, 1]. Returns float32 [B, 3, H, W] in
    [0, 1]. The same generator state gives the same result.
    """
    x = to_unit_range(images)
    if config.rungs:
        return _on_rungs(x, config, generator)
    x = _warp(x, config, generator)
    x = _change_colours(x, config, generator)
    return _degrade(x, config, generator).clamp(0.0, 1.0)


def _on_rungs(x: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Apply every kind of change to every image, and keep it for images whose rung is high enough."""
    rung = (4 * _uniform(len(x), 0.0, 1.0, x, generator)).floor()[:, None, None, None]
    still = AugmentConfig(horizontal_flip=config.horizontal_flip)
    moving = config.model_copy(update={"horizontal_flip": False})
    x = _warp(x, still, generator)
    x = torch.where(rung >= 1, _warp(x, moving, generator), x)
    x = torch.where(rung >= 2, _change_colours(x, config, generator), x)
    return torch.where(rung >= 3, _degrade(x, config, generator), x).clamp(0.0, 1.0)


def _change_colours(x: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    return _downsample(_recolour(x, config, generator), config.downsample, generator)


def _degrade(x: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    x = _add_noise(_blur(x, config.blur, generator), config.noise, generator)
    return _erase(x, config.erase, generator)


def to_unit_range(images: Tensor) -> Tensor:
    """uint8 [B, H, W, 3] -> float32 [B, 3, H, W] in [0, 1]; float32 [B, 3, H, W] unchanged."""
    if images.dtype == torch.uint8 and images.ndim == 4 and images.shape[3] == 3:
        return images.permute(0, 3, 1, 2).to(torch.float32) / 255.0
    if images.dtype == torch.float32 and images.ndim == 4 and images.shape[1] == 3:
        return images
    raise ValueError(
        f"images are {images.dtype} {tuple(images.shape)}; need uint8 [B, H, W, 3] or float32 [B, 3, H, W]"
    )


def _uniform(n: int, low: float, high: float, like: Tensor, generator: torch.Generator) -> Tensor:
    """float32 [n] in [low, high), drawn on the device of the generator, moved to that of `like`."""
    drawn = torch.rand(n, generator=generator, device=generator.device)
    return (low + (high - low) * drawn).to(like.device)


def _chosen(n: int, share: float, like: Tensor, generator: torch.Generator) -> Tensor:
    """Rows (int64) of about `share` of n images."""
    return torch.nonzero(_uniform(n, 0.0, 1.0, like, generator) < share).squeeze(-1)


def _warp(x: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Rotation, crop, stretch, shift and mirroring in one resampling."""
    n = len(x)
    angle = math.radians(config.rotation_degrees) * _uniform(n, -1.0, 1.0, x, generator)
    zoom = _uniform(n, config.smallest_crop, 1.0, x, generator).sqrt()
    stretch = _uniform(n, -1.0, 1.0, x, generator) * math.log1p(config.aspect) / 2
    shift_x = _uniform(n, -1.0, 1.0, x, generator)
    shift_y = _uniform(n, -1.0, 1.0, x, generator)
    mirror = torch.ones(n, device=x.device)
    if config.horizontal_flip:
        mirror = torch.where(_uniform(n, 0.0, 1.0, x, generator) < 0.5, -mirror, mirror)
    elif not (config.rotation_degrees or config.aspect or config.translate or config.smallest_crop < 1.0):
        return x
    wide, high = zoom * stretch.exp(), zoom * (-stretch).exp()
    # Maps output coordinates in [-1, 1] to the input coordinates that they are read from.
    room = (1.0 - zoom) + 2.0 * config.translate
    theta = torch.stack(
        [
            torch.stack([mirror * wide * angle.cos(), -high * angle.sin(), room * shift_x], dim=-1),
            torch.stack([mirror * wide * angle.sin(), high * angle.cos(), room * shift_y], dim=-1),
        ],
        dim=1,
    )
    grid = functional.affine_grid(theta, list(x.shape), align_corners=False)
    return functional.grid_sample(x, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _recolour(x: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Brightness, contrast, saturation and tint, folded into one affine map of the colours."""
    n = len(x)
    if not (config.brightness or config.contrast or config.saturation or config.tint):
        return x

    def factor(strength: float) -> Tensor:
        return _uniform(n, 1.0 - strength, 1.0 + strength, x, generator)

    bright, contrast, saturation = (
        factor(s) for s in (config.brightness, config.contrast, config.saturation)
    )
    tint = torch.stack([factor(config.tint) for _ in range(3)], dim=-1)
    luma = torch.tensor([0.299, 0.587, 0.114], device=x.device)
    grey = torch.einsum("nchw,c->nhw", x, luma).unsqueeze(1)
    mean_grey = grey.mean(dim=(2, 3), keepdim=True)
    column = (slice(None), None, None, None)
    own = (bright * contrast * saturation)[column]
    shared = (bright * contrast * (1.0 - saturation))[column]
    offset = (bright * (1.0 - contrast))[column] * mean_grey
    return ((own * x + shared * grey + offset) * tint[:, :, None, None]).clamp(0.0, 1.0)


def _downsample(x: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Halve the resolution of some images and scale them back up."""
    if not share:
        return x
    rows = _chosen(len(x), share, x, generator)
    if not len(rows):
        return x
    small = functional.avg_pool2d(x[rows], 2, ceil_mode=True)
    coarse = functional.interpolate(small, size=x.shape[2:], mode="bilinear", align_corners=False)
    return x.index_copy(0, rows, coarse)


def _blur(x: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Gaussian blur of some images, each with its own width; rows first, then columns."""
    if not share:
        return x
    rows = _chosen(len(x), share, x, generator)
    if not len(rows):
        return x
    largest = max(1.0, x.shape[-1] / 48)
    reach = max(1, round(2 * largest))
    sigma = _uniform(len(rows), 0.3, largest, x, generator)
    offsets = torch.arange(-reach, reach + 1, device=x.device)
    kernel = torch.exp(-0.5 * (offsets / sigma[:, None]) ** 2)
    kernel = kernel / kernel.sum(dim=1, keepdim=True)
    blurred = x[rows]
    for axis, padding in ((3, (reach, reach, 0, 0)), (2, (0, 0, reach, reach))):
        padded = functional.pad(blurred, padding, mode="replicate")
        size = blurred.shape[axis]
        shifted = (padded.narrow(axis, i, size) for i in range(len(offsets)))
        blurred = torch.zeros_like(blurred)
        for i, part in enumerate(shifted):
            blurred = blurred + kernel[:, i, None, None, None] * part
    return x.index_copy(0, rows, blurred)


def _add_noise(x: Tensor, largest: float, generator: torch.Generator) -> Tensor:
    """Gaussian pixel noise; half of the images stay clean."""
    if not largest:
        return x
    strength = largest * _uniform(len(x), -1.0, 1.0, x, generator).clamp(min=0.0)
    noise = torch.randn(x.shape, generator=generator, device=generator.device).to(x.device)
    return x + strength[:, None, None, None] * noise


def _erase(x: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Paint a rectangle of 2 to 20 % of the area over in one random colour."""
    if not share:
        return x
    rows = _chosen(len(x), share, x, generator)
    if not len(rows):
        return x
    n, high, wide = len(rows), x.shape[2], x.shape[3]
    area = _uniform(n, 0.02, 0.2, x, generator)
    ratio = _uniform(n, -0.6, 0.6, x, generator).exp()
    box_high, box_wide = (area * ratio).sqrt() * high, (area / ratio).sqrt() * wide
    top = _uniform(n, 0.0, 1.0, x, generator) * (high - box_high)
    left = _uniform(n, 0.0, 1.0, x, generator) * (wide - box_wide)
    ys, xs = torch.arange(high, device=x.device), torch.arange(wide, device=x.device)
    in_rows = (ys >= top[:, None]) & (ys < (top + box_high)[:, None])
    in_columns = (xs >= left[:, None]) & (xs < (left + box_wide)[:, None])
    inside = (in_rows[:, :, None] & in_columns[:, None, :]).unsqueeze(1)
    colour = torch.rand(n, 3, generator=generator, device=generator.device).to(x.device)
    return x.index_copy(0, rows, torch.where(inside, colour[:, :, None, None], x[rows]))
