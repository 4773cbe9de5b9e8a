"""Painting of vehicles, from behind or from the front."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trainer.scenes.canvas import Canvas, Point3
from trainer.scenes.light import Face, Rgb, shaded
from trainer.scenes.solids import box

_GLASS: Rgb = (52, 62, 72)
_TYRE: Rgb = (24, 24, 26)
_RED: Rgb = (176, 26, 26)
_BRIGHT_RED: Rgb = (255, 56, 40)
_WHITE: Rgb = (250, 246, 226)
_LENS: Rgb = (206, 208, 204)
_PLATE: Rgb = (226, 226, 218)


@dataclass(frozen=True, slots=True)
class Body:
    """Measures and colours of a vehicle, metres."""

    paint: Rgb
    width: float
    length: float
    height: float
    waist: float
    """Height of the lower edge of the windows"""
    bonnet: float
    """Length of the bonnet"""
    boot: float
    """How far the rear window leans forward"""
    oncoming: bool
    parked: bool
    braking: bool


def _left_side_shows(body: Body, canvas: Canvas, u: float, z: float) -> bool:
    """Whether the camera sees the left side rather than the right one."""
    return canvas.view.point(u - body.width / 2, 0.0, z)[0] > canvas.view.centre


def _wheels(body: Body, canvas: Canvas, u: float, z: float, radius: float) -> None:
    """The wheels on the side that faces the camera, and the tyres seen from the end."""
    half = body.width / 2
    left = _left_side_shows(body, canvas, u, z)
    side = u - half if left else u + half
    angles = np.linspace(0.0, 2 * np.pi, 9)[:-1]
    for along in (0.19, 0.80):
        middle = z + along * body.length
        if middle - radius < canvas.view.z + 1.3:
            continue
        for r, colour in ((radius, _TYRE), (radius * 0.55, (118.0, 120.0, 122.0))):
            rim = [(side, radius + r * float(np.sin(a)), middle + r * float(np.cos(a))) for a in angles]
            canvas.polygon(rim, colour, Face.LEFT if left else Face.RIGHT)
    for end in (-1, 1):
        spot = canvas.stand(u + end * (half - 0.16), z + 0.05)
        spot.rectangle(-0.11, 0.0, 0.11, 0.34, _TYRE)


def _lights(body: Body, canvas: Canvas, u: float, z: float, low: float, high: float) -> None:
    """Headlights or tail lights at the near end; lit in the dark, in rain and fog, and for braking."""
    light = canvas.light
    dim = light.night > 0.3 or light.wet > 0.0 or light.haze_density > 0.008
    lit = not body.parked and (dim or (body.braking and not body.oncoming))
    middle = (low + high) / 2
    for end in (-1.0, 1.0):
        x = u + end * (body.width / 2 - 0.2)
        spot = canvas.stand(x, z)
        if body.oncoming:
            spot.rectangle(-0.17, low, 0.17, high, _WHITE if lit else _LENS, Face.LIT if lit else Face.FRONT)
            if lit:
                canvas.glow(x, middle, z, _WHITE, 0.6, 0.4 + 0.4 * light.night)
        else:
            spot.rectangle(
                -0.14, low, 0.14, high, _BRIGHT_RED if lit else _RED, Face.LIT if lit else Face.RETRO
            )
            if lit:
                strength = (0.25 + 0.35 * light.night) * (1.5 if body.braking else 1.0)
                canvas.glow(x, middle, z, _BRIGHT_RED, 0.45, strength)


def paint_car(body: Body, canvas: Canvas, u: float, z: float) -> None:
    """A passenger car: body, wheels, cabin, and what is at its near end."""
    half, sill, waist = body.width / 2, 0.28, body.waist
    box(canvas, (u - half, u + half), (sill, waist), (z, z + body.length), body.paint)
    _wheels(body, canvas, u, z, 0.33)
    _paint_cabin(body, canvas, u, z)
    spot = canvas.stand(u, z)
    spot.rectangle(-half, sill - 0.04, half, sill + 0.2, shaded(body.paint, 0.72))
    spot.rectangle(-half + 0.12, sill - 0.08, half - 0.12, sill + 0.05, (34, 34, 36))
    spot.rectangle(-0.26, sill + 0.20, 0.26, sill + 0.31, _PLATE, Face.RETRO)
    if body.oncoming:
        spot.rectangle(-0.42, sill + 0.34, 0.42, waist - 0.12, (38, 40, 42))
    _lights(body, canvas, u, z, waist - 0.26, waist - 0.08)


def _paint_cabin(body: Body, canvas: Canvas, u: float, z: float) -> None:
    """Roof and windows: the end windows lean, and the roof is narrower than the waist."""
    waist, roof, end = body.waist, body.height, z + body.length
    half, inner = body.width / 2, body.width / 2 - 0.16
    if body.oncoming:
        near_foot, lean, far_foot = z + body.bonnet, 0.75, end - 0.1
        far_top = end - body.boot - 0.6
    else:
        near_foot, lean, far_foot, far_top = (
            z + 0.08,
            body.boot + 0.15,
            end - body.bonnet,
            end - body.bonnet - 0.6,
        )
    near_top = near_foot + lean
    s, face = (-1.0, Face.LEFT) if _left_side_shows(body, canvas, u, z) else (1.0, Face.RIGHT)

    def side(drop: float, front: float, back: float, inset: float) -> list[Point3]:
        return [
            (u + s * (half - inset), waist + inset, near_foot + front),
            (u + s * (half - inset), waist + inset, far_foot - back),
            (u + s * (inner + inset), roof - drop, far_top),
            (u + s * (inner + inset), roof - drop, near_top + 0.3 * front),
        ]

    def pane(left: float, right: float, drop: float) -> list[Point3]:
        """A piece of the near window, from `left` to `right` in shares of its width."""
        low, high = 2 * half * left - half, 2 * half * right - half
        low_top, high_top = 2 * inner * left - inner, 2 * inner * right - inner
        return [
            (u + low, waist + drop / 2, near_foot),
            (u + high, waist + drop / 2, near_foot),
            (u + high_top, roof - drop, near_top),
            (u + low_top, roof - drop, near_top),
        ]

    canvas.polygon(side(0.0, 0.0, 0.0, 0.0), body.paint, face)
    canvas.polygon(side(0.1, 0.35, 0.25, 0.02), _GLASS, face)
    top: list[Point3] = [
        (u + a, roof, b)
        for a, b in ((-inner, near_top), (inner, near_top), (inner, far_top), (-inner, far_top))
    ]
    canvas.polygon(top, body.paint, Face.TOP)
    canvas.polygon(pane(0.0, 1.0, 0.0), body.paint)
    canvas.polygon(pane(0.06, 0.94, 0.09), _GLASS)
    canvas.glaze(pane(0.25, 0.4, 0.09), (210, 224, 236), 0.22)


def paint_van(body: Body, canvas: Canvas, u: float, z: float) -> None:
    """A box on wheels: a van, or a lorry where it is tall."""
    half, end = body.width / 2, z + body.length
    dark: Rgb = shaded(body.paint, 0.75)
    box(canvas, (u - half, u + half), (0.45, body.height), (z, end), body.paint)
    _wheels(body, canvas, u, z, 0.38 if body.height < 3.0 else 0.48)
    spot = canvas.stand(u, z)
    if body.oncoming:
        screen = body.waist + 0.08
        spot.rectangle(-half + 0.12, screen, half - 0.12, min(screen + 0.85, body.height - 0.2), _GLASS)
        spot.rectangle(-0.55, 0.62, 0.55, screen - 0.2, (44, 46, 48))
    else:
        spot.line([(0, 0.5), (0, body.height - 0.1)], 0.04, dark)
        if body.height < 3.0:
            for x in (-0.5, 0.5):
                spot.rectangle(x - 0.34, body.height - 0.85, x + 0.34, body.height - 0.3, _GLASS)
        else:
            for x in (-0.45, 0.45):
                spot.line([(x, 0.6), (x, body.height - 0.15)], 0.05, dark)
    spot.rectangle(-half, 0.36, half, 0.58, (48, 50, 52))
    spot.rectangle(-0.26, 0.42, 0.26, 0.54, _PLATE, Face.RETRO)
    _lights(body, canvas, u, z, 0.72, 0.98)


def paint_bus(body: Body, canvas: Canvas, u: float, z: float) -> None:
    """A bus, lit inside by night."""
    half, end = body.width / 2, z + body.length
    box(canvas, (u - half, u + half), (0.35, body.height), (z, end), body.paint)
    left_shows = _left_side_shows(body, canvas, u, z)
    side = u - half if left_shows else u + half
    near = max(z + 0.4, canvas.view.z + 1.3)
    inside = canvas.light.night > 0.4
    glass: Rgb = (246, 232, 190) if inside else _GLASS
    if end - 0.4 > near:
        pane: list[Point3] = [
            (side, 1.35, near),
            (side, 1.35, end - 0.4),
            (side, 2.6, end - 0.4),
            (side, 2.6, near),
        ]
        canvas.polygon(pane, glass, Face.LIT if inside else (Face.LEFT if left_shows else Face.RIGHT))
    _wheels(body, canvas, u, z, 0.48)
    spot = canvas.stand(u, z)
    spot.rectangle(
        -half + 0.15,
        1.3 if body.oncoming else 1.7,
        half - 0.15,
        2.55,
        glass,
        Face.LIT if inside else Face.FRONT,
    )
    spot.rectangle(-0.8, 2.65, 0.8, 2.95, (28, 28, 30))
    spot.rectangle(-0.6, 2.72, 0.6, 2.88, (250, 170, 50), Face.LIT)
    spot.rectangle(-half, 0.3, half, 0.5, (40, 42, 44))
    _lights(body, canvas, u, z, 0.7, 0.95)
