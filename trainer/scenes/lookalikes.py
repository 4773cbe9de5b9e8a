"""Look-alikes: objects that share colours and shapes with roadwork and are none.

They are drawn for every scene, whatever its label, so seeing one tells nothing about it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from trainer.scenes import vehicles
from trainer.scenes.furniture import bollard, litter_bin
from trainer.scenes.light import Rgb
from trainer.scenes.people import HI_VIS_ORANGE, HI_VIS_YELLOW, cyclist, pedestrian
from trainer.scenes.roadwork import cone
from trainer.scenes.signs import OTHER_SYMBOLS, Plate, arrow_disc, chevron_board, warning_sign
from trainer.scenes.world import Item, Street

LookAlike = Callable[[np.random.Generator, Street, float], list[Item]]
"""(rng, street, distance) -> items"""


def draw_lookalikes(rng: np.random.Generator, street: Street, hardness: float) -> list[Item]:
    """A few look-alikes; a harder scene has more."""
    items: list[Item] = []
    for _ in range(int(rng.poisson(0.55 + 1.3 * hardness))):
        distance = float(rng.uniform(9.0, 18.0 + 14.0 * hardness))
        items += LOOKALIKES[rng.integers(len(LOOKALIKES))](rng, street, distance)
    return items


def _beside(rng: np.random.Generator, street: Street) -> float:
    """A place on either pavement."""
    if rng.random() < 0.6:
        return float(rng.uniform(street.half_width + 0.5, street.kerb_right - 0.3))
    return float(rng.uniform(street.kerb_left + 0.3, -street.half_width - 0.5))


def _orange_vehicle(rng: np.random.Generator, street: Street, z: float) -> list[Item]:
    paint: Rgb = vehicles.ORANGE if rng.random() < 0.65 else vehicles.YELLOW
    make = (vehicles.car, vehicles.van, vehicles.lorry)[rng.integers(3)]
    where = rng.integers(3)
    if where == 0:
        return [make(rng, street.lane / 2, z + 3.0, oncoming=False, parked=False, paint=paint)]
    if where == 1:
        return [make(rng, -street.lane / 2, z, oncoming=True, parked=False, paint=paint)]
    return [make(rng, street.half_width - 1.2, z, oncoming=False, parked=True, paint=paint)]


def _bins(rng: np.random.Generator, street: Street, z: float) -> list[Item]:
    colours: tuple[Rgb, ...] = ((236, 120, 28), (240, 196, 40), (236, 120, 28), (52, 96, 60))
    u = _beside(rng, street)
    return [
        litter_bin(
            rng,
            u + 0.75 * k * float(np.sign(u)),
            z + 0.3 * k,
            colours[rng.integers(len(colours))],
            "coloured bin",
        )
        for k in range(int(rng.integers(1, 4)))
    ]


def _other_warning(rng: np.random.Generator, street: Street, z: float) -> list[Item]:
    plates = (Plate.TRIANGLE_WHITE, Plate.TRIANGLE_WHITE, Plate.DIAMOND_YELLOW)
    side = 1 if rng.random() < 0.75 else -1
    symbol = OTHER_SYMBOLS[rng.integers(len(OTHER_SYMBOLS))]
    return [
        warning_sign(
            "other warning sign",
            side * (street.half_width + 0.9),
            z,
            plates[rng.integers(len(plates))],
            symbol,
        )
    ]


def _lone_cone(rng: np.random.Generator, street: Street, z: float) -> list[Item]:
    """A traffic cone as a souvenir, far from the carriageway."""
    item = cone(rng, street.kerb_right + 0.8 if rng.random() < 0.6 else street.kerb_left - 0.8, z, 0.2)
    return [Item("lone cone", item.u, item.z, item.width, item.length, item.height, item.paint)]


def _orange_coat(rng: np.random.Generator, street: Street, z: float) -> list[Item]:
    coat = HI_VIS_ORANGE if rng.random() < 0.7 else HI_VIS_YELLOW
    return [pedestrian(rng, _beside(rng, street), z, coat=coat, vest=bool(rng.random() < 0.3))]


def _visible_cyclist(rng: np.random.Generator, street: Street, z: float) -> list[Item]:
    coat = HI_VIS_YELLOW if rng.random() < 0.6 else HI_VIS_ORANGE
    return [cyclist(rng, street.half_width - 0.7, z, coat=coat, vest=bool(rng.random() < 0.5))]


def _striped_bollards(rng: np.random.Generator, street: Street, z: float) -> list[Item]:
    side = 1 if rng.random() < 0.6 else -1
    u = side * (street.half_width + 0.35)
    return [bollard(u, z + 1.7 * k, (168, 44, 46), (206, 204, 198)) for k in range(int(rng.integers(2, 6)))]


def _chevrons(rng: np.random.Generator, street: Street, z: float) -> list[Item]:
    side = 1 if rng.random() < 0.5 else -1
    return [chevron_board(side * (street.half_width + 1.4), z + 8.0, -side)]


def _traffic_island(rng: np.random.Generator, street: Street, z: float) -> list[Item]:
    """The permanent blue arrow on a refuge."""
    return [arrow_disc(0.0 if street.half_width > 4.5 else street.half_width + 0.6, z + 6.0)]


LOOKALIKES: tuple[LookAlike, ...] = (
    _orange_vehicle,
    _orange_vehicle,
    _bins,
    _other_warning,
    _other_warning,
    _lone_cone,
    _orange_coat,
    _visible_cyclist,
    _striped_bollards,
    _chevrons,
    _traffic_island,
)
