"""Street furniture: lamps, bins, benches, bollards, bus stops, guard rails."""

from __future__ import annotations

from functools import partial

import numpy as np

from trainer.scenes.canvas import Canvas
from trainer.scenes.light import Face, Rgb, shaded
from trainer.scenes.solids import box
from trainer.scenes.world import Item

_STEEL: Rgb = (96, 102, 106)
LAMP_HEIGHT = 6.2
LAMP_REACH = 1.5


def lamp_post(u: float, z: float, side: int) -> Item:
    """A street lamp whose arm reaches over the road."""
    return Item("street lamp", u, z, 0.2, 0.2, LAMP_HEIGHT, partial(_paint_lamp, side), casts=True)


def bench(u: float, z: float) -> Item:
    return Item("bench", u, z, 1.6, 0.5, 0.85, _paint_bench)


def litter_bin(rng: np.random.Generator, u: float, z: float, colour: Rgb, name: str) -> Item:
    """A wheeled bin with a lid."""
    return Item(name, u, z, 0.6, 0.6, 1.1, partial(_paint_bin, colour, bool(rng.random() < 0.5)))


def bollard(u: float, z: float, first: Rgb, second: Rgb) -> Item:
    """A short post in two colours."""
    return Item("bollard", u, z, 0.16, 0.16, 0.95, partial(_paint_bollard, first, second))


def bus_stop(u: float, z: float, side: int) -> Item:
    """A glass shelter."""
    return Item("bus stop", u, z, 1.4, 3.6, 2.5, partial(_paint_shelter, side))


def guard_rail(u: float, z: float, length: float) -> Item:
    return Item(
        "guard rail", u, z, 0.2, length, 0.75, partial(_paint_rail, length), casts=False, continuous=True
    )


def utility_pole(u: float, z: float) -> Item:
    return Item("utility pole", u, z, 0.25, 0.25, 7.5, _paint_pole)


def traffic_light(rng: np.random.Generator, u: float, z: float) -> Item:
    return Item("traffic light", u, z, 0.3, 0.3, 3.3, partial(_paint_traffic_light, int(rng.integers(3))))


def container(rng: np.random.Generator, u: float, z: float) -> Item:
    """A shipping container beside the harbour road."""
    colours: tuple[Rgb, ...] = ((150, 62, 48), (54, 92, 132), (70, 116, 82), (176, 122, 52), (128, 132, 134))
    return Item(
        "container", u, z, 2.5, 6.0, 2.6, partial(_paint_container, colours[rng.integers(len(colours))])
    )


def _paint_lamp(side: int, canvas: Canvas, u: float, z: float) -> None:
    spot = canvas.stand(u, z)
    tip = -side * LAMP_REACH
    spot.line([(0, 0), (0, LAMP_HEIGHT - 0.3), (tip * 0.3, LAMP_HEIGHT)], 0.13, _STEEL)
    spot.line([(tip * 0.3, LAMP_HEIGHT), (tip, LAMP_HEIGHT)], 0.1, _STEEL)
    head = [
        (tip * 0.75, LAMP_HEIGHT + 0.08),
        (tip * 1.15, LAMP_HEIGHT + 0.04),
        (tip * 1.15, LAMP_HEIGHT - 0.1),
        (tip * 0.75, LAMP_HEIGHT - 0.14),
    ]
    if canvas.light.night > 0.3:
        spot.polygon(head, (255, 232, 186), Face.LIT)
        canvas.glow(u + tip, LAMP_HEIGHT - 0.1, z, (255, 190, 112), 1.1, 0.9 * canvas.light.night)
    else:
        spot.polygon(head, (150, 154, 156))


def _paint_bench(canvas: Canvas, u: float, z: float) -> None:
    spot = canvas.stand(u, z)
    for x in (-0.65, 0.65):
        spot.rectangle(x - 0.05, 0.0, x + 0.05, 0.45, (60, 62, 64))
    spot.rectangle(-0.8, 0.42, 0.8, 0.52, (134, 94, 60))
    spot.rectangle(-0.8, 0.62, 0.8, 0.85, (122, 84, 54))


def _paint_bin(colour: Rgb, handles: bool, canvas: Canvas, u: float, z: float) -> None:
    dark: Rgb = shaded(colour, 0.7)
    box(canvas, (u - 0.29, u + 0.29), (0.08, 1.0), (z, z + 0.6), colour)
    spot = canvas.stand(u, z)
    spot.rectangle(-0.33, 0.96, 0.33, 1.08, dark)
    for x in (-0.2, 0.2):
        spot.oval(x - 0.09, 0.0, x + 0.09, 0.18, (36, 36, 38))
    if handles:
        spot.rectangle(-0.16, 0.55, 0.16, 0.75, (226, 226, 220))


def _paint_bollard(first: Rgb, second: Rgb, canvas: Canvas, u: float, z: float) -> None:
    spot = canvas.stand(u, z)
    for k in range(5):
        spot.rectangle(-0.08, 0.19 * k, 0.08, 0.19 * (k + 1), second if k % 2 else first)


def _paint_shelter(side: int, canvas: Canvas, u: float, z: float) -> None:
    back = u + side * 0.7
    canvas.glaze(
        [(back, 0.2, z), (back, 0.2, z + 3.6), (back, 2.3, z + 3.6), (back, 2.3, z)], (150, 176, 190), 0.45
    )
    for y, dz in ((0.0, 0.0), (0.0, 3.6)):
        spot = canvas.stand(back, z + dz)
        spot.line([(0, y), (0, 2.4)], 0.08, _STEEL)
    box(canvas, (u - 0.7, u + 0.7), (2.35, 2.5), (z, z + 3.6), (110, 116, 120))
    spot = canvas.stand(u, z)
    spot.rectangle(side * 0.5 - 0.45, 0.4, side * 0.5 + 0.25, 1.9, (202, 206, 204))
    spot.rectangle(side * 0.5 - 0.38, 0.5, side * 0.5 + 0.18, 1.8, (84, 120, 168))


def _paint_rail(length: float, canvas: Canvas, u: float, z: float) -> None:
    near, far = max(z, canvas.view.z + 1.3), z + length
    if far <= near:
        return
    face = Face.LEFT if u > canvas.view.u else Face.RIGHT
    post = z
    while post < far:
        if post > near and canvas.view.scale(post) > 12.0:
            canvas.stand(u, post).rectangle(-0.05, 0.0, 0.05, 0.6, _STEEL)
        post += 2.0
    canvas.polygon([(u, 0.42, near), (u, 0.42, far), (u, 0.74, far), (u, 0.74, near)], (172, 178, 182), face)
    canvas.polygon([(u, 0.55, near), (u, 0.55, far), (u, 0.60, far), (u, 0.60, near)], (120, 126, 130), face)


def _paint_pole(canvas: Canvas, u: float, z: float) -> None:
    spot = canvas.stand(u, z)
    spot.line([(0, 0), (0, 7.5)], 0.2, (98, 82, 66))
    spot.line([(-0.9, 6.9), (0.9, 6.9)], 0.12, (98, 82, 66))


def _paint_traffic_light(state: int, canvas: Canvas, u: float, z: float) -> None:
    spot = canvas.stand(u, z)
    spot.line([(0, 0), (0, 2.4)], 0.12, (70, 74, 76))
    spot.rectangle(-0.18, 2.3, 0.18, 3.3, (34, 36, 38))
    lamps: tuple[Rgb, ...] = ((64, 220, 120), (255, 190, 60), (255, 64, 48))
    for k, colour in enumerate(lamps):
        y = 2.4 + 0.3 * k
        if k == state:
            spot.oval(-0.12, y, 0.12, y + 0.24, colour, Face.LIT)
            canvas.glow(u, y + 0.12, z, colour, 0.3 + 0.3 * canvas.light.night, 0.4)
        else:
            spot.oval(-0.12, y, 0.12, y + 0.24, shaded(colour, 0.2))


def _paint_container(colour: Rgb, canvas: Canvas, u: float, z: float) -> None:
    box(canvas, (u - 1.25, u + 1.25), (0.05, 2.6), (z, z + 6.0), colour)
    spot = canvas.stand(u, z)
    for k in range(9):
        x = -1.1 + k * 0.275
        spot.line([(x, 0.15), (x, 2.5)], 0.04, shaded(colour, 0.75))
