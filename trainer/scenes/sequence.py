"""One sequence: draw the world from its own seed, then paint every frame of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from PIL import Image

from trainer.scenes.backdrop import paint_skyline, sky_pixels
from trainer.scenes.camera import Drive, View, draw_drive
from trainer.scenes.canvas import Canvas
from trainer.scenes.conditions import Conditions, District, draw_conditions
from trainer.scenes.furniture import LAMP_REACH
from trainer.scenes.ground import ground_pixels, plane_of
from trainer.scenes.lamps import LocalLight
from trainer.scenes.lens import Lens, develop, draw_lens
from trainer.scenes.light import Light, light_of
from trainer.scenes.lookalikes import draw_lookalikes
from trainer.scenes.options import Frame, SceneOptions
from trainer.scenes.shadows import shadow_mask
from trainer.scenes.sites import build_site, draw_plot
from trainer.scenes.surroundings import draw_street, furnish, populate
from trainer.scenes.weather import add_glare, add_glows, add_rain
from trainer.scenes.world import Item, Street

VISIBLE_SHARE = 8.0 / 224**2
"""An object counts as visible from this share of the picture on"""


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


def render_sequence(options: SceneOptions, index: int) -> list[Frame]:
    """The frames of sequence `index`, 0 <= index < options.sequences."""
    if not 0 <= index < options.sequences:
        raise ValueError(
            f"index is {index}; it must be in 0..{options.sequences - 1}, one less than `sequences`"
        )
    world = draw_world(options, index)
    rng = _stream(options, index, Stream.FRAMES)
    views = world.drive.views(options.frames, rng)
    group = f"{options.seed}-{index:06d}"
    metadata = world.conditions.metadata()
    frames = []
    for number, view in enumerate(views):
        jpeg, objects = _render(world, view, rng)
        frames.append(Frame(jpeg, world.label, group, number, metadata, objects))
    return frames


def draw_world(options: SceneOptions, index: int) -> World:
    """Lay out a sequence."""
    # Uniform at difficulty 0.5, bunched at 0 and at 1 towards the ends.
    hardness = (
        float(_stream(options, index, Stream.HARDNESS).random()) ** 2.0 ** (3.0 - 6.0 * options.difficulty)
    )
    conditions = draw_conditions(_stream(options, index, Stream.CONDITIONS), hardness)
    label = int(_stream(options, index, Stream.LABEL).random() < options.roadwork_share)

    rng = _stream(options, index, Stream.STREET)
    street = draw_street(rng, conditions)
    scenery = furnish(rng, street, conditions)
    straight = conditions.district in (District.CENTRE, District.HARBOUR)
    bend = float(rng.normal(0.0, 0.0004 if straight else 0.0016))
    sky_shift = (float(rng.random()), float(rng.random()))

    rng = _stream(options, index, Stream.CAMERA)
    light = light_of(conditions)
    drive = draw_drive(rng, options.size, street.lane / 2, bend)
    lens = draw_lens(rng, light, options.size, hardness)

    # A work site comes first of all, houses and trees last: whoever comes later gives way.
    placed: list[Item] = []
    if label:
        rng = _stream(options, index, Stream.SITE)
        placed += build_site(rng, draw_plot(rng, street, drive.last.u, hardness))
    guests = draw_lookalikes(_stream(options, index, Stream.LOOKALIKES), street, hardness)
    guests += populate(_stream(options, index, Stream.TRAFFIC), street, conditions)
    for guest in guests:
        if not any(guest.overlaps(other) for other in placed):
            placed.append(guest)
    items = placed + [item for item in scenery if not any(item.overlaps(other) for other in placed)]
    lamps = tuple(
        (item.u - float(np.sign(item.u)) * LAMP_REACH, item.z) for item in items if item.name == "street lamp"
    )
    local = LocalLight(light.night, lamps)
    return World(label, conditions, light, local, street, tuple(items), drive, lens, sky_shift)


def _render(world: World, view: View, rng: np.random.Generator) -> tuple[bytes, tuple[str, ...]]:
    """Paint one frame: its JPEG and the names of what is visible."""
    items = [(item, item.z + item.speed * view.z) for item in world.items]
    plane = plane_of(view)
    shadows = shadow_mask(items, view, world.light, plane.top)
    sky = sky_pixels(view, plane.top, world.light, world.sky_shift)
    ground = ground_pixels(plane, world.street, world.light, world.local, shadows)
    background = np.clip(np.concatenate([sky, ground]), 0.0, 255.0).astype(np.uint8)

    canvas = Canvas(Image.fromarray(background), view, world.light, world.local)
    paint_skyline(canvas, world.conditions.district, world.sky_shift)
    order = sorted(
        range(len(items)), key=lambda i: (not items[i][0].flat, -(items[i][1] + items[i][0].anchor))
    )
    for i in order:
        item, z = items[i]
        if z > view.z + 1.5 or (item.continuous and z + item.length > view.z + 1.5):
            canvas.begin(i, item.u, z + 0.5 * item.length)
            item.paint(canvas, item.u, z)

    pixels = canvas.finished().copy()
    add_glows(pixels, canvas, view.horizon)
    add_glare(pixels, view, world.light)
    add_rain(pixels, rng, world.light)
    seen = canvas.visible_pixels(len(items)) >= VISIBLE_SHARE * view.size**2
    names = tuple(sorted(item.name for (item, _), visible in zip(items, seen, strict=True) if visible))
    return develop(pixels, world.lens, rng), names


def _stream(options: SceneOptions, index: int, stream: Stream) -> np.random.Generator:
    return np.random.default_rng([options.seed, index, int(stream)])
