"""Streets by district: their profile, what lines them, who drives on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trainer.scenes import buildings, furniture, greenery, vehicles
from trainer.scenes.conditions import Conditions, District
from trainer.scenes.light import Rgb
from trainer.scenes.people import cyclist, pedestrian
from trainer.scenes.world import Band, Item, Marking, Street

_PAVING: tuple[Rgb, ...] = ((158, 154, 148), (146, 144, 142), (172, 160, 146))
_KERB: Rgb = (178, 176, 170)
_DEPTH = 110.0
"""How far the street is furnished, metres"""
_BEHIND = -14.0
"""Where it begins, behind the camera's last place"""


@dataclass(frozen=True, slots=True)
class Habit:
    """What is usual in a district."""

    half_widths: tuple[float, ...]
    pavement: tuple[float, float]
    """Least and greatest width, metres"""
    verge: float
    """Width of a strip of grass between kerb and pavement"""
    setback: float
    """From the pavement to the house fronts"""
    lamps: bool
    parked: float
    """Probability of a parked car at each place"""
    people: float
    """Mean number of pedestrians"""


HABITS = {
    District.CENTRE: Habit((3.5, 5.4, 7.0), (2.4, 4.0), 0.0, 0.0, True, 0.55, 3.0),
    District.OLD_TOWN: Habit((3.1, 3.5, 5.2), (1.6, 2.6), 0.0, 0.0, True, 0.45, 2.2),
    District.GARDENS: Habit((3.1, 3.5, 5.2), (1.5, 2.0), 1.6, 4.5, True, 0.3, 0.9),
    District.HARBOUR: Habit((3.7, 5.4, 7.0), (1.5, 2.4), 0.0, 3.5, True, 0.2, 0.5),
    District.OUTSKIRTS: Habit((3.3, 3.7), (1.6, 2.4), 0.0, 30.0, False, 0.0, 0.2),
}


def draw_street(rng: np.random.Generator, conditions: Conditions) -> Street:
    """The road's profile and its markings."""
    habit = HABITS[conditions.district]
    half = float(rng.choice(habit.half_widths))
    lane = 3.5 if half > 6.0 else min(half, 3.5)
    left, right = (half + habit.verge + float(rng.uniform(*habit.pavement)) for _ in range(2))
    shade = float(rng.uniform(0.82, 1.15))
    asphalt: Rgb = (98 * shade, 98 * shade, 101 * shade)
    worn: Rgb = (106 * shade, 105 * shade, 106 * shade)
    grass = _grass(conditions.month)
    paving = _PAVING[rng.integers(len(_PAVING))]
    rural = conditions.district is District.OUTSKIRTS
    edge: Rgb = (126, 118, 98) if rural else paving
    beyond: Rgb = {
        District.CENTRE: paving,
        District.OLD_TOWN: paving,
        District.GARDENS: grass,
        District.HARBOUR: (136.0, 132.0, 126.0),
        District.OUTSKIRTS: grass,
    }[conditions.district]
    strip = grass if habit.verge > 0 or rural else paving
    kerb: Rgb = (122, 116, 100) if rural else _KERB
    bands = (
        Band(-1e9, beyond, 30.0 if beyond is grass else 14.0, beyond is not grass),
        Band(-left, edge if not rural else grass, 26.0 if rural else 12.0, not rural),
        Band(-half - 0.2 - habit.verge, strip, 26.0 if strip is grass else 12.0, strip is not grass),
        Band(-half - 0.2, kerb, 8.0, True),
        Band(-half, asphalt, 22.0, True),
        *(Band(u, tone, 22.0, True) for u, tone in _tracks(lane, asphalt, worn) if -half < u < half),
        Band(half, kerb, 8.0, True),
        Band(half + 0.2, strip, 26.0 if strip is grass else 12.0, strip is not grass),
        Band(half + 0.2 + habit.verge, edge if not rural else grass, 26.0 if rural else 12.0, not rural),
        Band(right, beyond, 30.0 if beyond is grass else 14.0, beyond is not grass),
    )
    return Street(
        half_width=half,
        lane=lane,
        kerb_left=-left,
        kerb_right=right,
        bands=bands,
        markings=_markings(rng, half, lane, rural),
        crossings=(float(rng.uniform(9.0, 40.0)),) if not rural and rng.random() < 0.22 else (),
        stains=tuple(
            (
                float(rng.uniform(-half, half)),
                float(rng.uniform(2.0, 40.0)),
                float(rng.uniform(0.2, 0.9)),
                float(rng.uniform(0.4, 3.0)),
                float(rng.uniform(0.08, 0.26)),
            )
            for _ in range(int(rng.integers(1, 5)))
        ),
    )


def _tracks(lane: float, asphalt: Rgb, worn: Rgb) -> list[tuple[float, Rgb]]:
    """Where tyres have polished the lanes."""
    tracks: list[tuple[float, Rgb]] = []
    for middle in (-1.5 * lane, -0.5 * lane, 0.5 * lane, 1.5 * lane):
        for wheel in (-0.75, 0.75):
            tracks += [(middle + wheel - 0.22, worn), (middle + wheel + 0.22, asphalt)]
    return tracks


def _grass(month: int) -> Rgb:
    if month in (12, 1, 2):
        return 112.0, 112.0, 78.0
    return (118.0, 116.0, 64.0) if month in (10, 11) else (92.0, 124.0, 62.0)


def _markings(rng: np.random.Generator, half: float, lane: float, rural: bool) -> tuple[Marking, ...]:
    lines = [
        Marking(0.0, 0.13) if rng.random() < 0.2 else Marking(0.0, 0.13, 3.0, float(rng.choice([3.0, 6.0])))
    ]
    if half > 6.0:
        lines = [
            Marking(-0.1, 0.11),
            Marking(0.1, 0.11),
            Marking(-lane, 0.12, 3.0, 6.0),
            Marking(lane, 0.12, 3.0, 6.0),
        ]
    if rural or half > 6.0:
        lines += [Marking(-half + 0.25, 0.13), Marking(half - 0.25, 0.13)]
    elif half > 5.0:
        lines += [Marking(-lane, 0.11, 1.0, 1.0), Marking(lane, 0.11, 1.0, 1.0)]
    return tuple(lines)


def furnish(rng: np.random.Generator, street: Street, conditions: Conditions) -> list[Item]:
    """Houses, trees and furniture on both sides."""
    items: list[Item] = []
    for side in (-1, 1):
        kerb = street.kerb_right if side > 0 else -street.kerb_left
        front = side * (kerb + HABITS[conditions.district].setback)
        match conditions.district:
            case District.CENTRE | District.OLD_TOWN:
                items += _closed_row(rng, side, front, conditions)
            case District.GARDENS:
                items += _gardens(rng, side, side * kerb, front, conditions)
            case District.HARBOUR:
                items += _harbour(rng, side, front)
            case District.OUTSKIRTS:
                items += _fields(rng, side, side * kerb, conditions)
        items += _pavement(rng, street, side, conditions)
    return items


def _closed_row(rng: np.random.Generator, side: int, front: float, conditions: Conditions) -> list[Item]:
    items: list[Item] = []
    tall = conditions.district is District.CENTRE
    z = _BEHIND + float(rng.uniform(-8.0, 0.0))
    while z < _DEPTH:
        length = float(rng.uniform(8.0, 15.0))
        if rng.random() < 0.07 and z > 12.0:
            items.append(greenery.tree(rng, front + side * 4.0, z + length / 2, conditions.month))
        else:
            items.append(buildings.town_house(rng, side, front, z, length, tall))
        z += length
    return items


def _gardens(
    rng: np.random.Generator, side: int, fence: float, front: float, conditions: Conditions
) -> list[Item]:
    items: list[Item] = []
    z = _BEHIND + float(rng.uniform(-6.0, 0.0))
    while z < _DEPTH:
        house = buildings.cottage(rng, side, front + side * float(rng.uniform(0.0, 2.5)), z)
        items.append(house)
        plot = house.length + float(rng.uniform(5.0, 9.0))
        if rng.random() < 0.6:
            items.append(
                greenery.hedge(fence + side * 0.6, z, plot - 3.0, side, float(rng.uniform(0.8, 1.5)))
            )
        items += [
            greenery.bush(
                rng,
                fence + side * float(rng.uniform(1.2, 3.2)),
                z + float(rng.uniform(0, plot)),
                conditions.month,
            )
            for _ in range(int(rng.integers(0, 3)))
        ]
        if rng.random() < 0.6:
            make = greenery.conifer if rng.random() < 0.25 else None
            u, at = fence + side * float(rng.uniform(2.0, 4.0)), z + house.length + 2.5
            items.append(make(rng, u, at) if make else greenery.tree(rng, u, at, conditions.month))
        z += plot
    return items


def _harbour(rng: np.random.Generator, side: int, front: float) -> list[Item]:
    items: list[Item] = []
    z = _BEHIND + float(rng.uniform(-10.0, 0.0))
    while z < _DEPTH:
        if rng.random() < 0.35:
            stacks = int(rng.integers(1, 4))
            items += [furniture.container(rng, front + side * (1.6 + 2.8 * k), z) for k in range(stacks)]
            z += 8.5
        else:
            length = float(rng.uniform(14.0, 26.0))
            items.append(buildings.hall(rng, side, front + side * 2.0, z, length))
            z += length + float(rng.uniform(2.0, 8.0))
    return items


def _fields(rng: np.random.Generator, side: int, edge: float, conditions: Conditions) -> list[Item]:
    items: list[Item] = []
    if rng.random() < 0.35:
        items.append(furniture.guard_rail(edge - side * 0.4, -10.0, 100.0))
    if rng.random() < 0.5:
        start = float(rng.uniform(4.0, 24.0))
        items += [furniture.utility_pole(edge + side * 2.2, start + 28.0 * k) for k in range(3)]
    density = float(rng.uniform(0.03, 0.22))
    for _ in range(int(rng.poisson(density * _DEPTH))):
        u, z = edge + side * float(rng.gamma(2.0, 4.0) + 1.5), float(rng.uniform(5.0, _DEPTH))
        items.append(
            greenery.conifer(rng, u, z) if rng.random() < 0.2 else greenery.tree(rng, u, z, conditions.month)
        )
    if rng.random() < 0.3:
        items.append(buildings.cottage(rng, side, edge + side * 9.0, float(rng.uniform(18.0, 60.0))))
    return items


def _pavement(rng: np.random.Generator, street: Street, side: int, conditions: Conditions) -> list[Item]:
    habit = HABITS[conditions.district]
    inner, outer = street.half_width, street.kerb_right if side > 0 else -street.kerb_left
    items: list[Item] = []
    if habit.lamps:
        start = float(rng.uniform(3.0, 24.0))
        items += [furniture.lamp_post(side * (inner + 0.5), start + 24.0 * k, side) for k in range(4)]
    if conditions.district is not District.OUTSKIRTS and rng.random() < 0.45:
        start, step = float(rng.uniform(6.0, 16.0)), float(rng.uniform(9.0, 16.0))
        items += [
            greenery.tree(rng, side * (inner + 0.9), start + step * k, conditions.month) for k in range(5)
        ]
    if conditions.district is not District.OUTSKIRTS and rng.random() < 0.15:
        items.append(furniture.bench(side * (outer - 0.6), float(rng.uniform(8.0, 26.0))))
    if conditions.district is not District.OUTSKIRTS and rng.random() < 0.3:
        grey: Rgb = (84.0, 88.0, 86.0)
        items.append(
            furniture.litter_bin(rng, side * (outer - 0.5), float(rng.uniform(7.0, 24.0)), grey, "bin")
        )
    if conditions.district in (District.CENTRE, District.GARDENS) and rng.random() < 0.12:
        items.append(furniture.bus_stop(side * (inner + 1.2), float(rng.uniform(10.0, 30.0)), side))
    if conditions.district is District.CENTRE and rng.random() < 0.25:
        items.append(furniture.traffic_light(rng, side * (inner + 0.4), float(rng.uniform(14.0, 36.0))))
    return items


def populate(rng: np.random.Generator, street: Street, conditions: Conditions) -> list[Item]:
    """Traffic, parked cars and people."""
    habit, items = HABITS[conditions.district], list[Item]()
    quiet = 0.45 if conditions.hour < 6 or conditions.hour > 21 else 1.0
    if street.half_width > 5.0 and street.half_width < 6.0:
        for side in (-1, 1):
            z = float(rng.uniform(2.0, 6.0))
            while z < 60.0:
                if rng.random() < habit.parked:
                    make = vehicles.van if rng.random() < 0.15 else vehicles.car
                    items.append(
                        make(rng, side * (street.half_width - 1.0), z, oncoming=side < 0, parked=True)
                    )
                z += 6.2
    if rng.random() < 0.5 * quiet:
        items.append(
            _any_vehicle(
                rng,
                street.lane / 2 + float(rng.uniform(-0.2, 0.2)),
                float(rng.uniform(9.0, 42.0)),
                oncoming=False,
            )
        )
    for _ in range(int(rng.poisson(0.9 * quiet))):
        items.append(_any_vehicle(rng, -street.lane / 2, float(rng.uniform(8.0, 60.0)), oncoming=True))
    if street.half_width > 6.0 and rng.random() < 0.6 * quiet:
        items.append(_any_vehicle(rng, 1.5 * street.lane, float(rng.uniform(7.0, 40.0)), oncoming=False))
    for _ in range(int(rng.poisson(habit.people * quiet))):
        inner, outer = street.half_width + 0.5, -street.kerb_left - 0.3
        u = (
            -float(rng.uniform(inner, outer))
            if rng.random() < 0.5
            else float(rng.uniform(inner, street.kerb_right - 0.3))
        )
        items.append(pedestrian(rng, u, float(rng.uniform(6.0, 32.0))))
    if rng.random() < 0.1 * quiet:
        items.append(cyclist(rng, street.half_width - 0.7, float(rng.uniform(8.0, 30.0))))
    return items


def _any_vehicle(rng: np.random.Generator, u: float, z: float, oncoming: bool) -> Item:
    kind = rng.random()
    if kind < 0.72:
        return vehicles.car(rng, u, z, oncoming=oncoming, parked=False)
    if kind < 0.86:
        return vehicles.van(rng, u, z, oncoming=oncoming, parked=False)
    if kind < 0.94:
        return vehicles.lorry(rng, u, z + 4.0, oncoming=oncoming, parked=False)
    return vehicles.bus(rng, u, z + 4.0, oncoming=oncoming)
