"""People: on the pavement, on bicycles, and at work."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from trainer.scenes.canvas import Canvas, Spot
from trainer.scenes.light import Face, Rgb, shaded
from trainer.scenes.world import Item

HI_VIS_ORANGE: Rgb = (255, 108, 24)
HI_VIS_YELLOW: Rgb = (214, 238, 40)
_COATS: tuple[Rgb, ...] = (
    (58, 72, 104),
    (120, 52, 52),
    (66, 66, 70),
    (90, 112, 92),
    (172, 160, 138),
    (142, 110, 84),
)
_TROUSERS: tuple[Rgb, ...] = ((44, 50, 66), (52, 50, 48), (92, 86, 74))
_SKIN: tuple[Rgb, ...] = ((226, 178, 148), (194, 142, 108), (128, 88, 64))


@dataclass(frozen=True, slots=True)
class Figure:
    """How a person looks."""

    height: float
    coat: Rgb
    trousers: Rgb
    skin: Rgb
    stride: float
    """Distance between the feet, metres"""
    vest: bool
    """Reflecting bands round the body"""
    helmet: Rgb | None
    shovel: bool


def pedestrian(
    rng: np.random.Generator, u: float, z: float, coat: Rgb | None = None, vest: bool = False
) -> Item:
    """Somebody walking."""
    figure = Figure(
        height=float(rng.uniform(1.55, 1.88)),
        coat=coat or _COATS[rng.integers(len(_COATS))],
        trousers=_TROUSERS[rng.integers(len(_TROUSERS))],
        skin=_SKIN[rng.integers(len(_SKIN))],
        stride=float(rng.uniform(0.1, 0.5)),
        vest=vest,
        helmet=None,
        shovel=False,
    )
    return Item("pedestrian", u, z, 0.5, 0.3, figure.height, partial(_paint_person, figure), speed=0.15)


def worker(rng: np.random.Generator, u: float, z: float) -> Item:
    """A road worker in hi-vis with a helmet, often with a shovel."""
    orange = rng.random() < 0.6
    helmets: tuple[Rgb, ...] = ((240, 240, 234), (244, 196, 40), (250, 120, 40))
    figure = Figure(
        height=float(rng.uniform(1.66, 1.88)),
        coat=HI_VIS_ORANGE if orange else HI_VIS_YELLOW,
        trousers=HI_VIS_ORANGE if orange and rng.random() < 0.6 else (58, 62, 76),
        skin=_SKIN[rng.integers(len(_SKIN))],
        stride=float(rng.uniform(0.25, 0.5)),
        vest=True,
        helmet=helmets[rng.integers(len(helmets))],
        shovel=bool(rng.random() < 0.7),
    )
    return Item("worker", u, z, 0.6, 0.4, figure.height, partial(_paint_person, figure))


def cyclist(
    rng: np.random.Generator, u: float, z: float, coat: Rgb | None = None, vest: bool = False
) -> Item:
    """Somebody on a bicycle, from behind."""
    figure = Figure(
        height=float(rng.uniform(1.6, 1.8)),
        coat=coat or _COATS[rng.integers(len(_COATS))],
        trousers=_TROUSERS[rng.integers(len(_TROUSERS))],
        skin=_SKIN[rng.integers(len(_SKIN))],
        stride=0.0,
        vest=vest,
        helmet=None if rng.random() < 0.5 else (70, 74, 80),
        shovel=False,
    )
    return Item("cyclist", u, z, 0.6, 1.7, 1.75, partial(_paint_cyclist, figure), speed=0.5)


def _paint_person(figure: Figure, canvas: Canvas, u: float, z: float) -> None:
    spot = canvas.stand(u, z)
    unit = figure.height / 1.75
    s, hip, shoulder = figure.stride / 2, 0.86 * unit, 1.44 * unit
    for side in (-1.0, 1.0):
        foot = side * (0.09 + s * 0.6)
        spot.polygon(
            [(side * 0.02, hip), (side * 0.2, hip), (foot + 0.07, 0.0), (foot - 0.07, 0.0)], figure.trousers
        )
        spot.rectangle(foot - 0.09, 0.0, foot + 0.1, 0.07, (36, 34, 34))
    _paint_torso(figure, spot, hip, shoulder, unit)
    if figure.shovel:
        spot.line([(0.28, 1.15 * unit), (0.62, 0.12)], 0.05, (150, 116, 78))
        spot.polygon([(0.55, 0.24), (0.72, 0.24), (0.70, 0.0), (0.60, 0.0)], (104, 108, 112))


def _paint_torso(figure: Figure, spot: Spot, hip: float, shoulder: float, unit: float) -> None:
    dark: Rgb = shaded(figure.coat, 0.8)
    for side in (-1.0, 1.0):
        arm = [
            (side * 0.2, shoulder),
            (side * 0.29, shoulder - 0.06),
            (side * 0.33, hip + 0.05),
            (side * 0.24, hip + 0.02),
        ]
        spot.polygon(arm, dark)
        spot.oval(side * 0.285 - 0.05, hip - 0.05, side * 0.285 + 0.05, hip + 0.06, figure.skin)
    spot.polygon(
        [
            (-0.2, hip - 0.06),
            (0.2, hip - 0.06),
            (0.24, shoulder),
            (0.1, shoulder + 0.05),
            (-0.1, shoulder + 0.05),
            (-0.24, shoulder),
        ],
        figure.coat,
    )
    if figure.vest:
        for y in (hip + 0.14, hip + 0.3):
            spot.rectangle(-0.22, y, 0.22, y + 0.07, (226, 228, 214), Face.RETRO)
        for x in (-0.12, 0.12):
            spot.rectangle(x - 0.03, hip + 0.3, x + 0.03, shoulder, (226, 228, 214), Face.RETRO)
    head = shoulder + 0.18 * unit
    spot.oval(-0.11, head - 0.14, 0.11, head + 0.14, figure.skin)
    if figure.helmet is not None:
        spot.polygon(
            [(-0.16, head + 0.02), (0.16, head + 0.02), (0.11, head + 0.16), (-0.11, head + 0.16)],
            figure.helmet,
        )
    else:
        spot.polygon(
            [(-0.11, head + 0.03), (0.11, head + 0.03), (0.08, head + 0.15), (-0.08, head + 0.15)],
            (62, 48, 38),
        )


def _paint_cyclist(figure: Figure, canvas: Canvas, u: float, z: float) -> None:
    spot = canvas.stand(u, z)
    spot.rectangle(-0.04, 0.0, 0.04, 0.68, (28, 28, 30))
    spot.rectangle(-0.03, 0.5, 0.03, 0.95, (110, 112, 116))
    for side in (-1.0, 1.0):
        spot.polygon(
            [
                (side * 0.04, 0.95),
                (side * 0.18, 0.98),
                (side * 0.17, 0.3 + 0.12 * side),
                (side * 0.08, 0.3 + 0.12 * side),
            ],
            figure.trousers,
        )
    spot.line([(-0.3, 1.05), (0.3, 1.05)], 0.04, (50, 50, 52))
    _paint_torso(figure, spot, 0.95, 1.42, 0.95)
    spot.rectangle(-0.04, 0.62, 0.04, 0.7, (255, 60, 40), Face.LIT)
    canvas.glow(u, 0.66, z, (255, 48, 32), 0.3, 0.3 * canvas.light.night)
