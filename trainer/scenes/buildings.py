"""Houses, shops and halls along the street."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from trainer.scenes.canvas import Canvas
from trainer.scenes.light import Face, Rgb, shaded
from trainer.scenes.windows import Glazing, paint_front_windows, paint_street_windows
from trainer.scenes.world import Item

_PLASTER: tuple[Rgb, ...] = (
    (226, 210, 182),
    (206, 184, 156),
    (182, 112, 88),
    (164, 120, 100),
    (216, 216, 208),
    (176, 188, 194),
    (234, 224, 202),
    (206, 172, 118),
    (156, 158, 166),
    (196, 158, 146),
    (174, 186, 160),
)
_SHEET_METAL: tuple[Rgb, ...] = (
    (150, 158, 164),
    (120, 134, 150),
    (176, 170, 156),
    (134, 88, 74),
    (96, 112, 104),
)
_ROOFS: tuple[Rgb, ...] = ((152, 82, 64), (126, 74, 62), (86, 90, 98), (104, 98, 94))
_AWNINGS: tuple[Rgb, ...] = ((158, 52, 48), (48, 96, 74), (58, 78, 122), (196, 172, 120))


@dataclass(frozen=True, slots=True)
class House:
    """How one building looks. Its long wall stands along the street."""

    side: int
    """-1 left of the road, +1 right"""
    length: float
    depth: float
    """Away from the street, metres"""
    height: float
    """Of the eaves"""
    gable: float
    """Height of the pitched roof above them; 0 is a flat one"""
    wall: Rgb
    roof: Rgb
    glazing: Glazing | None


def town_house(rng: np.random.Generator, side: int, u: float, z: float, length: float, tall: bool) -> Item:
    """One house of a closed row; `u` is its street wall."""
    storeys = int(rng.integers(4, 8) if tall else rng.integers(2, 5))
    glazing = Glazing(
        storeys=storeys,
        storey=3.1,
        bay=float(rng.uniform(2.4, 3.2)),
        frame=(226, 222, 212) if rng.random() < 0.7 else (120, 104, 92),
        awning=_AWNINGS[rng.integers(len(_AWNINGS))] if rng.random() < 0.5 else None,
        striped=bool(rng.random() < 0.35),
        residents=int(rng.integers(64)),
    )
    house = House(
        side=side,
        length=length,
        depth=11.0,
        height=storeys * 3.1 + 1.2,
        gable=0.0 if tall and rng.random() < 0.7 else float(rng.uniform(1.8, 3.4)),
        wall=_varied(rng, _PLASTER[rng.integers(len(_PLASTER))]),
        roof=_ROOFS[rng.integers(len(_ROOFS))],
        glazing=glazing,
    )
    return _item(house, u, z)


def cottage(rng: np.random.Generator, side: int, u: float, z: float) -> Item:
    """A detached house in a garden."""
    storeys = int(rng.integers(1, 3))
    glazing = Glazing(
        storeys=storeys,
        storey=2.8,
        bay=float(rng.uniform(2.6, 3.4)),
        frame=(230, 228, 220),
        awning=None,
        striped=False,
        residents=int(rng.integers(64)),
    )
    house = House(
        side=side,
        length=float(rng.uniform(8.0, 11.0)),
        depth=9.0,
        height=storeys * 2.8 + 0.4,
        gable=float(rng.uniform(2.6, 4.2)),
        wall=_varied(rng, _PLASTER[rng.integers(len(_PLASTER))]),
        roof=_ROOFS[rng.integers(len(_ROOFS))],
        glazing=glazing,
    )
    return _item(house, u, z)


def hall(rng: np.random.Generator, side: int, u: float, z: float, length: float) -> Item:
    """A warehouse or workshop, windowless or with a band of large panes."""
    height = float(rng.uniform(6.0, 9.5))
    panes = Glazing(
        storeys=int(height / 4.2),
        storey=4.2,
        bay=float(rng.uniform(4.5, 7.0)),
        frame=(112, 116, 120),
        awning=None,
        striped=False,
        residents=int(rng.integers(64)),
    )
    house = House(
        side=side,
        length=length,
        depth=18.0,
        height=height,
        gable=0.0,
        wall=_varied(rng, _SHEET_METAL[rng.integers(len(_SHEET_METAL))]),
        roof=(96, 98, 102),
        glazing=panes if rng.random() < 0.6 else None,
    )
    return _item(house, u, z)


def _item(house: House, u: float, z: float) -> Item:
    return Item(
        name="building",
        u=u + house.side * house.depth / 2,
        z=z,
        width=house.depth,
        length=house.length,
        height=house.height,
        paint=partial(_paint, house),
        continuous=True,
        anchor_share=1.0,
    )


def _varied(rng: np.random.Generator, colour: Rgb) -> Rgb:
    return shaded(colour, float(rng.uniform(0.86, 1.08)))


def _paint(house: House, canvas: Canvas, middle: float, z: float) -> None:
    near, end = max(z, canvas.view.z + 1.3), z + house.length
    if end - near < 0.5:
        return
    street = middle - house.side * house.depth / 2
    if house.gable > 0.0:
        _paint_roof(house, canvas, street, middle, near, end)
    if near == z:
        _paint_front(house, canvas, street, middle, z)
    _paint_band(house, canvas, street, (near, end), (0.0, house.height), house.wall)
    _paint_band(house, canvas, street, (near, end), (0.0, 0.5), shaded(house.wall, 0.72))
    eaves = house.roof if house.gable > 0 else shaded(house.wall, 0.8)
    _paint_band(house, canvas, street, (near, end), (house.height - 0.3, house.height + 0.15), eaves)
    if house.glazing is not None:
        paint_street_windows(house.glazing, canvas, street, house.side, near, (z, end))


def _paint_band(
    house: House,
    canvas: Canvas,
    street: float,
    along: tuple[float, float],
    up: tuple[float, float],
    colour: Rgb,
) -> None:
    """A strip of the wall along the street."""
    (near, end), (low, high) = along, up
    strip = [(street, low, near), (street, low, end), (street, high, end), (street, high, near)]
    canvas.polygon(strip, colour, Face.LEFT if house.side > 0 else Face.RIGHT)


def _paint_front(house: House, canvas: Canvas, street: float, middle: float, z: float) -> None:
    """The wall that looks at the camera, up to the gable."""
    back, top = 2 * middle - street, house.height
    outline = [
        (street, 0.0, z),
        (back, 0.0, z),
        (back, top, z),
        (middle, top + house.gable, z),
        (street, top, z),
    ]
    canvas.polygon(outline, shaded(house.wall, 0.94))
    if house.glazing is not None:
        paint_front_windows(house.glazing, canvas, street, house.side, house.depth, z)


def _paint_roof(house: House, canvas: Canvas, street: float, middle: float, near: float, end: float) -> None:
    """The slope of the roof towards the street."""
    eaves, ridge = house.height - 0.1, house.height + house.gable
    edge = street - house.side * 0.35
    slope = [(edge, eaves, near), (edge, eaves, end), (middle, ridge, end), (middle, ridge, near)]
    canvas.polygon(slope, house.roof, Face.LEFT if house.side > 0 else Face.RIGHT)
