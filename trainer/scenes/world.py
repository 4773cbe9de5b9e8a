"""Parts of a scene before painting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from trainer.scenes.canvas import Canvas
from trainer.scenes.light import Rgb

Painter = Callable[[Canvas, float, float], None]
"""Paints an object whose near edge stands at (u, z)."""


@dataclass(frozen=True, slots=True)
class Item:
    """An object on the street."""

    name: str
    u: float
    """Middle of its near edge"""
    z: float
    """Its near edge"""
    width: float
    length: float
    height: float
    paint: Painter
    speed: float = 0.0
    """Metres along the road while the camera drives one"""
    casts: bool = True
    """Whether it throws a shadow"""
    flat: bool = False
    """Lies on the road (a hole): painted before all that stands"""

    continuous: bool = False
    """Still seen while the camera passes it: a wall, a hedge, a rail"""
    anchor_share: float = 0.5
    """Which part of its length decides what it stands in front of: 1 for houses, behind all that
    stands before them"""

    @property
    def anchor(self) -> float:
        return self.anchor_share * self.length

    @property
    def far(self) -> float:
        return self.z + self.length

    def overlaps(self, other: Item, margin: float = 0.4) -> bool:
        """Whether the two footprints touch."""
        return (
            abs(self.u - other.u) < (self.width + other.width) / 2 + margin
            and self.z < other.far + margin
            and other.z < self.far + margin
        )


@dataclass(frozen=True, slots=True)
class Band:
    """A strip of ground along the road, from u = lo to the next band."""

    lo: float
    colour: Rgb
    roughness: float
    """Amplitude of its texture, in colour steps"""
    soaks: bool
    """Whether rain makes it shine"""


@dataclass(frozen=True, slots=True)
class Marking:
    """A white line along the road; dashed where `gap` > 0 (metres)."""

    u: float
    width: float
    dash: float = 0.0
    gap: float = 0.0


@dataclass(frozen=True, slots=True)
class Stain:
    """A repair or a damp patch: a darker rectangle on the road."""

    u: float
    z: float
    half_width: float
    half_length: float
    shade: float
    """How much darker, in [0, 1]"""


@dataclass(frozen=True, slots=True)
class Street:
    """The road and what borders it."""

    half_width: float
    lane: float
    """Width of a lane"""
    kerb_left: float
    """u of the outer edge of the left pavement or verge"""
    kerb_right: float
    bands: tuple[Band, ...]
    """From left to right; the first one begins at -inf"""
    markings: tuple[Marking, ...]
    crossings: tuple[float, ...] = ()
    """z of zebra crossings"""
    stains: tuple[Stain, ...] = ()
