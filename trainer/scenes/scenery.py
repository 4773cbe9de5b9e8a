"""Sides of a street: houses, gardens, halls, fields, and objects on the pavements."""

from __future__ import annotations

import numpy as np

from trainer.scenes import buildings, furniture, greenery
from trainer.scenes.conditions import Conditions, District
from trainer.scenes.profile import HABITS
from trainer.scenes.world import Item, Street

_BIN_GREY = (84.0, 88.0, 86.0)
_DEPTH = 95.0
"""Length of the furnished street, metres"""
_BEHIND = -14.0
"""Its start, behind the last place of the camera"""


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
            u, at = fence + side * float(rng.uniform(2.0, 4.0)), z + house.length + 2.5
            items.append(greenery.any_tree(rng, u, at, conditions.month))
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
        items.append(greenery.any_tree(rng, u, z, conditions.month))
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
        items.append(
            furniture.litter_bin(rng, side * (outer - 0.5), float(rng.uniform(7.0, 24.0)), _BIN_GREY, "bin")
        )
    if conditions.district in (District.CENTRE, District.GARDENS) and rng.random() < 0.12:
        items.append(furniture.bus_stop(side * (inner + 1.2), float(rng.uniform(10.0, 30.0)), side))
    if conditions.district is District.CENTRE and rng.random() < 0.25:
        items.append(furniture.traffic_light(rng, side * (inner + 0.4), float(rng.uniform(14.0, 36.0))))
    return items
