"""Trees, bushes and hedges, dressed for the season."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np

from trainer.scenes.canvas import Canvas
from trainer.scenes.light import Face, Rgb, shaded
from trainer.scenes.world import Item

_SUMMER: tuple[Rgb, ...] = ((74, 116, 52), (92, 132, 60), (62, 100, 56), (104, 136, 66))
_SPRING: tuple[Rgb, ...] = ((122, 156, 72), (140, 166, 84), (104, 142, 64))
_AUTUMN: tuple[Rgb, ...] = ((196, 132, 46), (178, 92, 38), (168, 144, 58), (116, 122, 54))
_BARK: Rgb = (88, 70, 54)
_SHAPES = 24
"""Different crowns that grow in the city"""
_LAYERS = ((7, 0.62, 0.46, 0.66, -0.08), (9, 0.66, 0.30, 0.90, 0.04), (9, 0.58, 0.20, 1.04, 0.24))
"""Clumps, how far they reach, their size and shade, and how far the layer is raised"""


@dataclass(frozen=True, slots=True)
class Clump:
    """Leaves of one brightness, outlined in units of the crown's radius around its middle."""

    shade: float
    outline: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Crown:
    """What a tree carries on its trunk."""

    colour: Rgb
    radius: float
    trunk: float
    clumps: tuple[Clump, ...]
    """Back to front"""


@dataclass(frozen=True, slots=True)
class Branch:
    start: tuple[float, float]
    end: tuple[float, float]
    width: float
    """Metres"""


def leaf_colours(month: int) -> tuple[Rgb, ...] | None:
    """The season's leaves, None in winter."""
    if month in (12, 1, 2):
        return None
    if month in (3, 4, 5):
        return _SPRING
    return _AUTUMN if month in (10, 11) else _SUMMER


def tree(rng: np.random.Generator, u: float, z: float, month: int) -> Item:
    """A broad-leaved tree; bare in winter."""
    radius, trunk = float(rng.uniform(1.5, 2.7)), float(rng.uniform(2.0, 3.0))
    height = trunk + 1.7 * radius
    leaves = leaf_colours(month)
    if leaves is None:
        branches = _branches(int(rng.integers(_SHAPES)))
        return Item("tree", u, z, 0.4, 0.4, height, partial(_paint_bare, branches, trunk, radius))
    shade = float(rng.uniform(0.85, 1.12))
    base = leaves[rng.integers(len(leaves))]
    colour = shaded(base, shade)
    crown = Crown(colour, radius, trunk, _clumps(int(rng.integers(_SHAPES))))
    return Item("tree", u, z, 1.4 * radius, 1.4 * radius, height, partial(_paint_crown, crown))


@lru_cache(maxsize=_SHAPES)
def _clumps(shape: int) -> tuple[Clump, ...]:
    """Clumps of leaves: a dark mass first, then lighter and smaller ones, higher and nearer the sun."""
    rng = np.random.default_rng([shape, 1])
    clumps: list[Clump] = []
    for count, reach, size, shade, rise in _LAYERS:
        for k in range(count):
            angle = 2 * np.pi * (k * 0.382 + float(rng.uniform(0.0, 0.25)))
            away = reach * float(np.sqrt((k + rng.uniform(0.2, 0.8)) / count))
            x, y = away * float(np.cos(angle)), 0.82 * away * float(np.sin(angle)) + rise
            radii = size * rng.uniform(0.72, 1.25, 9)
            turns = 2 * np.pi * np.arange(9) / 9
            outline = np.stack([x + radii * np.cos(turns), y + 0.85 * radii * np.sin(turns)], axis=1)
            brightness = shade * float(rng.uniform(0.9, 1.08)) * (1.0 + 0.18 * y)
            clumps.append(Clump(brightness, tuple((float(a), float(b)) for a, b in outline)))
    return tuple(clumps)


def conifer(rng: np.random.Generator, u: float, z: float) -> Item:
    """A spruce."""
    height, width = float(rng.uniform(5.0, 9.0)), float(rng.uniform(1.3, 2.0))
    return Item("tree", u, z, width, width, height, partial(_paint_conifer, height, width))


def any_tree(rng: np.random.Generator, u: float, z: float, month: int) -> Item:
    """A tree as gardens and fields have them: one in five is a spruce."""
    return conifer(rng, u, z) if rng.random() < 0.2 else tree(rng, u, z, month)


def bush(rng: np.random.Generator, u: float, z: float, month: int) -> Item:
    """A low bush, green even in winter."""
    radius = float(rng.uniform(0.45, 0.85))
    colours = leaf_colours(month) or _SUMMER
    colour = colours[rng.integers(len(colours))]
    blobs = tuple((float(rng.uniform(-0.6, 0.6)), float(rng.uniform(-0.1, 0.4)), 0.6) for _ in range(5))
    return Item("bush", u, z, 2 * radius, radius, 1.4 * radius, partial(_paint_bush, colour, radius, blobs))


def hedge(u: float, z: float, length: float, side: int, height: float) -> Item:
    """A clipped hedge along the pavement."""
    return Item(
        "hedge",
        u,
        z,
        0.8,
        length,
        height,
        partial(_paint_hedge, side, length, height),
        casts=False,
        continuous=True,
    )


def _paint_crown(crown: Crown, canvas: Canvas, u: float, z: float) -> None:
    spot = canvas.stand(u, z)
    lean = 0.10 * crown.radius
    spot.polygon([(-0.16, 0), (0.16, 0), (0.09, crown.trunk + lean), (-0.09, crown.trunk + lean)], _BARK)
    middle, r = crown.trunk + 0.75 * crown.radius, crown.radius
    mass = 0.82 * r
    dark = shaded(crown.colour, 0.6)
    spot.oval(-mass, middle - 0.9 * mass, mass, middle + 0.9 * mass, dark)
    sunward = 0.22 * float(np.sin(canvas.light.sun_bearing)) * canvas.light.sun_strength
    far = r * spot.scale < 22.0
    for clump in crown.clumps[7:16] if far else crown.clumps:
        tint = shaded(crown.colour, clump.shade)
        shift = sunward * (clump.shade - 0.6)
        outline = [((x + shift) * r, middle + y * r) for x, y in clump.outline]
        spot.detail(outline, tint, Face.TOP if clump.shade > 1.0 and canvas.light.night < 0.5 else Face.FRONT)


@lru_cache(maxsize=_SHAPES)
def _branches(shape: int) -> tuple[Branch, ...]:
    """A bare crown as forking strokes, in units of its radius above the trunk's top."""
    rng = np.random.default_rng([shape, 2])
    branches: list[Branch] = []

    def grow(x: float, y: float, angle: float, length: float, width: float, forks: int) -> None:
        x1, y1 = x + length * float(np.sin(angle)), y + length * float(np.cos(angle))
        branches.append(Branch((x, y), (x1, y1), width))
        if forks:
            for turn in (-0.45, 0.4):
                bend = angle + turn + float(rng.uniform(-0.18, 0.18))
                grow(x1, y1, bend, length * float(rng.uniform(0.62, 0.8)), width * 0.6, forks - 1)

    grow(0.0, 0.0, float(rng.uniform(-0.1, 0.1)), 0.75, 0.16, 4)
    return tuple(branches)


def _paint_bare(
    branches: tuple[Branch, ...], trunk: float, radius: float, canvas: Canvas, u: float, z: float
) -> None:
    spot = canvas.stand(u, z)
    fork = 0.8 * trunk
    spot.polygon([(-0.15, 0), (0.15, 0), (0.09, fork + 0.1), (-0.09, fork + 0.1)], _BARK)
    for branch in branches:
        ends = [(x * radius, fork + y * radius) for x, y in (branch.start, branch.end)]
        spot.line(ends, max(branch.width, 0.035), _BARK)


def _paint_conifer(height: float, width: float, canvas: Canvas, u: float, z: float) -> None:
    spot = canvas.stand(u, z)
    spot.rectangle(-0.12, 0.0, 0.12, 1.0, _BARK)
    for k in range(5):
        low = 0.7 + (height - 0.7) * k / 5.6
        top = low + (height - 0.7) * 0.36
        half = width * (1.0 - k / 5.8)
        spot.polygon([(-half, low), (half, low), (0.0, top)], (42 + 4 * k, 78 + 5 * k, 54 + 3 * k))
        spot.detail(
            [(0.05 * half, low + 0.05), (half * 0.9, low + 0.05), (0.0, top)],
            (50 + 4 * k, 90 + 5 * k, 60 + 3 * k),
        )


def _paint_bush(
    colour: Rgb,
    radius: float,
    blobs: tuple[tuple[float, float, float], ...],
    canvas: Canvas,
    u: float,
    z: float,
) -> None:
    spot = canvas.stand(u, z)
    for shade, shrink, rise in ((0.7, 1.0, 0.5), (1.0, 0.7, 0.62)):
        tint = shaded(colour, shade)
        for x, y, size in blobs:
            s = size * shrink
            spot.oval(
                (x - s) * radius, (y + rise - s) * radius, (x + s) * radius, (y + rise + s) * radius, tint
            )


def _paint_hedge(side: int, length: float, height: float, canvas: Canvas, u: float, z: float) -> None:
    near, far = max(z, canvas.view.z + 1.3), z + length
    if far <= near:
        return
    inner, outer = u - side * 0.4, u + side * 0.4
    if near == z:
        canvas.polygon([(inner, 0, z), (outer, 0, z), (outer, height, z), (inner, height, z)], (56, 86, 46))
    facing = Face.LEFT if side > 0 else Face.RIGHT
    canvas.polygon(
        [(inner, 0, near), (inner, 0, far), (inner, height, far), (inner, height, near)], (62, 94, 50), facing
    )
    canvas.polygon(
        [(inner, height, near), (inner, height, far), (outer, height, far), (outer, height, near)],
        (88, 122, 64),
        Face.TOP,
    )
