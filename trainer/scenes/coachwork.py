"""How vehicles are painted, from behind or from the front."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trainer.scenes.canvas import Canvas, Point3
from trainer.scenes.light import Face, Rgb
from trainer.scenes.solids import box

_GLASS: Rgb = (52, 62, 72)
_TYRE: Rgb = (24, 24, 26)
_RED: Rgb = (176, 26, 26)
_BRIGHT_RED: Rgb = (255, 56, 40)
_WHITE: Rgb = (250, 246, 226)


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


def _wheels(body: Body, canvas: Canvas, u: float, z: float, radius: float) -> None:
    """The wheels on the side that faces the camera, and the tyres seen from the end."""
    half = body.width / 2
    right = canvas.view.point(u - half, 0, z)[0] > canvas.view.centre
    side = u - half if right else u + half
    angles = np.linspace(0.0, 2 * np.pi, 9)[:-1]
    for along in (0.19, 0.80):
        middle = z + along * body.length
        if middle - radius < canvas.view.z + 1.3:
            continue
        for r, colour in ((radius, _TYRE), (radius * 0.55, (118.0, 120.0, 122.0))):
            rim = [(side, radius + r * float(np.sin(a)), middle + r * float(np.cos(a))) for a in angles]
            canvas.polygon(rim, colour, Face.LEFT if right else Face.RIGHT)
    for end in (-1, 1):
        spot = canvas.stand(u + end * (half - 0.16), z + 0.05)
        spot.rectangle(-0.11, 0.0, 0.11, 0.34, _TYRE)


def _lights(body: Body, canvas: Canvas, u: float, z: float, low: float, high: float) -> None:
    """Tail lights or headlights at the near end; lit by night and while driving."""
    dark = canvas.light.night > 0.3 or canvas.light.wet > 0.0 or canvas.light.haze_density > 0.008
    half = body.width / 2
    burning = dark and not body.parked
    for end in (-1.0, 1.0):
        spot = canvas.stand(u + end * (half - 0.2), z)
        if body.oncoming:
            spot.rectangle(
                -0.17,
                low,
                0.17,
                high,
                _WHITE if burning else (206, 208, 204),
                Face.LIT if burning else Face.FRONT,
            )
            if burning:
                canvas.glow(
                    u + end * (half - 0.2),
                    (low + high) / 2,
                    z,
                    (255, 246, 214),
                    0.6,
                    0.4 + 0.4 * canvas.light.night,
                )
        else:
            lit = burning or (body.braking and not body.parked)
            colour = _BRIGHT_RED if lit else _RED
            spot.rectangle(-0.14, low, 0.14, high, colour, Face.LIT if lit else Face.RETRO)
            if lit:
                strength = (0.25 + 0.35 * canvas.light.night) * (1.5 if body.braking else 1.0)
                canvas.glow(u + end * (half - 0.2), (low + high) / 2, z, (255, 48, 32), 0.45, strength)


def paint_car(body: Body, canvas: Canvas, u: float, z: float) -> None:
    half, end = body.width / 2, z + body.length
    dark: Rgb = (body.paint[0] * 0.72, body.paint[1] * 0.72, body.paint[2] * 0.72)
    sill, waist, roof = 0.28, body.waist, body.height
    box(canvas, (u - half, u + half), (sill, waist), (z, end), body.paint)
    _wheels(body, canvas, u, z, 0.33)

    # The cabin: near window leans forward, the roof is narrower than the waist.
    near0 = z + (body.bonnet if body.oncoming else 0.08)
    near1 = near0 + (0.75 if body.oncoming else body.boot + 0.15)
    far1, far0 = (
        end - (body.boot if body.oncoming else body.bonnet) - 0.6,
        end - (0.1 if body.oncoming else body.bonnet),
    )
    inner = half - 0.16
    left_seen = canvas.view.point(u - half, 0, z)[0] > canvas.view.centre
    s = -1.0 if left_seen else 1.0
    face = Face.LEFT if left_seen else Face.RIGHT
    side: list[Point3] = [
        (u + s * half, waist, near0),
        (u + s * half, waist, far0),
        (u + s * inner, roof, far1),
        (u + s * inner, roof, near1),
    ]
    canvas.polygon(side, body.paint, face)
    panes: list[Point3] = [
        (u + s * (half - 0.02), waist + 0.03, near0 + 0.35),
        (u + s * (half - 0.02), waist + 0.03, far0 - 0.25),
        (u + s * (inner + 0.01), roof - 0.1, far1 - 0.05),
        (u + s * (inner + 0.01), roof - 0.1, near1 + 0.1),
    ]
    canvas.polygon(panes, _GLASS, face)
    canvas.polygon(
        [
            (u - inner, roof, near1),
            (u + inner, roof, near1),
            (u + inner, roof, far1),
            (u - inner, roof, far1),
        ],
        body.paint,
        Face.TOP,
    )
    canvas.polygon(
        [
            (u - half, waist, near0),
            (u + half, waist, near0),
            (u + inner, roof, near1),
            (u - inner, roof, near1),
        ],
        body.paint,
    )
    window: list[Point3] = [
        (u - half + 0.12, waist + 0.05, near0),
        (u + half - 0.12, waist + 0.05, near0),
        (u + inner - 0.08, roof - 0.09, near1),
        (u - inner + 0.08, roof - 0.09, near1),
    ]
    canvas.polygon(window, _GLASS)
    shine: list[Point3] = [
        (u - half + 0.5, waist + 0.05, near0),
        (u - half + 0.75, waist + 0.05, near0),
        (u - inner + 0.75, roof - 0.09, near1),
        (u - inner + 0.5, roof - 0.09, near1),
    ]
    canvas.glaze(shine, (210, 224, 236), 0.22)
    spot = canvas.stand(u, z)
    spot.rectangle(-half, sill - 0.04, half, sill + 0.2, dark)
    spot.rectangle(-half + 0.12, sill - 0.08, half - 0.12, sill + 0.05, (34, 34, 36))
    spot.rectangle(-0.26, sill + 0.20, 0.26, sill + 0.31, (226, 226, 218), Face.RETRO)
    if body.oncoming:
        spot.rectangle(-0.42, sill + 0.34, 0.42, waist - 0.12, (38, 40, 42))
    _lights(body, canvas, u, z, waist - 0.26, waist - 0.08)


def paint_van(body: Body, canvas: Canvas, u: float, z: float) -> None:
    half, end = body.width / 2, z + body.length
    dark: Rgb = (body.paint[0] * 0.75, body.paint[1] * 0.75, body.paint[2] * 0.75)
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
    spot.rectangle(-0.26, 0.42, 0.26, 0.54, (226, 226, 218), Face.RETRO)
    _lights(body, canvas, u, z, 0.72, 0.98)


def paint_bus(body: Body, canvas: Canvas, u: float, z: float) -> None:
    half, end = body.width / 2, z + body.length
    box(canvas, (u - half, u + half), (0.35, body.height), (z, end), body.paint)
    left_seen = canvas.view.point(u - half, 0, z)[0] > canvas.view.centre
    side = u - half if left_seen else u + half
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
        canvas.polygon(pane, glass, Face.LIT if inside else (Face.LEFT if left_seen else Face.RIGHT))
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
