"""Canvas of the painters: polygons in road coordinates, with light, haze and a record of their objects.

Colours are plain tuples in 0..255 as the surface would look in white light; the canvas lights them.
It also keeps, pixel by pixel and roughly (bounding boxes), which object is in front: the truth about
what is visible.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from trainer.scenes.camera import NEAR, View
from trainer.scenes.lamps import LocalLight
from trainer.scenes.light import Face, Light, Rgb

OVERSAMPLING = 2
Ink = tuple[int, int, int]
Point = tuple[float, float]
Point3 = tuple[float, float, float]
NOBODY = -1


@dataclass(frozen=True, slots=True)
class Glow:
    """A shining point, to be added after everything is drawn."""

    x: float
    y: float
    mirror_y: float
    """Row of its reflection in a wet road"""
    radius: float
    """Pixels"""
    colour: Rgb
    strength: float
    owner: int


class Canvas:
    """An image under work. `begin` names the object that the following strokes belong to."""

    def __init__(self, background: Image.Image, view: View, light: Light, local: LocalLight) -> None:
        """`background` is RGB at the view's size; strokes are antialiased against it."""
        self.view = view.enlarged(OVERSAMPLING)
        self.light = light
        side = view.size * OVERSAMPLING
        self._image = background.resize((side, side), Image.Resampling.NEAREST)
        self._draw = ImageDraw.Draw(self._image)
        self._glaze = ImageDraw.Draw(self._image, "RGBA")
        self._local = local
        self._owner = NOBODY
        self._front = np.full((view.size, view.size), NOBODY, dtype=np.int16)
        self._multipliers: tuple[Rgb, ...] = ()
        self._veil: Rgb = (0.0, 0.0, 0.0)
        self._clear = 1.0
        self.glows: list[Glow] = []

    def begin(self, owner: int, u: float, z: float) -> None:
        """Light the following strokes as an object at (u, z); `owner` is its index, or NOBODY."""
        self._owner = owner
        depth = max(z - self.view.z, NEAR)
        clear = self.light.clear_share(depth)
        lamps, beam = self._local.at(u - self.view.u, u, z, depth)
        added = tuple(a + b for a, b in zip(lamps, beam, strict=True))
        lit = [_add(face, added) for face in self.light.faces]
        retro = _add(lit[Face.FRONT], tuple(1.5 * b for b in beam))
        self._multipliers = (*lit, retro, (1.0, 1.0, 1.0))
        self._clear = clear
        haze = self.light.haze
        self._veil = (haze[0] * (1 - clear), haze[1] * (1 - clear), haze[2] * (1 - clear))

    def ink(self, colour: Rgb, face: Face = Face.FRONT) -> Ink:
        """The colour as it reaches the camera."""
        m, v, c = self._multipliers[face], self._veil, self._clear
        return (
            min(255, int(colour[0] * m[0] * c + v[0])),
            min(255, int(colour[1] * m[1] * c + v[1])),
            min(255, int(colour[2] * m[2] * c + v[2])),
        )

    def polygon(self, points: Sequence[Point3], colour: Rgb, face: Face = Face.FRONT) -> None:
        """A filled polygon through points (u, y, z)."""
        project = self.view.point
        self.flat([project(*p) for p in points], colour, face)

    def flat(self, pixels: Sequence[Point], colour: Rgb, face: Face = Face.FRONT) -> None:
        """A filled polygon through pixels of the enlarged view."""
        self._draw.polygon(pixels, fill=self.ink(colour, face))
        self._remember(pixels)

    def detail(self, pixels: Sequence[Point], colour: Rgb, face: Face = Face.FRONT) -> None:
        """As `flat`, for strokes inside what the object covers already."""
        self._draw.polygon(pixels, fill=self.ink(colour, face))

    def glaze(self, points: Sequence[Point3], colour: Rgb, opacity: float) -> None:
        """A translucent polygon; it hides nothing."""
        project = self.view.point
        self._glaze.polygon([project(*p) for p in points], fill=(*self.ink(colour), int(255 * opacity)))

    def oval(self, box: tuple[float, float, float, float], colour: Rgb, face: Face = Face.FRONT) -> None:
        """An ellipse in a box (left, top, right, bottom) of enlarged pixels."""
        left, top, right, bottom = box
        if right - left < 1.0 or bottom - top < 1.0:
            return
        self._draw.ellipse(box, fill=self.ink(colour, face))
        shave_x, shave_y = 0.12 * (right - left), 0.12 * (bottom - top)
        self._remember([(left + shave_x, top + shave_y), (right - shave_x, bottom - shave_y)])

    def line(self, pixels: Sequence[Point], width: float, colour: Rgb, face: Face = Face.FRONT) -> None:
        """A stroke `width` enlarged pixels wide; thinner than one pixel, it fades instead."""
        if width >= 1.0:
            self._draw.line(pixels, fill=self.ink(colour, face), width=round(width))
        elif width > 0.15:
            self._glaze.line(pixels, fill=(*self.ink(colour, face), int(255 * width)), width=1)

    def glow(self, u: float, y: float, z: float, colour: Rgb, radius: float, strength: float) -> None:
        """Let a point shine; `radius` in metres."""
        if z - self.view.z < NEAR:
            return
        x, row = self.view.point(u, y, z)
        _, mirrored = self.view.point(u, -y, z)
        pixels = max(1.5, radius * self.view.scale(z) / OVERSAMPLING)
        fade = self._clear**0.5
        self.glows.append(
            Glow(
                x / OVERSAMPLING,
                row / OVERSAMPLING,
                mirrored / OVERSAMPLING,
                pixels,
                colour,
                strength * fade,
                self._owner,
            )
        )

    def stand(self, u: float, z: float, y: float = 0.0) -> Spot:
        """A flat figure's place: upright, facing the camera, its foot at (u, y, z)."""
        x, row = self.view.point(u, y, z)
        return Spot(self, x, row, self.view.scale(z))

    def finished(self) -> NDArray[np.float32]:
        """The image, float32 [size, size, 3] in 0..255."""
        return np.array(self._image.reduce(OVERSAMPLING), dtype=np.float32)

    def visible_pixels(self, objects: int) -> NDArray[np.int64]:
        """How many pixels of each object nothing covers, int64 [objects]."""
        return np.bincount(self._front.ravel() + 1, minlength=objects + 1)[1:]

    def owner_at(self, x: float, y: float) -> int | None:
        """The object in front at a pixel, NOBODY for the backdrop, None outside the image."""
        column, row = int(x), int(y)
        if 0 <= column < self._front.shape[1] and 0 <= row < self._front.shape[0]:
            return int(self._front[row, column])
        return None

    def _remember(self, pixels: Sequence[Point]) -> None:
        columns, rows = [p[0] for p in pixels], [p[1] for p in pixels]
        left, top = int(min(columns) / OVERSAMPLING + 0.5), int(min(rows) / OVERSAMPLING + 0.5)
        right, bottom = int(max(columns) / OVERSAMPLING + 0.5), int(max(rows) / OVERSAMPLING + 0.5)
        if right > 0 and bottom > 0:
            self._front[max(top, 0) : bottom, max(left, 0) : right] = self._owner


@dataclass(frozen=True, slots=True)
class Spot:
    """Draws in metres around a foot point: x to the right, y up."""

    canvas: Canvas
    x: float
    y: float
    scale: float

    def polygon(self, points: Sequence[Point], colour: Rgb, face: Face = Face.FRONT) -> None:
        self.canvas.flat(
            [(self.x + a * self.scale, self.y - b * self.scale) for a, b in points], colour, face
        )

    def detail(self, points: Sequence[Point], colour: Rgb, face: Face = Face.FRONT) -> None:
        self.canvas.detail(
            [(self.x + a * self.scale, self.y - b * self.scale) for a, b in points], colour, face
        )

    def rectangle(
        self, left: float, bottom: float, right: float, top: float, colour: Rgb, face: Face = Face.FRONT
    ) -> None:
        self.polygon([(left, bottom), (right, bottom), (right, top), (left, top)], colour, face)

    def oval(
        self, left: float, bottom: float, right: float, top: float, colour: Rgb, face: Face = Face.FRONT
    ) -> None:
        s = self.scale
        self.canvas.oval(
            (self.x + left * s, self.y - top * s, self.x + right * s, self.y - bottom * s), colour, face
        )

    def line(self, points: Sequence[Point], width: float, colour: Rgb, face: Face = Face.FRONT) -> None:
        self.canvas.line(
            [(self.x + a * self.scale, self.y - b * self.scale) for a, b in points],
            width * self.scale,
            colour,
            face,
        )


def _add(a: Sequence[float], b: Sequence[float]) -> Rgb:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]
