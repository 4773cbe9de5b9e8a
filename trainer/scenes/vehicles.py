"""Vehicles, moving and parked: cars, vans, lorries and buses."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from trainer.scenes.canvas import Canvas
from trainer.scenes.coachwork import Body, paint_bus, paint_car, paint_van
from trainer.scenes.light import Rgb
from trainer.scenes.world import Item

PAINTS: tuple[Rgb, ...] = (
    (206, 208, 210),
    (168, 172, 176),
    (44, 46, 50),
    (92, 96, 102),
    (232, 232, 228),
    (138, 40, 40),
    (44, 72, 124),
    (62, 88, 76),
    (146, 128, 100),
    (86, 120, 158),
)
ORANGE: Rgb = (232, 116, 30)
YELLOW: Rgb = (236, 186, 44)


def car(
    rng: np.random.Generator, u: float, z: float, *, oncoming: bool, parked: bool, paint: Rgb | None = None
) -> Item:
    """A passenger car: saloon, hatchback or off-roader."""
    tall = float(rng.choice([0.0, 0.0, 0.22]))
    body = Body(
        paint=paint or PAINTS[rng.integers(len(PAINTS))],
        width=float(rng.uniform(1.68, 1.88)) + tall / 3,
        length=float(rng.uniform(3.8, 4.7)),
        height=float(rng.uniform(1.40, 1.52)) + tall,
        waist=0.88 + tall * 0.6,
        bonnet=float(rng.uniform(0.9, 1.2)),
        boot=float(rng.choice([0.25, 0.75])),
        oncoming=oncoming,
        parked=parked,
        braking=bool(rng.random() < 0.3),
    )
    return _item("car", body, u, z, paint_car, rng)


def van(
    rng: np.random.Generator, u: float, z: float, *, oncoming: bool, parked: bool, paint: Rgb | None = None
) -> Item:
    """A delivery van."""
    body = Body(
        paint=paint or PAINTS[rng.choice([0, 1, 4, 4, 6])],
        width=2.0,
        length=float(rng.uniform(4.8, 5.8)),
        height=float(rng.uniform(2.0, 2.6)),
        waist=1.15,
        bonnet=0.7,
        boot=0.05,
        oncoming=oncoming,
        parked=parked,
        braking=bool(rng.random() < 0.3),
    )
    return _item("van", body, u, z, paint_van, rng)


def lorry(
    rng: np.random.Generator, u: float, z: float, *, oncoming: bool, parked: bool, paint: Rgb | None = None
) -> Item:
    """A lorry with a box body."""
    body = Body(
        paint=paint or PAINTS[rng.integers(len(PAINTS))],
        width=2.45,
        length=float(rng.uniform(7.0, 9.5)),
        height=float(rng.uniform(3.1, 3.7)),
        waist=1.5,
        bonnet=0.0,
        boot=0.0,
        oncoming=oncoming,
        parked=parked,
        braking=bool(rng.random() < 0.3),
    )
    return _item("lorry", body, u, z, paint_van, rng)


def bus(rng: np.random.Generator, u: float, z: float, *, oncoming: bool, paint: Rgb | None = None) -> Item:
    """A city bus."""
    colours: tuple[Rgb, ...] = ((176, 44, 44), (58, 92, 150), (70, 130, 84), (226, 222, 206))
    body = Body(
        paint=paint or colours[rng.integers(len(colours))],
        width=2.5,
        length=11.0,
        height=3.1,
        waist=1.2,
        bonnet=0.0,
        boot=0.0,
        oncoming=oncoming,
        parked=False,
        braking=bool(rng.random() < 0.3),
    )
    return _item("bus", body, u, z, paint_bus, rng)


def _item(
    name: str,
    body: Body,
    u: float,
    z: float,
    paint: Callable[[Body, Canvas, float, float], None],
    rng: np.random.Generator,
) -> Item:
    speed = 0.0
    if not body.parked:
        speed = -float(rng.uniform(0.8, 1.2)) if body.oncoming else float(rng.uniform(0.75, 1.05))
    return Item(name, u, z, body.width, body.length, body.height, partial(paint, body), speed=speed)
