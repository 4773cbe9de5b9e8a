"""Road users: traffic, parked cars, people."""

from __future__ import annotations

import numpy as np

from trainer.scenes import vehicles
from trainer.scenes.conditions import Conditions
from trainer.scenes.people import cyclist, pedestrian
from trainer.scenes.profile import HABITS
from trainer.scenes.world import Item, Street


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
