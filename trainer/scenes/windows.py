"""Windows and shop fronts, by day and by night."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trainer.scenes.canvas import Canvas, Point
from trainer.scenes.light import Face, Rgb

_GLASS: Rgb = (72, 90, 110)
_SKY_GLASS: Rgb = (118, 142, 164)
_LAMPLIGHT: tuple[Rgb, ...] = ((255, 214, 142), (255, 196, 112), (240, 226, 190))
_CREAM: Rgb = (232, 228, 220)
_LIT_SHARE = 0.38
_AT_HOME = np.random.default_rng(11).random((64, 16)).tolist()
"""One number per window: it is lit if the number is below the share of lit windows"""


@dataclass(frozen=True, slots=True)
class Glazing:
    """The windows of one house."""

    storeys: int
    storey: float
    """Height of a storey, metres"""
    bay: float
    """Distance of the window axes, metres"""
    frame: Rgb
    awning: Rgb | None
    """Its colour where the ground floor is a shop"""
    striped: bool
    """Whether the awning has white stripes"""
    residents: int
    """Chooses which windows are lit"""

    def rows(self) -> list[tuple[int, float, float]]:
        """(storey, sill, lintel) of the window rows, metres above the street."""
        first = 0 if self.awning is None else 1
        return [
            (j, j * self.storey + 0.95, j * self.storey + 0.78 * self.storey)
            for j in range(first, self.storeys)
        ]

    def light(self, axis: int, storey: int, night: float) -> Rgb | None:
        """The colour of a lit window, None for a dark one."""
        entry = _AT_HOME[(self.residents + axis) % 64][storey % 16]
        return _LAMPLIGHT[(axis + storey) % 3] if entry < _LIT_SHARE * night else None


def paint_street_windows(
    glazing: Glazing, canvas: Canvas, wall: float, side: int, near: float, along: tuple[float, float]
) -> None:
    """Windows on the wall u = `wall` between two z; nothing nearer than `near`."""
    view, (z, end) = canvas.view, along
    facing = Face.LEFT if side > 0 else Face.RIGHT
    bays = max(1, int((end - z - 0.6) / glazing.bay))
    margin = (end - z - bays * glazing.bay) / 2
    rows = glazing.rows()
    for i in range(bays):
        z0 = z + margin + (i + 0.24) * glazing.bay
        z1 = z0 + 0.52 * glazing.bay
        if z0 < near:
            continue
        x0, x1 = view.point(wall, 0.0, z0)[0], view.point(wall, 0.0, z1)[0]
        if abs(x1 - x0) < 1.2 or max(x0, x1) < 0 or min(x0, x1) > view.size:
            continue
        s0, s1 = view.scale(z0), view.scale(z1)
        for j, sill, lintel in rows:
            bottom0, bottom1 = (
                view.horizon + (view.height - sill) * s0,
                view.horizon + (view.height - sill) * s1,
            )
            top0, top1 = (
                view.horizon + (view.height - lintel) * s0,
                view.horizon + (view.height - lintel) * s1,
            )
            if max(bottom0, bottom1) < 0:
                break
            quad = [(x0, bottom0), (x1, bottom1), (x1, top1), (x0, top0)]
            _paint_pane(glazing, canvas, quad, (i, j), facing)
    if glazing.awning is not None:
        _paint_shop(glazing, glazing.awning, canvas, wall, side, (max(z, near) + 0.6, end - 0.6))


def paint_front_windows(
    glazing: Glazing, canvas: Canvas, wall: float, side: int, depth: float, z: float
) -> None:
    """Windows on the wall that looks at the camera; it begins at u = `wall`."""
    if canvas.view.scale(z) < 3.0:
        return
    bays = max(1, int(depth / (glazing.bay + 0.8)))
    for i in range(bays):
        spot = canvas.stand(wall + side * depth * (i + 0.5) / bays, z)
        if not -20.0 < spot.x < canvas.view.size + 20.0:
            continue
        left, right = spot.x - 0.55 * spot.scale, spot.x + 0.55 * spot.scale
        for j, sill, lintel in glazing.rows():
            bottom, top = spot.y - sill * spot.scale, spot.y - lintel * spot.scale
            quad = [(left, bottom), (right, bottom), (right, top), (left, top)]
            _paint_pane(glazing, canvas, quad, (i + 31, j), Face.FRONT)


def _paint_pane(
    glazing: Glazing, canvas: Canvas, quad: list[Point], place: tuple[int, int], face: Face
) -> None:
    """One window; near ones have a frame, and the sky in their upper half."""
    (x0, b0), (x1, b1), (_, t1), (_, t0) = quad
    glow = glazing.light(*place, canvas.light.night)
    wide = abs(x1 - x0)
    if wide > 7.0:
        rim = 0.14 * (x1 - x0)
        fringe = 0.1 * (b0 - t0)
        outer = [
            (x0 - rim, b0 + fringe),
            (x1 + rim, b1 + fringe),
            (x1 + rim, t1 - fringe),
            (x0 - rim, t0 - fringe),
        ]
        canvas.detail(outer, glazing.frame, face)
    if glow is not None:
        canvas.detail(quad, glow, Face.LIT)
    else:
        canvas.detail(quad, _GLASS if sum(place) % 4 else _SKY_GLASS, face)
        if wide > 7.0:
            upper = [(x0, 0.45 * b0 + 0.55 * t0), (x1, 0.3 * b1 + 0.7 * t1), (x1, t1), (x0, t0)]
            canvas.detail(upper, _SKY_GLASS, face)
    if wide > 10.0:
        canvas.line(
            [((x0 + x1) / 2, (b0 + b1) / 2), ((x0 + x1) / 2, (t0 + t1) / 2)], 1.2, glazing.frame, face
        )


def _paint_shop(
    glazing: Glazing, awning: Rgb, canvas: Canvas, wall: float, side: int, along: tuple[float, float]
) -> None:
    """Plate glass between pillars, and an awning over it."""
    z0, z1 = along
    if z1 <= z0:
        return
    facing = Face.LEFT if side > 0 else Face.RIGHT
    point, night = canvas.view.point, canvas.light.night > 0.5
    panes = max(1, round((z1 - z0) / 2.6))
    step = (z1 - z0) / panes
    for k in range(panes):
        a, b = z0 + step * k, z0 + step * (k + 0.86)
        glass = [point(wall, y, z) for y, z in ((0.6, a), (0.6, b), (2.3, b), (2.3, a))]
        if night:
            canvas.detail(glass, _LAMPLIGHT[(k + glazing.residents) % 3], Face.LIT)
        else:
            canvas.detail(glass, (84, 98, 110), facing)
    edge = wall - side * 1.0
    stripes = 9 if glazing.striped else 1
    for k in range(stripes):
        a, b = z0 + (z1 - z0) * k / stripes, z0 + (z1 - z0) * (k + 1) / stripes
        roof = [(wall, 2.95, a), (wall, 2.95, b), (edge, 2.45, b), (edge, 2.45, a)]
        canvas.polygon(roof, _CREAM if k % 2 else awning, facing)
