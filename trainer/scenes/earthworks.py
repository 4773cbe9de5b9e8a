"""Holes in the road and heaps of excavated material."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from trainer.scenes.canvas import Canvas
from trainer.scenes.light import Face, Rgb, shaded
from trainer.scenes.world import Item


@dataclass(frozen=True, slots=True)
class Mound:
    colour: Rgb
    width: float
    height: float
    bumps: tuple[float, ...]


def heap(rng: np.random.Generator, u: float, z: float) -> Item:
    """Dug-out earth or gravel."""
    colours: tuple[Rgb, ...] = ((120, 92, 66), (146, 122, 92), (112, 108, 104))
    bumps = tuple(float(b) for b in rng.uniform(-0.12, 0.12, 9))
    look = Mound(
        colours[rng.integers(len(colours))], float(rng.uniform(1.6, 3.2)), float(rng.uniform(0.7, 1.4)), bumps
    )
    return Item("heap", u, z, look.width, look.width * 0.7, look.height, partial(_paint_heap, look))


def trench(u: float, z: float, width: float, length: float) -> Item:
    """A hole in the road."""
    return Item(
        "trench", u, z, width, length, 0.0, partial(_paint_trench, width, length), casts=False, flat=True
    )


def _paint_heap(look: Mound, canvas: Canvas, u: float, z: float) -> None:
    spot = canvas.stand(u, z)
    xs = np.linspace(-1.0, 1.0, len(look.bumps))
    profile = (1.0 - np.abs(xs) ** 1.5) * (1.0 + np.array(look.bumps))
    half = look.width / 2
    outline = [(float(x) * half, float(y) * look.height) for x, y in zip(xs, profile, strict=True)]
    dark: Rgb = shaded(look.colour, 0.74)
    spot.polygon([(-half, 0.0), *outline, (half, 0.0)], dark)
    lit = [(x * 0.86 - 0.05 * half, y * 0.93) for x, y in outline[1:6]]
    spot.detail([(-half * 0.8, 0.0), *lit, (half * 0.12, 0.0)], look.colour, Face.TOP)


def _paint_trench(width: float, length: float, canvas: Canvas, u: float, z: float) -> None:
    near, far = max(z, canvas.view.z + 1.3), z + length
    if far <= near:
        return
    a, b = u - width / 2, u + width / 2
    rim = 0.25
    canvas.polygon(
        [(a - rim, 0, near), (b + rim, 0, near), (b + rim, 0, far + rim), (a - rim, 0, far + rim)],
        (132, 108, 80),
        Face.TOP,
    )
    canvas.polygon([(a, 0, near), (b, 0, near), (b, 0, far), (a, 0, far)], (44, 36, 30), Face.TOP)
    # Of the far wall, only what the near edge does not hide.
    seen = 0.75 * canvas.view.height * (far - near) / (near - canvas.view.z)
    bottom = -min(0.6, seen)
    canvas.polygon([(a, 0, far), (b, 0, far), (b, bottom, far), (a, bottom, far)], (92, 72, 54))
