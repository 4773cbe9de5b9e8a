"""The things that make a work site: cones, barriers, beacons, diggers, holes, heaps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from trainer.scenes.canvas import Canvas, Spot
from trainer.scenes.furniture import box
from trainer.scenes.light import Face, Rgb
from trainer.scenes.signs import Plate, digging_man, warning_sign
from trainer.scenes.world import Item

_ORANGE: Rgb = (252, 98, 22)
_RED: Rgb = (212, 34, 32)
_WHITE: Rgb = (240, 238, 230)
_AMBER: Rgb = (255, 176, 40)


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
        partial(_paint_cone, height, _dirty(_ORANGE, dirt), _dirty(_WHITE, dirt)),
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
        partial(_paint_barrier, width, shown, _dirty(_RED, dirt), _dirty(_WHITE, dirt)),
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
        partial(_paint_fence, length, _dirty(_RED, dirt), _dirty(_WHITE, dirt)),
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
        partial(_paint_beacon, lamp, _dirty(_RED, dirt), _dirty(_WHITE, dirt)),
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
        partial(_paint_blocks, length, _dirty(_RED, dirt), _dirty(_WHITE, dirt)),
    )


def roadwork_sign(rng: np.random.Generator, u: float, z: float) -> Item:
    """The warning sign for roadwork: a triangle or an orange diamond."""
    plates = (Plate.TRIANGLE_WHITE, Plate.TRIANGLE_YELLOW, Plate.TRIANGLE_YELLOW, Plate.DIAMOND_ORANGE)
    return warning_sign(
        "roadwork sign", u, z, plates[rng.integers(len(plates))], digging_man, low=bool(rng.random() < 0.6)
    )


def arrow_board(u: float, z: float) -> Item:
    """A trailer with a lit arrow."""
    return Item("arrow board", u, z, 1.9, 1.5, 2.7, _paint_arrow_board)


def digger(rng: np.random.Generator, u: float, z: float) -> Item:
    """An excavator on tracks."""
    colours: tuple[Rgb, ...] = ((244, 178, 30), (240, 130, 34), (228, 190, 60))
    reach = float(rng.choice([-1.0, 1.0]))
    colour = colours[rng.integers(len(colours))]
    return Item(
        "digger", u, z, 2.4, 3.2, 3.0, partial(_paint_digger, colour, reach, float(rng.uniform(-0.2, 0.5)))
    )


def roller(rng: np.random.Generator, u: float, z: float) -> Item:
    """A road roller."""
    return Item(
        "road roller",
        u,
        z,
        1.6,
        3.0,
        2.6,
        partial(_paint_roller, ((240, 180, 40), (236, 120, 36))[rng.integers(2)]),
    )


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


@dataclass(frozen=True, slots=True)
class Mound:
    colour: Rgb
    width: float
    height: float
    bumps: tuple[float, ...]


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
        (orange[0] * 0.6, orange[1] * 0.6, orange[2] * 0.6),
        Face.TOP,
    )
    half = 0.19 * height + 0.02

    def ring(low: float, high: float, colour: Rgb, face: Face) -> None:
        a, b = half * (1 - low * 0.82), half * (1 - high * 0.82)
        spot.polygon([(-a, low * h), (a, low * h), (b, high * h), (-b, high * h)], colour, face)

    spot.rectangle(-foot, 0.0, foot, 0.05, (orange[0] * 0.7, orange[1] * 0.7, orange[2] * 0.7))
    ring(0.04, 1.0, orange, Face.FRONT)
    ring(0.30, 0.52, white, Face.RETRO)
    ring(0.68, 0.84, white, Face.RETRO)
    spot.detail(
        [(half * 0.25, 0.05 * h), (half * 0.9, 0.05 * h), (half * 0.2, h), (half * 0.08, h)],
        (orange[0] * 0.8, orange[1] * 0.8, orange[2] * 0.8),
    )
    ring(0.30, 0.52, white, Face.RETRO)


def _striped(spot: Spot, left: float, bottom: float, right: float, top: float, red: Rgb, white: Rgb) -> None:
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
    _striped(spot, -half, 0.72, half, 1.0, red, white)
    _striped(spot, -half, 0.28, half, 0.44, red, white)
    if lamp:
        _amber_lamp(canvas, u - half + 0.2, 1.12, z)


def _amber_lamp(canvas: Canvas, u: float, y: float, z: float) -> None:
    spot = canvas.stand(u, z)
    spot.oval(-0.12, y - 0.12, 0.12, y + 0.14, _AMBER, Face.LIT)
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
    _striped(spot, -0.14, 0.14, 0.14, 1.12, red, white)
    if lamp:
        _amber_lamp(canvas, u, 1.24, z)


def _paint_arrow_board(canvas: Canvas, u: float, z: float) -> None:
    spot = canvas.stand(u, z)
    spot.rectangle(-0.85, 0.35, 0.85, 0.6, (70, 72, 74))
    for x in (-0.7, 0.7):
        spot.oval(x - 0.22, 0.0, x + 0.22, 0.44, (28, 28, 30))
    spot.line([(0, 0.5), (0, 1.2)], 0.14, (80, 82, 84))
    _striped(spot, -0.95, 0.62, 0.95, 0.86, _RED, _WHITE)
    spot.rectangle(-0.95, 1.0, 0.95, 2.6, (34, 34, 36))
    for x, y in (
        (-0.6, 1.8),
        (-0.35, 2.1),
        (-0.35, 1.5),
        (-0.1, 2.3),
        (-0.1, 1.3),
        (-0.3, 1.8),
        (0.0, 1.8),
        (0.3, 1.8),
        (0.6, 1.8),
    ):
        spot.oval(x - 0.12, y - 0.12, x + 0.12, y + 0.12, _AMBER, Face.LIT)
    canvas.glow(u - 0.2, 1.8, z, (255, 170, 50), 1.0, 0.3 + 0.4 * canvas.light.night)


def _paint_digger(colour: Rgb, reach: float, lift: float, canvas: Canvas, u: float, z: float) -> None:
    dark: Rgb = (colour[0] * 0.78, colour[1] * 0.78, colour[2] * 0.78)
    black: Rgb = (40, 40, 42)
    for x in (-0.95, 0.95):
        box(canvas, (u + x - 0.28, u + x + 0.28), (0.0, 0.75), (z, z + 3.0), black, (62, 62, 64))
    box(canvas, (u - 1.15, u + 1.15), (0.85, 1.75), (z + 0.2, z + 3.0), colour)
    cab = -reach * 0.55
    box(canvas, (u + cab - 0.55, u + cab + 0.55), (1.7, 2.9), (z + 0.5, z + 2.0), colour)
    glass = canvas.stand(u + cab, z + 0.5)
    glass.rectangle(-0.45, 1.85, 0.45, 2.75, (64, 80, 92))
    arm = canvas.stand(u, z)
    elbow, wrist = (reach * 1.6, 3.6 + lift), (reach * 3.1, 1.7 + lift)
    arm.polygon(
        [
            (reach * 0.35, 1.6),
            (reach * 0.75, 1.55),
            (elbow[0] + reach * 0.18, elbow[1] - 0.1),
            (elbow[0] - reach * 0.1, elbow[1] + 0.12),
        ],
        colour,
    )
    arm.polygon(
        [
            (elbow[0] - reach * 0.1, elbow[1] + 0.14),
            (elbow[0] + reach * 0.16, elbow[1] - 0.22),
            (wrist[0] + reach * 0.1, wrist[1]),
            (wrist[0] - reach * 0.14, wrist[1]),
        ],
        dark,
    )
    arm.line([(reach * 0.9, 2.0), (reach * 1.5, 3.1 + lift)], 0.09, (150, 152, 154))
    bucket = [(0.2, 0.1), (-0.45, -0.1), (-0.5, -0.6), (-0.1, -0.85), (0.25, -0.5)]
    arm.polygon([(wrist[0] + reach * x, wrist[1] + y) for x, y in bucket], (66, 66, 68))
    _amber_lamp(canvas, u + cab, 3.02, z + 0.6)


def _paint_roller(colour: Rgb, canvas: Canvas, u: float, z: float) -> None:
    box(canvas, (u - 0.7, u + 0.7), (0.6, 1.35), (z + 0.8, z + 2.8), colour)
    box(canvas, (u - 0.75, u + 0.75), (2.35, 2.5), (z + 0.9, z + 2.4), colour)
    spot = canvas.stand(u, z + 0.9)
    for x in (-0.68, 0.68):
        spot.line([(x, 1.3), (x, 2.4)], 0.08, (50, 50, 52))
    spot = canvas.stand(u, z)
    spot.rectangle(-0.78, 0.02, 0.78, 1.1, (112, 114, 118))
    spot.rectangle(-0.78, 0.62, 0.78, 0.78, (150, 152, 156))
    spot.rectangle(-0.84, 0.45, -0.74, 1.3, colour)
    spot.rectangle(0.74, 0.45, 0.84, 1.3, colour)


def _paint_heap(look: Mound, canvas: Canvas, u: float, z: float) -> None:
    spot = canvas.stand(u, z)
    xs = np.linspace(-1.0, 1.0, len(look.bumps))
    profile = (1.0 - np.abs(xs) ** 1.5) * (1.0 + np.array(look.bumps))
    half = look.width / 2
    outline = [(float(x) * half, float(y) * look.height) for x, y in zip(xs, profile, strict=True)]
    dark: Rgb = (look.colour[0] * 0.74, look.colour[1] * 0.74, look.colour[2] * 0.74)
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
    canvas.polygon([(a, 0, far), (b, 0, far), (b, -0.6, far), (a, -0.6, far)], (92, 72, 54))
