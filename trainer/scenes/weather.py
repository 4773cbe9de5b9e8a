"""Effects of light and weather on the finished picture: glows, reflections, glare, rain."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from trainer.scenes.camera import View
from trainer.scenes.canvas import NOBODY, Canvas
from trainer.scenes.light import Light, Rgb

Array = NDArray[np.float32]


def add_glows(pixels: Array, canvas: Canvas, horizon: float) -> None:
    """Halos of lamps and headlights that nothing hides, and their streaks on a wet road; in place."""
    for glow in canvas.glows:
        if canvas.owner_at(glow.x, glow.y) not in (glow.owner, NOBODY):
            continue
        radius = min(glow.radius, 0.12 * pixels.shape[0])
        _add_halo(pixels, glow.x, glow.y, radius, radius, glow.colour, glow.strength)
        if canvas.light.wet > 0.0 and glow.mirror_y > horizon:
            _add_halo(
                pixels,
                glow.x,
                glow.mirror_y,
                0.5 * radius,
                3.0 * radius,
                glow.colour,
                0.4 * glow.strength * canvas.light.wet,
            )


def _add_halo(
    pixels: Array, x: float, y: float, wide: float, tall: float, colour: Rgb, strength: float
) -> None:
    size = pixels.shape[0]
    left, right = max(0, int(x - 3.2 * wide)), min(size, int(x + 3.2 * wide) + 1)
    top, bottom = max(0, int(y - 3.2 * tall)), min(size, int(y + 3.2 * tall) + 1)
    if left >= right or top >= bottom:
        return
    across = (np.arange(left, right, dtype=np.float32) + 0.5 - np.float32(x)) / np.float32(wide)
    down = (np.arange(top, bottom, dtype=np.float32) + 0.5 - np.float32(y)) / np.float32(tall)
    square = across[None, :] ** 2 + down[:, None] ** 2
    shape = 0.65 * np.exp(-square * 2.5) + 0.35 * np.clip(1.0 - square / 10.0, 0.0, 1.0) ** 4
    pixels[top:bottom, left:right] += (np.float32(strength) * shape)[..., None] * np.array(
        colour, dtype=np.float32
    )


def add_glare(pixels: Array, view: View, light: Light) -> None:
    """The low sun in the lens: a veil that fades with the distance from it; in place."""
    if light.sun_strength <= 0.0 or abs(light.sun_bearing) > 0.75 or light.sun_elevation > 0.42:
        return
    x = view.centre + view.focal * np.tan(light.sun_bearing)
    y = view.horizon - view.focal * np.tan(light.sun_elevation)
    axis = np.arange(view.size, dtype=np.float32)
    distance = np.hypot(axis[None, :] - np.float32(x), axis[:, None] - np.float32(y)) / np.float32(view.size)
    veil = np.float32(0.62 * light.sun_strength) * np.exp(-distance / np.float32(0.34))
    pixels += veil[..., None] * (np.array([255.0, 226.0, 178.0], dtype=np.float32) - pixels)


def add_rain(pixels: Array, rng: np.random.Generator, light: Light) -> None:
    """Falling drops as short streaks; in place."""
    if light.wet <= 0.0:
        return
    size = pixels.shape[0]
    mask = Image.new("L", (size, size))
    draw = ImageDraw.Draw(mask)
    count = int(60 + 140 * light.wet)
    slant = float(rng.uniform(-0.25, 0.25))
    starts = rng.uniform(-0.1, 1.0, (count, 2)) * size
    lengths = rng.uniform(0.02, 0.07, count) * size
    for (x, y), length in zip(starts.tolist(), lengths.tolist(), strict=True):
        draw.line([(x, y), (x + slant * length, y + length)], fill=150)
    streaks = np.asarray(mask.filter(ImageFilter.BoxBlur(0.6)), dtype=np.float32) / 255.0
    bright = np.array(light.skyline, dtype=np.float32) * 0.7 + 70.0
    pixels += (0.5 * light.wet * streaks)[..., None] * (bright - pixels)
