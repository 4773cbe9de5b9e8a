"""Shadows on the ground: cast by the sun, and contact shadows under objects."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from trainer.scenes.camera import View
from trainer.scenes.light import Light
from trainer.scenes.world import Item

Array = NDArray[np.float32]
_CONTACT = 0.62
"""Depth of the shade under things, on any day"""


def shadow_mask(items: Sequence[tuple[Item, float]], view: View, light: Light, top: int) -> Array:
    """Shade of the rows from `top` down, float32 [rows, size] in [0, 1]; items with their place z."""
    mask = Image.new("L", (view.size, view.size))
    draw = ImageDraw.Draw(mask)
    present = [
        (item, z) for item, z in items if item.casts and z + item.length > view.z + 2.0 and z < view.z + 50.0
    ]
    depth = int(255 * 0.9 * light.sun_strength)
    if depth > 8:
        shift_u, shift_z = light.shadow_reach
        for item, z in present:
            draw.polygon(_cast(item, z, shift_u * item.height, shift_z * item.height, view), fill=depth)
    for item, z in present:
        if item.height < 4.0:
            corners = _footprint(item, z, 0.06)
            draw.polygon([view.point(u, 0.0, w) for u, w in corners], fill=int(255 * _CONTACT))
    blurred = mask.filter(ImageFilter.BoxBlur(0.9 * view.size / 224))
    return np.asarray(blurred, dtype=np.float32)[top:] / np.float32(255.0)


def _footprint(item: Item, z: float, margin: float) -> list[tuple[float, float]]:
    half = item.width / 2 + margin
    return [
        (item.u - half, z - margin),
        (item.u + half, z - margin),
        (item.u + half, z + item.length),
        (item.u - half, z + item.length),
    ]


def _cast(item: Item, z: float, shift_u: float, shift_z: float, view: View) -> list[tuple[float, float]]:
    """The outline of footprint and shifted footprint together, in pixels."""
    base = _footprint(item, z, 0.0)
    points = base + [(u + shift_u, w + shift_z) for u, w in base]
    return [view.point(u, 0.0, max(w, view.z + 1.3)) for u, w in _hull(points)]


def _hull(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Convex hull, counter-clockwise (Andrew's monotone chain)."""
    ordered = sorted(points)

    def chain(run: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
        out: list[tuple[float, float]] = []
        for p in run:
            while len(out) > 1 and (out[-1][0] - out[-2][0]) * (p[1] - out[-2][1]) <= (
                out[-1][1] - out[-2][1]
            ) * (p[0] - out[-2][0]):
                out.pop()
            out.append(p)
        return out[:-1]

    return chain(ordered) + chain(ordered[::-1])
