"""Layout of a sequence: everything but its pixels, each part from its own random stream."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from trainer.scenes.camera import Drive, draw_drive
from trainer.scenes.conditions import Conditions, District, draw_conditions
from trainer.scenes.furniture import LAMP_REACH
from trainer.scenes.lamps import LocalLight
from trainer.scenes.lens import Lens, draw_lens
from trainer.scenes.light import Light, light_of
from trainer.scenes.lookalikes import draw_lookalikes
from trainer.scenes.options import SceneOptions
from trainer.scenes.profile import draw_street
from trainer.scenes.scenery import furnish
from trainer.scenes.sightline import Sightline
from trainer.scenes.sites import build_site, draw_plot
from trainer.scenes.traffic import populate
from trainer.scenes.world import Item, Street

_HIDING_HARDNESS = 0.97
"""Only in scenes harder than this may vehicles hide a work site: what cannot be seen at all cannot be
doubted either, and a model would answer it confidently and wrongly"""


class Stream(IntEnum):
    """What is drawn from its own random stream, so that one does not disturb another: the same
    sequence with and without roadwork differs in the roadwork alone."""

    HARDNESS = 0
    CONDITIONS = 1
    LABEL = 2
    STREET = 3
    TRAFFIC = 4
    LOOKALIKES = 5
    SITE = 6
    CAMERA = 7
    FRAMES = 8


@dataclass(frozen=True, slots=True)
class World:
    """Everything about a sequence but its pixels."""

    label: int
    conditions: Conditions
    light: Light
    local: LocalLight
    street: Street
    items: tuple[Item, ...]
    drive: Drive
    lens: Lens
    sky_shift: tuple[float, float]


def draw_world(options: SceneOptions, index: int) -> World:
    """Lay out a sequence."""
    # Uniform at difficulty 0.86. At the default six scenes in seven are easy (below 0.1), one in 24 is
    # hard (above 0.5): a small network gets nearly all of the first right and few of the second.
    exponent = 2.0 ** (9.5 - 11.0 * options.difficulty)
    hardness = float(generator(options, index, Stream.HARDNESS).random()) ** exponent
    conditions = draw_conditions(generator(options, index, Stream.CONDITIONS), hardness)
    label = int(generator(options, index, Stream.LABEL).random() < options.roadwork_share)

    rng = generator(options, index, Stream.STREET)
    street = draw_street(rng, conditions)
    scenery = furnish(rng, street, conditions)
    straight = conditions.district in (District.CENTRE, District.HARBOUR)
    bend = float(rng.normal(0.0, 0.0004 if straight else 0.0016))
    sky_shift = (float(rng.random()), float(rng.random()))

    rng = generator(options, index, Stream.CAMERA)
    light = light_of(conditions)
    drive = draw_drive(rng, options.size, street.lane / 2, bend)
    lens = draw_lens(rng, light, options.size, hardness)

    # A work site comes first of all, houses and trees last: whoever comes later gives way.
    placed: list[Item] = []
    if label:
        rng = generator(options, index, Stream.SITE)
        placed += build_site(rng, draw_plot(rng, street, drive.last, hardness))
    sightline = Sightline(placed, drive.last)
    guests = draw_lookalikes(generator(options, index, Stream.LOOKALIKES), street, hardness)
    guests += populate(generator(options, index, Stream.TRAFFIC), street, conditions)
    for guest in guests:
        if any(guest.overlaps(other) for other in placed):
            continue
        if hardness > _HIDING_HARDNESS or sightline.admits(guest):
            placed.append(guest)
    items = placed + [item for item in scenery if not any(item.overlaps(other) for other in placed)]
    lamps = tuple(
        (item.u - float(np.sign(item.u)) * LAMP_REACH, item.z) for item in items if item.name == "street lamp"
    )
    local = LocalLight(light.night, lamps)
    return World(label, conditions, light, local, street, tuple(items), drive, lens, sky_shift)


def generator(options: SceneOptions, index: int, stream: Stream) -> np.random.Generator:
    """The random stream of one part of one sequence."""
    return np.random.default_rng([options.seed, index, int(stream)])
