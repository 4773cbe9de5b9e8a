"""Houses, shops and halls along the street."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from trainer.scenes.canvas import Canvas
from trainer.scenes.light import Face, Rgb
from trainer.scenes.world import Item

PLASTER: tuple[Rgb, ...] = (
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
_ROOFS: tuple[Rgb, ...] = ((152, 82, 64), (126, 74, 62), (86, 90, 98), (104, 98, 94))
_AWNINGS: tuple[Rgb, ...] = ((158, 52, 48), (48, 96, 74), (58, 78, 122), (196, 172, 120))
_GLASS: Rgb = (72, 90, 110)
_GLASS_BRIGHT: Rgb = (128, 152, 172)
_LAMPLIGHT: tuple[Rgb, ...] = ((255, 214, 142), (255, 196, 112), (240, 226, 190))


@dataclass(frozen=True, slots=True)
class Facade:
    """How one building looks."""

    side: int
    """-1 left of the road, +1 right"""
    height: float
    wall: Rgb
    roof: Rgb
    storey: float
    bay: float
    """Width of a window axis, metres"""
    gable: float
    """Height of a pitched roof; 0 is a flat one"""
    shop: Rgb | None
    """Colour of the ground floor's awning, where it is a shop"""
    striped_awning: bool
    windows: bool
    seed: int


def town_house(rng: np.random.Generator, side: int, u: float, z: float, length: float, tall: bool) -> Item:
    """One house of a closed row; `u` is its street wall."""
    storeys = int(rng.integers(4, 8) if tall else rng.integers(2, 5))
    shop = _AWNINGS[rng.integers(len(_AWNINGS))] if rng.random() < 0.5 else None
    facade = Facade(
        side=side,
        height=storeys * 3.1 + 1.2,
        wall=_varied(rng, PLASTER[rng.integers(len(PLASTER))]),
        roof=_ROOFS[rng.integers(len(_ROOFS))],
        storey=3.1,
        bay=float(rng.uniform(2.4, 3.2)),
        gable=0.0 if tall and rng.random() < 0.7 else float(rng.uniform(1.8, 3.4)),
        shop=shop,
        striped_awning=bool(rng.random() < 0.35),
        windows=True,
        seed=int(rng.integers(1 << 30)),
    )
    return _item("building", facade, u, z, length, depth=11.0)


def cottage(rng: np.random.Generator, side: int, u: float, z: float) -> Item:
    """A detached house in a garden."""
    facade = Facade(
        side=side,
        height=float(rng.uniform(3.0, 5.8)),
        wall=_varied(rng, PLASTER[rng.integers(len(PLASTER))]),
        roof=_ROOFS[rng.integers(len(_ROOFS))],
        storey=2.8,
        bay=float(rng.uniform(2.6, 3.4)),
        gable=float(rng.uniform(2.6, 4.2)),
        shop=None,
        striped_awning=False,
        windows=True,
        seed=int(rng.integers(1 << 30)),
    )
    return _item("building", facade, u, z, float(rng.uniform(8.0, 11.0)), depth=9.0)


def hall(rng: np.random.Generator, side: int, u: float, z: float, length: float) -> Item:
    """A warehouse or workshop."""
    colours: tuple[Rgb, ...] = (
        (150, 158, 164),
        (120, 134, 150),
        (176, 170, 156),
        (134, 88, 74),
        (96, 112, 104),
    )
    facade = Facade(
        side=side,
        height=float(rng.uniform(6.0, 9.5)),
        wall=_varied(rng, colours[rng.integers(len(colours))]),
        roof=(96, 98, 102),
        storey=4.2,
        bay=float(rng.uniform(4.5, 7.0)),
        gable=0.0,
        shop=None,
        striped_awning=False,
        windows=bool(rng.random() < 0.6),
        seed=int(rng.integers(1 << 30)),
    )
    return _item("building", facade, u, z, length, depth=18.0)


def _item(name: str, facade: Facade, u: float, z: float, length: float, depth: float) -> Item:
    return Item(
        name=name,
        u=u + facade.side * depth / 2,
        z=z,
        width=depth,
        length=length,
        height=facade.height,
        paint=partial(_paint, facade, depth, length),
        continuous=True,
        anchor_share=1.0,
    )


def _varied(rng: np.random.Generator, colour: Rgb) -> Rgb:
    shade = float(rng.uniform(0.86, 1.08))
    return colour[0] * shade, colour[1] * shade, colour[2] * shade


def _shaded(colour: Rgb, factor: float) -> Rgb:
    return colour[0] * factor, colour[1] * factor, colour[2] * factor


def _paint(facade: Facade, depth: float, length: float, canvas: Canvas, middle: float, z: float) -> None:
    near, far = max(z, canvas.view.z + 1.3), z + length
    if far - near < 0.5:
        return
    street = middle - facade.side * depth / 2
    back = middle + facade.side * depth / 2
    facing = Face.LEFT if facade.side > 0 else Face.RIGHT
    top = facade.height
    if facade.gable > 0.0:
        _paint_roof(facade, canvas, (street, middle, back), near, far, facing)
    if near == z:
        canvas.polygon(
            [(street, 0, z), (back, 0, z), (back, top, z), (street, top, z)], _shaded(facade.wall, 0.94)
        )
        if facade.gable > 0.0:
            gable = [(street, top, z), (back, top, z), (middle, top + facade.gable, z)]
            canvas.polygon(gable, _shaded(facade.wall, 0.92))
        if facade.windows:
            _paint_front_windows(facade, canvas, street, depth, z)
    canvas.polygon(
        [(street, 0, near), (street, 0, far), (street, top, far), (street, top, near)], facade.wall, facing
    )
    plinth = 0.5
    canvas.polygon(
        [(street, 0, near), (street, 0, far), (street, plinth, far), (street, plinth, near)],
        _shaded(facade.wall, 0.72),
        facing,
    )
    canvas.polygon(
        [
            (street, top - 0.3, near),
            (street, top - 0.3, far),
            (street, top + 0.15, far),
            (street, top + 0.15, near),
        ],
        facade.roof if facade.gable > 0 else _shaded(facade.wall, 0.8),
        facing,
    )
    if facade.windows:
        _paint_street_windows(facade, canvas, street, near, z, length, facing)


def _paint_roof(
    facade: Facade, canvas: Canvas, across: tuple[float, float, float], near: float, far: float, facing: Face
) -> None:
    street, middle, _ = across
    eaves, ridge = facade.height - 0.1, facade.height + facade.gable
    overhang = street - facade.side * 0.35
    slope = [(overhang, eaves, near), (overhang, eaves, far), (middle, ridge, far), (middle, ridge, near)]
    canvas.polygon(slope, facade.roof, facing)


def _paint_street_windows(
    facade: Facade, canvas: Canvas, street: float, near: float, z: float, length: float, facing: Face
) -> None:
    """Rows of windows on the wall along the street; the ground floor may be a shop."""
    view = canvas.view
    rng = np.random.default_rng(facade.seed)
    bays = max(1, int((length - 0.6) / facade.bay))
    storeys = max(1, int((facade.height - 0.6) / facade.storey))
    lit = rng.random((bays, storeys)) < 0.38 * canvas.light.night
    hue = rng.integers(len(_LAMPLIGHT), size=(bays, storeys))
    margin = (length - bays * facade.bay) / 2
    horizon, eye = view.horizon, view.height
    for i in range(bays):
        z0 = z + margin + (i + 0.24) * facade.bay
        z1 = z0 + 0.52 * facade.bay
        if z0 < near:
            continue
        (x0, _), (x1, _) = view.point(street, 0.0, z0), view.point(street, 0.0, z1)
        if not (max(x0, x1) > -40.0 and min(x0, x1) < view.size + 40.0) or abs(x1 - x0) < 1.0:
            continue
        s0, s1 = view.scale(z0), view.scale(z1)
        for j in range(storeys):
            if j == 0 and facade.shop is not None:
                continue
            y0, y1 = j * facade.storey + 0.95, j * facade.storey + 0.78 * facade.storey
            quad = [
                (x0, horizon + (eye - y0) * s0),
                (x1, horizon + (eye - y0) * s1),
                (x1, horizon + (eye - y1) * s1),
                (x0, horizon + (eye - y1) * s0),
            ]
            if lit[i, j]:
                canvas.detail(quad, _LAMPLIGHT[hue[i, j]], Face.LIT)
            else:
                canvas.detail(quad, _GLASS if (i * 7 + j * 3) % 5 else _GLASS_BRIGHT, facing)
    if facade.shop is not None:
        _paint_shop(facade, facade.shop, canvas, street, near, z + length, facing)


def _paint_shop(
    facade: Facade, awning: Rgb, canvas: Canvas, street: float, near: float, far: float, facing: Face
) -> None:
    z0, z1 = near + 0.6, far - 0.6
    if z1 <= z0:
        return
    point = canvas.view.point
    glass = [point(street, y, z) for y, z in ((0.6, z0), (0.6, z1), (2.3, z1), (2.3, z0))]
    if canvas.light.night > 0.5:
        canvas.detail(glass, (250, 226, 172), Face.LIT)
    else:
        canvas.detail(glass, (84, 98, 110), facing)
    edge = street - facade.side * 1.0
    stripes = 9 if facade.striped_awning else 1
    for k in range(stripes):
        a, b = z0 + (z1 - z0) * k / stripes, z0 + (z1 - z0) * (k + 1) / stripes
        colour: Rgb = (232, 228, 220) if k % 2 else awning
        canvas.polygon(
            [(street, 2.95, a), (street, 2.95, b), (edge, 2.45, b), (edge, 2.45, a)], colour, facing
        )


def _paint_front_windows(facade: Facade, canvas: Canvas, street: float, depth: float, z: float) -> None:
    """Windows on the wall that looks at the camera."""
    scale = canvas.view.scale(z)
    if scale * 1.2 < 3.0:
        return
    rng = np.random.default_rng(facade.seed + 1)
    bays, storeys = (
        max(1, int(depth / (facade.bay + 0.8))),
        max(1, int((facade.height - 0.6) / facade.storey)),
    )
    lit = rng.random((bays, storeys)) < 0.3 * canvas.light.night
    step = facade.side * depth / bays
    for i in range(bays):
        spot = canvas.stand(street + (i + 0.5) * step, z)
        if not -40.0 < spot.x < canvas.view.size + 40.0:
            continue
        for j in range(storeys):
            y0, y1 = j * facade.storey + 0.95, j * facade.storey + 0.78 * facade.storey
            box = [(-0.55, y0), (0.55, y0), (0.55, y1), (-0.55, y1)]
            if lit[i, j]:
                spot.detail(box, _LAMPLIGHT[0], Face.LIT)
            else:
                spot.detail(box, _GLASS)
