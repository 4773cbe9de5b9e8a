"""Closures of a work site: cones, barriers, beacons, signs."""

from __future__ import annotations

from functools import partial

import numpy as np

from trainer.scenes.canvas import Canvas, Spot
from trainer.scenes.light import Face, Rgb, shaded
from trainer.scenes.signs import Plate, digging_man, warning_sign
from trainer.scenes.solids import box
from trainer.scenes.world import Item

_ORANGE: Rgb = (252, 98, 22)
RED: Rgb = (212, 34, 32)
WHITE: Rgb = (240, 238, 230)
AMBER: Rgb = (255, 176, 40)


def cone(rng: np.random.Generator, u: float, z: float, dirt: float) -> Item:
    """A traffic cone; `dirt` in [0, 1] takes its colour away."""
    height = float(rng.choice([0.5, 0.75, 0.75, 0.95]))
    return Item(
        "traffic cone",
        u,
        z,
        0.4,
        0.4,
        height,
        partial(_paint_cone, height, _dirty(_ORANGE, dirt), _dirty(WHITE, dirt)),
    )


def barrier(
    rng: np.random.Generator, u: float, z: float, dirt: float, width: float = 2.0, lamp: bool = True
) -> Item:
    """A striped plank on feet across the road, mostly with an amber lamp."""
    shown = lamp and bool(rng.random() < 0.6)
    return Item(
        "barrier",
        u,
        z,
        width,
        0.4,
        1.1,
        partial(_paint_barrier, width, shown, _dirty(RED, dirt), _dirty(WHITE, dirt)),
    )


def fence(u: float, z: float, length: float, dirt: float) -> Item:
    """Striped planks along the road, guarding an edge."""
    return Item(
        "barrier",
        u,
        z,
        0.3,
        length,
        1.05,
        partial(_paint_fence, length, _dirty(RED, dirt), _dirty(WHITE, dirt)),
    )


def beacon(u: float, z: float, dirt: float, lamp: bool) -> Item:
    """An upright striped panel on a foot."""
    return Item(
        "guide beacon",
        u,
        z,
        0.4,
        0.4,
        1.25,
        partial(_paint_beacon, lamp, _dirty(RED, dirt), _dirty(WHITE, dirt)),
    )


def block(u: float, z: float, length: float, dirt: float) -> Item:
    """Red and white plastic blocks in a row along the road."""
    return Item(
        "barrier",
        u,
        z,
        0.5,
        length,
        0.85,
        partial(_paint_blocks, length, _dirty(RED, dirt), _dirty(WHITE, dirt)),
    )


def roadwork_sign(rng: np.random.Generator, u: float, z: float) -> Item:
    """The warning sign for roadwork: a triangle or an orange diamond."""
    plates = (Plate.TRIANGLE_WHITE, Plate.TRIANGLE_YELLOW, Plate.TRIANGLE_YELLOW, Plate.DIAMOND_ORANGE)
    return warning_sign(
        "roadwork sign", u, z, plates[rng.integers(len(plates))], digging_man, low=bool(rng.random() < 0.6)
    )


def _dirty(colour: Rgb, dirt: float) -> Rgb:
    grey = (112.0, 106.0, 98.0)
    return (
        colour[0] + 0.62 * dirt * (grey[0] - colour[0]),
        colour[1] + 0.62 * dirt * (grey[1] - colour[1]),
        colour[2] + 0.62 * dirt * (grey[2] - colour[2]),
    )


def _paint_cone(height: float, orange: Rgb, white: Rgb, canvas: Canvas, u: float, z: float) -> None:
    spot = canvas.stand(u, z)
    foot, h = 0.27 * height + 0.03, height
    canvas.polygon(
        [
            (u - foot, 0.02, z),
            (u + foot, 0.02, z),
            (u + foot, 0.02, z + 2 * foot),
            (u - foot, 0.02, z + 2 * foot),
        ],
        shaded(orange, 0.6),
        Face.TOP,
    )
    half = 0.19 * height + 0.02

    def ring(low: float, high: float, colour: Rgb, face: Face) -> None:
        a, b = half * (1 - low * 0.82), half * (1 - high * 0.82)
        spot.polygon([(-a, low * h), (a, low * h), (b, high * h), (-b, high * h)], colour, face)

    spot.rectangle(-foot, 0.0, foot, 0.05, shaded(orange, 0.7))
    ring(0.04, 1.0, orange, Face.FRONT)
    ring(0.30, 0.52, white, Face.RETRO)
    ring(0.68, 0.84, white, Face.RETRO)
    spot.detail(
        [(half * 0.25, 0.05 * h), (half * 0.9, 0.05 * h), (half * 0.2, h), (half * 0.08, h)],
        shaded(orange, 0.8),
    )
    ring(0.30, 0.52, white, Face.RETRO)


def striped_plank(
    spot: Spot, left: float, bottom: float, right: float, top: float, red: Rgb, white: Rgb
) -> None:
    """A plank with slanting stripes."""
    spot.rectangle(left, bottom, right, top, white, Face.RETRO)
    tall, step = top - bottom, 0.44
    x = left - tall
    while x < right:
        points = [
            (max(left, min(right, a)), b)
            for a, b in ((x, bottom), (x + step / 2, bottom), (x + step / 2 + tall, top), (x + tall, top))
        ]
        spot.detail(points, red, Face.RETRO)
        x += step


def _paint_barrier(
    width: float, lamp: bool, red: Rgb, white: Rgb, canvas: Canvas, u: float, z: float
) -> None:
    spot = canvas.stand(u, z)
    half = width / 2
    for x in (-half + 0.2, half - 0.2):
        spot.line([(x, 0), (x, 1.0)], 0.07, (70, 72, 74))
        spot.rectangle(x - 0.22, 0.0, x + 0.22, 0.1, (52, 50, 50))
    striped_plank(spot, -half, 0.72, half, 1.0, red, white)
    striped_plank(spot, -half, 0.28, half, 0.44, red, white)
    if lamp:
        amber_lamp(canvas, u - half + 0.2, 1.12, z)


def amber_lamp(canvas: Canvas, u: float, y: float, z: float) -> None:
    spot = canvas.stand(u, z)
    spot.oval(-0.12, y - 0.12, 0.12, y + 0.14, AMBER, Face.LIT)
    canvas.glow(u, y, z, (255, 160, 40), 0.5, 0.25 + 0.55 * canvas.light.night)


def _paint_fence(length: float, red: Rgb, white: Rgb, canvas: Canvas, u: float, z: float) -> None:
    face = Face.LEFT if canvas.view.point(u, 0, z + length / 2)[0] > canvas.view.centre else Face.RIGHT
    near, far = max(z, canvas.view.z + 1.3), z + length
    step, a = 0.5, near
    odd = round((near - z) / step) % 2
    while a < far:
        b = min(a + step, far)
        for low, high in ((0.75, 1.02), (0.3, 0.44)):
            canvas.polygon(
                [(u, low, a), (u, low, b), (u, high, b), (u, high, a)], white if odd else red, face
            )
        odd, a = 1 - odd, b
    for post in (near, far):
        canvas.stand(u, post).line([(0, 0), (0, 1.0)], 0.06, (70, 72, 74))


def _paint_blocks(length: float, red: Rgb, white: Rgb, canvas: Canvas, u: float, z: float) -> None:
    count = max(1, round(length / 1.2))
    for k in reversed(range(count)):
        a, b = z + length * k / count, z + length * (k + 1) / count
        box(canvas, (u - 0.22, u + 0.22), (0.0, 0.8), (a, b), white if k % 2 else red)


def _paint_beacon(lamp: bool, red: Rgb, white: Rgb, canvas: Canvas, u: float, z: float) -> None:
    spot = canvas.stand(u, z)
    spot.rectangle(-0.3, 0.0, 0.3, 0.1, (58, 56, 54))
    striped_plank(spot, -0.14, 0.14, 0.14, 1.12, red, white)
    if lamp:
        amber_lamp(canvas, u, 1.24, z)
