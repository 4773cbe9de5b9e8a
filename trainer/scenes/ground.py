"""The ground, pixel by pixel: bands, markings, texture, shadows, lamps' pools, wet shine, haze."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.scenes.camera import View
from trainer.scenes.lamps import BEAM_COLOUR, LAMP_COLOUR, LocalLight
from trainer.scenes.light import Face, Light
from trainer.scenes.noise import fractal_tile
from trainer.scenes.world import Band, Street

Array = NDArray[np.float32]
_REACH = 48.0
"""The bands are tabulated for |u| up to here, metres"""
_CELLS = 3200
_SHADOW_TINT = np.array([0.60, 0.56, 0.48], dtype=np.float32)
"""Share of each colour that a full shadow removes; the blue sky still lights it"""
_TILE = 512
_PAINT = (228.0, 228.0, 222.0)


@dataclass(frozen=True, slots=True)
class Plane:
    """Where each pixel below the horizon meets the ground."""

    top: int
    """First row of the ground"""
    depth: Array
    """[rows, 1]"""
    x: Array
    """[rows, columns], metres to the right of the camera's axis"""
    u: Array
    z: Array
    """[rows, 1]"""
    footprint: Array
    """[rows, 1], metres of ground a pixel covers sideways"""


def plane_of(view: View) -> Plane:
    """The ground plane as this view sees it."""
    top = int(np.ceil(view.horizon + 0.5))
    below = (np.arange(top, view.size, dtype=np.float32) + 0.5 - np.float32(view.horizon))[:, None]
    depth = np.minimum(np.float32(view.focal * view.height) / below, np.float32(600.0))
    footprint = depth / np.float32(view.focal)
    columns = np.arange(view.size, dtype=np.float32)[None, :] + np.float32(0.5 - view.centre)
    x = columns * footprint
    u = x - np.float32(view.bend) * depth * depth + np.float32(view.u)
    return Plane(top, depth, x, u, depth + np.float32(view.z), footprint)


def ground_pixels(plane: Plane, street: Street, light: Light, local: LocalLight, shadows: Array) -> Array:
    """The ground, float32 [rows, columns, 3] in 0..255; `shadows` [rows, columns] in [0, 1]."""
    surface = _bands(plane, street)
    colour = np.ascontiguousarray(surface[..., :3])
    roughness, soak = surface[..., 3], surface[..., 4]
    grit = _texture(plane, 21.0, 0.75) * np.exp(plane.depth / np.float32(-22.0))
    patches = _texture(plane, 7.0, 1.5)
    _blend(colour, _paint_cover(plane, street) * (0.78 + 0.44 * patches), _PAINT)
    tone = roughness * (grit + 0.55 * patches * np.exp(plane.depth / np.float32(-70.0)))
    colour += tone[..., None]

    shade = (1.0 - _stains(plane, street))[..., None]
    sunlit = 1.0 - shadows[..., None] * (_SHADOW_TINT * np.float32(1.0 - 0.5 * light.night))
    lit = np.array(light.faces[Face.TOP], dtype=np.float32) * sunlit
    if local.strength > 0.0:
        lamps, beam = local.on_ground(plane.x, plane.u, plane.z, plane.depth)
        lit += lamps[..., None] * np.array(LAMP_COLOUR, dtype=np.float32)
        lit += beam[..., None] * (0.8 * np.array(BEAM_COLOUR, dtype=np.float32))
    lit *= shade
    colour *= lit
    if light.wet > 0.0:
        _shine(colour, plane, light, soak, patches)
    clear = np.exp(-np.float32(light.haze_density) * plane.depth)[..., None]
    colour *= clear
    colour += np.array(light.haze, dtype=np.float32) * (1.0 - clear)
    return colour


def _bands(plane: Plane, street: Street) -> Array:
    """Colour, roughness and soak of the bands, averaged over each pixel's width: [rows, columns, 5]."""
    sums = _summed(street.bands)
    per_metre = np.float32(_CELLS / (2 * _REACH))
    half = plane.footprint / 2
    left = np.clip((plane.u - half + np.float32(_REACH)) * per_metre, 0, _CELLS - 1).astype(np.int32)
    right = np.clip((plane.u + half + np.float32(_REACH)) * per_metre, 1, _CELLS).astype(np.int32)
    np.maximum(right, left + 1, out=right)
    return np.asarray((sums[right] - sums[left]) / (right - left)[..., None], dtype=np.float32)


def _summed(bands: tuple[Band, ...]) -> Array:
    """Running sums over u of the bands' properties, float32 [cells + 1, 5]."""
    u = (np.arange(_CELLS) + 0.5) * (2 * _REACH / _CELLS) - _REACH
    which = np.maximum(np.searchsorted([band.lo for band in bands], u, side="right") - 1, 0)
    table = np.array([[*band.colour, band.roughness, float(band.soaks)] for band in bands])
    return np.concatenate([np.zeros((1, 5)), np.cumsum(table[which], axis=0)]).astype(np.float32)


def _paint_cover(plane: Plane, street: Street) -> Array:
    """How much of each pixel is white paint, [rows, columns] in [0, 1]."""
    across, along = _pixels_a_metre(plane)
    total = np.zeros_like(plane.u)
    for line in street.markings:
        cover = _within(plane.u, line.u, line.width / 2, across)
        if line.gap > 0.0:
            period = line.dash + line.gap
            phase = np.abs(np.mod(plane.z, period) - line.dash / 2)
            dashes = np.clip((line.dash / 2 - phase) * along + 0.5, 0.0, 1.0)
            blurred = np.clip(1.0 / (along * period), 0.0, 1.0)
            cover *= dashes * (1 - blurred) + blurred * (line.dash / period)
        np.maximum(total, cover, out=total)
    for z in street.crossings:
        rows = np.flatnonzero(_within(plane.z, z, 1.6, along)[:, 0] > 0.0)
        if len(rows):
            part = slice(int(rows[0]), int(rows[-1]) + 1)
            stripe = np.abs(np.mod(plane.u[part], 1.0) - 0.5)
            cover = np.clip((0.25 - stripe) * across[part] + 0.5, 0.0, 1.0)
            cover *= _within(plane.u[part], 0.0, street.half_width - 0.3, across[part])
            cover *= _within(plane.z[part], z, 1.6, along[part])
            np.maximum(total[part], cover, out=total[part])
    return total


def _stains(plane: Plane, street: Street) -> Array:
    """How much darker repairs and damp make each pixel, [rows, columns]."""
    across, along = _pixels_a_metre(plane)
    total = np.zeros_like(plane.u)
    for stain in street.stains:
        inside = _within(plane.z, stain.z, stain.half_length, along)
        rows = np.flatnonzero(inside[:, 0] > 0.0)
        if len(rows):
            part = slice(int(rows[0]), int(rows[-1]) + 1)
            total[part] += (
                stain.shade * inside[part] * _within(plane.u[part], stain.u, stain.half_width, across[part])
            )
    return total


def _pixels_a_metre(plane: Plane) -> tuple[Array, Array]:
    """Across and along the road, each [rows, 1]."""
    return 1.0 / plane.footprint, 1.0 / np.maximum(plane.depth * plane.footprint, np.float32(0.02))


def _within(position: Array, middle: float, half: float, scale: Array) -> Array:
    """How much of a pixel lies within `half` of `middle`, in [0, 1]."""
    return np.asarray(
        np.clip((np.float32(half) - np.abs(position - np.float32(middle))) * scale + 0.5, 0.0, 1.0)
        * np.minimum(np.float32(2.0 * half) * scale, 1.0),
        dtype=np.float32,
    )


def _blend(colour: Array, cover: Array, paint: tuple[float, float, float]) -> None:
    colour += cover[..., None] * (np.array(paint, dtype=np.float32) - colour)


def _texture(plane: Plane, per_metre: float, roughness: float) -> Array:
    """Noise fixed to the ground, [rows, columns] in [-0.5, 0.5]."""
    tile = fractal_tile(_TILE, roughness)
    columns = (plane.u * np.float32(per_metre)).astype(np.int32) & (_TILE - 1)
    rows = (plane.z * np.float32(per_metre)).astype(np.int32) & (_TILE - 1)
    return np.asarray(tile[rows, columns] - np.float32(0.5), dtype=np.float32)


def _shine(colour: Array, plane: Plane, light: Light, soak: Array, patches: Array) -> None:
    """Wet asphalt is darker, and mirrors the sky the more the flatter one looks at it."""
    colour *= 1.0 - np.float32(0.30 * light.wet) * soak[..., None]
    grazing = plane.depth / (plane.depth + 14.0)
    mirror = np.clip(grazing * (0.72 + 0.9 * patches), 0.0, 0.8) * soak * np.float32(light.wet)
    _blend(colour, mirror.astype(np.float32), light.skyline)
