"""One sequence: draw the world from its own seed, then paint every frame of it."""

from __future__ import annotations

import numpy as np
from PIL import Image

from trainer.scenes.backdrop import paint_skyline, sky_pixels
from trainer.scenes.camera import View
from trainer.scenes.canvas import Canvas
from trainer.scenes.ground import ground_pixels, plane_of
from trainer.scenes.lens import develop
from trainer.scenes.options import Frame, SceneOptions
from trainer.scenes.shadows import shadow_mask
from trainer.scenes.staging import Stream, World, draw_world, generator
from trainer.scenes.weather import add_glare, add_glows, add_rain
from trainer.scenes.world import Item

VISIBLE_SHARE = 8.0 / 224**2
"""Least share of the picture of an object that counts as visible"""

_MARGIN = 3.5
"""Largest reach of an object beyond its footprint, metres"""


def render_sequence(options: SceneOptions, index: int) -> list[Frame]:
    """The frames of sequence `index`, 0 <= index < options.sequences."""
    if not 0 <= index < options.sequences:
        raise ValueError(
            f"index is {index}; it must be in 0..{options.sequences - 1}, one less than `sequences`"
        )
    world = draw_world(options, index)
    rng = generator(options, index, Stream.FRAMES)
    views = world.drive.views(options.frames, rng)
    group = f"{options.seed}-{index:06d}"
    metadata = world.conditions.metadata()
    frames = []
    for number, view in enumerate(views):
        jpeg, objects = _render(world, view, rng)
        frames.append(Frame(jpeg, world.label, group, number, metadata, objects))
    return frames


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
        if _in_sight(item, z, view):
            canvas.begin(i, item.u, z + 0.5 * item.length)
            item.paint(canvas, item.u, z)

    pixels = canvas.finished()
    add_glows(pixels, canvas, view.horizon)
    add_glare(pixels, view, world.light)
    add_rain(pixels, rng, world.light)
    seen = canvas.visible_pixels(len(items)) >= VISIBLE_SHARE * view.size**2
    names = tuple(sorted(item.name for (item, _), visible in zip(items, seen, strict=True) if visible))
    return develop(pixels, world.lens, rng), names


def _in_sight(item: Item, z: float, view: View) -> bool:
    """Whether any of the item may show; the margin allows for arms and crowns."""
    if z < view.z + 1.5 and not (item.continuous and z + item.length > view.z + 1.5):
        return False
    left = item.u - item.width / 2 - _MARGIN
    right = item.u + item.width / 2 + _MARGIN
    ends = (z, z + item.length)
    return (
        min(view.point(left, 0.0, e)[0] for e in ends) < view.size
        and max(view.point(right, 0.0, e)[0] for e in ends) > 0.0
    )
