"""Effects of the camera: exposure, blur, vignette, grain, JPEG."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from trainer.scenes.light import Light
from trainer.scenes.noise import grain_tile

Array = NDArray[np.float32]
_SHOULDER = np.float32(205.0)


@dataclass(frozen=True, slots=True)
class Lens:
    """A camera's faults, drawn once a sequence."""

    exposure: float
    """Factor on the brightness"""
    warmth: float
    """Shift from blue to red, -1..1"""
    defocus: float
    """Radius of the blur, pixels"""
    smear: int
    """Length of the horizontal motion blur, pixels; 1 is none"""
    grain: float
    """Standard deviation of the noise, colour steps"""
    quality: int
    """JPEG quality"""


def draw_lens(rng: np.random.Generator, light: Light, size: int, hardness: float) -> Lens:
    """A camera; the harder the scene, the worse."""
    blurred, smeared = rng.random() < 0.10 + 0.25 * hardness, rng.random() < 0.05 + 0.15 * hardness
    return Lens(
        exposure=float(rng.uniform(0.9, 1.1)) * (1.0 + 0.35 * light.night),
        warmth=float(rng.uniform(-1.0, 1.0)),
        defocus=float(rng.uniform(0.4, 0.7 + 0.7 * hardness)) * size / 224 if blurred else 0.0,
        smear=int(rng.integers(2, 4 + round(3 * hardness))) if smeared else 1,
        grain=float(rng.uniform(0.8, 2.5)) + 2.5 * light.night,
        quality=int(rng.integers(max(45, 74 - int(30 * hardness)), 95)),
    )


def develop(pixels: Array, lens: Lens, rng: np.random.Generator) -> bytes:
    """Pixels float32 [size, size, 3] as the camera would have stored them: a JPEG."""
    size = pixels.shape[0]
    if lens.smear > 1:
        pixels = _smeared(pixels, lens.smear)
    tint = np.array([1.0 + 0.03 * lens.warmth, 1.0, 1.0 - 0.035 * lens.warmth], dtype=np.float32)
    pixels = pixels * (_vignette(size) * (tint * np.float32(lens.exposure)))
    # Highlights roll off instead of clipping.
    excess = np.maximum(pixels - _SHOULDER, 0.0)
    pixels -= excess * excess / (excess + (255.0 - _SHOULDER))
    down, across = rng.integers(0, size, 2).tolist()
    grain = grain_tile(2 * size)[down : down + size, across : across + size]
    pixels += (np.float32(lens.grain) * grain)[..., None]
    np.clip(pixels, 0.0, 255.0, out=pixels)
    image = Image.fromarray(pixels.astype(np.uint8))
    if lens.defocus > 0.0:
        image = image.filter(ImageFilter.GaussianBlur(lens.defocus))
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=lens.quality)
    return buffer.getvalue()


def _smeared(pixels: Array, length: int) -> Array:
    """The mean of copies shifted to the right by 0..length - 1 pixels."""
    total = pixels.copy()
    for shift in range(1, length):
        total[:, shift:] += pixels[:, :-shift]
        total[:, :shift] += pixels[:, :1]
    return total / np.float32(length)


@lru_cache(maxsize=4)
def _vignette(size: int) -> Array:
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size - 0.5
    square = axis[None, :] ** 2 + axis[:, None] ** 2
    return (1.04 - 0.34 * square)[..., None].astype(np.float32)
