"""Tiles of smooth noise, computed once per process: clouds, asphalt, grass, film grain."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FloatTile = NDArray[np.float32]


@cache
def fractal_tile(side: int, roughness: float) -> FloatTile:
    """Fractal noise [side, side] in [0, 1] that wraps around: spectrum ~ frequency^-roughness."""
    rng = np.random.default_rng([side, int(roughness * 1000)])
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :])
    frequency[0, 0] = 1.0
    spectrum = np.fft.rfft2(rng.standard_normal((side, side))) * frequency**-roughness
    spectrum[0, 0] = 0.0
    field = np.fft.irfft2(spectrum, s=(side, side))
    ranks = field.ravel().argsort().argsort().reshape(side, side)
    return (ranks / (side * side - 1)).astype(np.float32)


@cache
def cloud_image(side: int) -> Image.Image:
    """Smooth fractal noise as an 8-bit image, for perspective resampling."""
    return Image.fromarray((fractal_tile(side, 1.7) * 255).astype(np.uint8))


@cache
def grain_tile(side: int) -> FloatTile:
    """Gaussian noise [side, side] with unit variance."""
    return np.random.default_rng([side, 7]).standard_normal((side, side)).astype(np.float32)
