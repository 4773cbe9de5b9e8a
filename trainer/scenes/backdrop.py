"""Background of a scene: sky, clouds, sun, stars, and the far skyline."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from trainer.scenes.camera import View
from trainer.scenes.canvas import NOBODY, Canvas
from trainer.scenes.conditions import District
from trainer.scenes.light import Light, Rgb, shaded
from trainer.scenes.noise import cloud_image

Array = NDArray[np.float32]
_CLOUD_SIDE = 1024
_TEXELS = 60.0


def sky_pixels(view: View, rows: int, light: Light, cloud_shift: tuple[float, float]) -> Array:
    """The sky above the horizon, float32 [rows, size, 3] in 0..255.

    `cloud_shift` in [0, 1]^2 chooses the piece of cloud; it stays the same through a sequence. The sky
    is smooth, so it is computed at half the resolution.
    """
    half = view.enlarged(0.5)
    coarse_rows = rows // 2 + 1
    climb = (np.float32(half.horizon) - np.arange(coarse_rows, dtype=np.float32)) / np.float32(half.focal)
    height = np.clip(climb, 0.0, None)[:, None]
    mix = (np.clip(height / 0.62, 0.0, 1.0) ** 0.75)[..., None]
    sky = (1 - mix) * np.array(light.skyline, dtype=np.float32) + mix * np.array(
        light.zenith, dtype=np.float32
    )
    sky = np.repeat(sky, half.size, axis=1)
    _add_sun(sky, half, height, light)
    if light.cloud_cover > 0.0:
        _add_clouds(sky, half, height, light, cloud_shift)
    image = Image.fromarray(np.clip(sky, 0.0, 255.0).astype(np.uint8))
    image = image.resize((view.size, rows), Image.Resampling.BILINEAR, (0, 0, view.size / 2, rows / 2))
    fine = np.array(image, dtype=np.float32)
    if light.night > 0.6 and light.cloud_cover < 0.7 and light.haze_density < 1 / 500:
        _add_stars(fine, light, cloud_shift)
    return fine


def _add_sun(sky: Array, view: View, height: Array, light: Light) -> None:
    if light.sun_strength <= 0.0 or abs(light.sun_bearing) > 1.2:
        return
    across = (np.arange(view.size, dtype=np.float32) - view.centre) / view.focal
    distance = np.hypot(across[None, :] - np.tan(light.sun_bearing), height - np.tan(light.sun_elevation))
    glare = light.sun_strength * (0.55 * np.exp(-distance / 0.16) + 1.2 * np.exp(-((distance / 0.028) ** 4)))
    warm = np.array([255.0, 232.0, 190.0], dtype=np.float32)
    sky += np.clip(glare, 0.0, 1.0)[..., None] * (warm - sky)


def _add_clouds(sky: Array, view: View, height: Array, light: Light, shift: tuple[float, float]) -> None:
    """A layer of cloud on a plane overhead, seen in perspective."""
    rows, columns = sky.shape[:2]
    # A homography: texture = start + TEXELS * (x, 0.55) / (height over the horizon + 0.1), in focal lengths.
    start_x, start_y = 310.0 + 400.0 * shift[0], -50.0 + 690.0 * shift[1]
    slope, base = -1.0 / view.focal, view.horizon / view.focal + 0.1
    coefficients = (
        _TEXELS / view.focal / base,
        start_x * slope / base,
        start_x - _TEXELS * view.centre / view.focal / base,
        0.0,
        start_y * slope / base,
        start_y + 0.55 * _TEXELS / base,
        0.0,
        slope / base,
    )
    noise = cloud_image(_CLOUD_SIDE).transform(
        (columns, rows), Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BILINEAR
    )
    density = np.asarray(noise, dtype=np.float32) / 255.0
    edge = 1.0 - light.cloud_cover
    cover = np.clip((density - edge) / 0.22, 0.0, 1.0)
    cover *= np.clip(height / 0.05, 0.15, 1.0)
    bright = np.array(light.faces[3], dtype=np.float32) * np.array([236.0, 238.0, 242.0], dtype=np.float32)
    bright = np.clip(bright, 0.0, 250.0) * np.float32(1.0 - 0.25 * light.night)
    belly = 0.55 * bright + 0.35 * np.array(light.zenith, dtype=np.float32)
    thick = np.clip((density - edge - 0.08) / 0.45, 0.0, 1.0)[..., None]
    cloud = bright + thick * (belly - bright)
    opacity = np.float32(0.92 if light.cloud_cover < 0.7 else 0.55)
    sky += opacity * cover[..., None] * (cloud - sky)


def _add_stars(sky: Array, light: Light, shift: tuple[float, float]) -> None:
    rng = np.random.default_rng([int(shift[0] * 1e6), int(shift[1] * 1e6)])
    count = 40
    rows = rng.integers(0, max(1, int(sky.shape[0] * 0.8)), count)
    columns = rng.integers(0, sky.shape[1], count)
    sky[rows, columns] += rng.uniform(20, 130, (count, 1)).astype(np.float32) * np.float32(light.night)


def paint_skyline(canvas: Canvas, district: District, seed: tuple[float, float]) -> None:
    """Hills, woods or roofs on the horizon, in two layers of haze."""
    rng = np.random.default_rng([int(seed[0] * 1e6), int(seed[1] * 1e6), 1])
    for distance, shade in ((420.0, 1.0), (190.0, 0.8)):
        canvas.begin(NOBODY, canvas.view.u, canvas.view.z + distance)
        built = district in (District.CENTRE, District.OLD_TOWN, District.HARBOUR)
        tops = _roofs(rng, distance) if built else _hills(rng, distance)
        colour: Rgb = (120.0, 122.0, 134.0) if built else (84.0, 108.0, 82.0)
        scale = canvas.view.focal / distance
        base = canvas.view.horizon + canvas.view.height * scale + 2.0
        outline = [(canvas.view.centre + x * scale, canvas.view.horizon - y * scale) for x, y in tops]
        polygon = [(outline[0][0], base), *outline, (outline[-1][0], base)]
        canvas.flat(polygon, shaded(colour, shade))


def _roofs(rng: np.random.Generator, distance: float) -> list[tuple[float, float]]:
    widths = rng.uniform(0.02, 0.07, 48) * distance
    heights = (rng.uniform(0.02, 0.075, 48) * distance).tolist()
    pitched = (rng.random(48) < 0.3).tolist()
    edges = np.concatenate([[0.0], np.cumsum(widths)])
    edges = (edges - edges[-1] / 2).tolist()
    points: list[tuple[float, float]] = []
    for left, right, height, gable in zip(edges[:-1], edges[1:], heights, pitched, strict=True):
        points.append((left, height))
        if gable:
            points.append(((left + right) / 2, 1.25 * height))
        points.append((right, height))
    return points


def _hills(rng: np.random.Generator, distance: float) -> list[tuple[float, float]]:
    x = np.linspace(-0.8, 0.8, 60)
    phases = rng.uniform(0.0, 2 * np.pi, 4)
    waves = sum(np.sin(x * f + p) / k for k, (f, p) in enumerate(zip((3, 7, 17, 41), phases, strict=True), 1))
    y = np.clip(0.035 + 0.014 * np.asarray(waves), 0.012, None)
    return [(float(a) * distance, float(b) * distance) for a, b in zip(x, y, strict=True)]
