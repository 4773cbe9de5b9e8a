"""Road signs. The same posts and plates carry roadwork warnings and warnings of other things."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from functools import partial

from trainer.scenes.canvas import Canvas, Spot
from trainer.scenes.light import Face, Rgb
from trainer.scenes.world import Item

_RED: Rgb = (206, 30, 36)
_WHITE: Rgb = (244, 242, 234)
_YELLOW: Rgb = (250, 200, 30)
_ORANGE: Rgb = (255, 124, 24)
_BLACK: Rgb = (26, 26, 28)
_BLUE: Rgb = (28, 84, 168)
_POST: Rgb = (142, 148, 152)
Symbol = Callable[[Spot, float, float], None]
"""Draws a symbol around (0, y) within +-half."""


class Plate(StrEnum):
    TRIANGLE_WHITE = "triangle, white"
    TRIANGLE_YELLOW = "triangle, yellow"
    DIAMOND_YELLOW = "diamond, yellow"
    DIAMOND_ORANGE = "diamond, orange"


def warning_sign(name: str, u: float, z: float, plate: Plate, symbol: Symbol, low: bool = False) -> Item:
    """A warning sign on a post; `low` stands it on a trestle on the ground, as mobile signs do."""
    return Item(
        name,
        u,
        z,
        1.0,
        0.1,
        1.7 if low else 3.1,
        partial(_paint_warning, plate, symbol, 0.75 if low else 2.35),
    )


def arrow_disc(u: float, z: float) -> Item:
    """A blue disc with a white arrow: pass on this side."""
    return Item("pass-by sign", u, z, 0.7, 0.1, 1.8, _paint_disc)


def chevron_board(u: float, z: float, side: int) -> Item:
    """Red and white chevrons that mark a bend."""
    return Item("chevron board", u, z, 1.8, 0.1, 1.5, partial(_paint_chevrons, side))


def _paint_warning(plate: Plate, symbol: Symbol, middle: float, canvas: Canvas, u: float, z: float) -> None:
    spot = canvas.stand(u, z)
    spot.line([(0, 0), (0, middle)], 0.07, _POST)
    if middle < 1.0:
        spot.line([(-0.35, 0), (0, middle)], 0.05, _POST)
        spot.line([(0.35, 0), (0, middle)], 0.05, _POST)
    if plate in (Plate.TRIANGLE_WHITE, Plate.TRIANGLE_YELLOW):
        outer = [(-0.54, middle - 0.34), (0.54, middle - 0.34), (0.0, middle + 0.6)]
        inner = [(-0.37, middle - 0.245), (0.37, middle - 0.245), (0.0, middle + 0.40)]
        spot.polygon(outer, _RED, Face.RETRO)
        spot.detail(inner, _WHITE if plate is Plate.TRIANGLE_WHITE else _YELLOW, Face.RETRO)
        symbol(spot, middle - 0.05, 0.2)
    else:
        rim, field = 0.62, 0.57
        spot.polygon(
            [(-rim, middle), (0, middle - rim), (rim, middle), (0, middle + rim)], _BLACK, Face.RETRO
        )
        face = [(-field, middle), (0, middle - field), (field, middle), (0, middle + field)]
        spot.detail(face, _YELLOW if plate is Plate.DIAMOND_YELLOW else _ORANGE, Face.RETRO)
        symbol(spot, middle, 0.28)


def digging_man(spot: Spot, y: float, half: float) -> None:
    """The roadwork symbol: a figure, a spade and a heap."""
    h = half
    spot.oval(-0.25 * h, y + 0.55 * h, 0.15 * h, y + 0.95 * h, _BLACK)
    spot.detail(
        [
            (-0.35 * h, y + 0.55 * h),
            (0.05 * h, y + 0.55 * h),
            (-0.15 * h, y - 0.2 * h),
            (-0.6 * h, y - 0.1 * h),
        ],
        _BLACK,
    )
    spot.detail(
        [
            (-0.6 * h, y - 0.1 * h),
            (-0.2 * h, y - 0.2 * h),
            (-0.1 * h, y - 0.95 * h),
            (-0.45 * h, y - 0.95 * h),
        ],
        _BLACK,
    )
    spot.line([(-0.1 * h, y + 0.4 * h), (0.6 * h, y - 0.5 * h)], 0.18 * h, _BLACK)
    spot.detail([(0.2 * h, y - 0.95 * h), (1.0 * h, y - 0.95 * h), (0.62 * h, y - 0.45 * h)], _BLACK)


def exclamation(spot: Spot, y: float, half: float) -> None:
    spot.detail(
        [
            (-0.18 * half, y + half),
            (0.18 * half, y + half),
            (0.1 * half, y - 0.3 * half),
            (-0.1 * half, y - 0.3 * half),
        ],
        _BLACK,
    )
    spot.oval(-0.15 * half, y - 0.85 * half, 0.15 * half, y - 0.5 * half, _BLACK)


def curve_arrow(spot: Spot, y: float, half: float) -> None:
    spot.line(
        [(0.1 * half, y - 0.9 * half), (0.1 * half, y), (-0.3 * half, y + 0.5 * half)], 0.28 * half, _BLACK
    )
    spot.detail(
        [(-0.65 * half, y + 0.95 * half), (-0.6 * half, y + 0.25 * half), (-0.02 * half, y + 0.65 * half)],
        _BLACK,
    )


def children(spot: Spot, y: float, half: float) -> None:
    for x, size in ((-0.4, 0.85), (0.35, 1.0)):
        h = half * size
        spot.oval(x * half - 0.17 * h, y + 0.5 * h, x * half + 0.17 * h, y + 0.85 * h, _BLACK)
        spot.detail(
            [
                (x * half - 0.22 * h, y + 0.5 * h),
                (x * half + 0.22 * h, y + 0.5 * h),
                (x * half + 0.12 * h, y - 0.9 * h),
                (x * half - 0.12 * h, y - 0.9 * h),
            ],
            _BLACK,
        )


def crossroads(spot: Spot, y: float, half: float) -> None:
    spot.line([(0, y - 0.9 * half), (0, y + 0.9 * half)], 0.3 * half, _BLACK)
    spot.line([(-0.6 * half, y - 0.1 * half), (0.6 * half, y - 0.1 * half)], 0.2 * half, _BLACK)


OTHER_SYMBOLS: tuple[Symbol, ...] = (exclamation, curve_arrow, children, crossroads)


def _paint_disc(canvas: Canvas, u: float, z: float) -> None:
    spot = canvas.stand(u, z)
    spot.line([(0, 0), (0, 1.2)], 0.06, _POST)
    spot.oval(-0.36, 1.0, 0.36, 1.72, _WHITE, Face.RETRO)
    spot.oval(-0.33, 1.03, 0.33, 1.69, _BLUE, Face.RETRO)
    spot.line([(0.18, 1.54), (-0.12, 1.24)], 0.1, _WHITE, Face.RETRO)
    spot.detail([(-0.22, 1.14), (-0.2, 1.38), (0.02, 1.16)], _WHITE, Face.RETRO)


def _paint_chevrons(side: int, canvas: Canvas, u: float, z: float) -> None:
    spot = canvas.stand(u, z)
    for x in (-0.7, 0.7):
        spot.line([(x, 0), (x, 1.0)], 0.07, _POST)
    spot.rectangle(-0.9, 0.85, 0.9, 1.4, _WHITE, Face.RETRO)
    for k in range(3):
        x = -0.75 + 0.6 * k
        tip = x + 0.28 * side
        spot.detail(
            [(x, 0.85), (x + 0.25, 0.85), (tip + 0.25, 1.125), (x + 0.25, 1.4), (x, 1.4), (tip, 1.125)],
            _RED,
            Face.RETRO,
        )
