"""The machines on a work site: arrow boards, diggers, rollers."""

from __future__ import annotations

from functools import partial

import numpy as np

from trainer.scenes.canvas import Canvas
from trainer.scenes.light import Face, Rgb, shaded
from trainer.scenes.roadwork import AMBER, RED, WHITE, amber_lamp, striped_plank
from trainer.scenes.solids import box
from trainer.scenes.world import Item


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


def _paint_arrow_board(canvas: Canvas, u: float, z: float) -> None:
    spot = canvas.stand(u, z)
    spot.rectangle(-0.85, 0.35, 0.85, 0.6, (70, 72, 74))
    for x in (-0.7, 0.7):
        spot.oval(x - 0.22, 0.0, x + 0.22, 0.44, (28, 28, 30))
    spot.line([(0, 0.5), (0, 1.2)], 0.14, (80, 82, 84))
    striped_plank(spot, -0.95, 0.62, 0.95, 0.86, RED, WHITE)
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
        spot.oval(x - 0.12, y - 0.12, x + 0.12, y + 0.12, AMBER, Face.LIT)
    canvas.glow(u - 0.2, 1.8, z, (255, 170, 50), 1.0, 0.3 + 0.4 * canvas.light.night)


def _paint_digger(colour: Rgb, reach: float, lift: float, canvas: Canvas, u: float, z: float) -> None:
    dark: Rgb = shaded(colour, 0.78)
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
    amber_lamp(canvas, u + cab, 3.02, z + 0.6)


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
