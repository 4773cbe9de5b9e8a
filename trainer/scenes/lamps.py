"""Artificial light: the headlights of the camera car and the street lamps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.scenes.light import Rgb, shaded

Array = NDArray[np.float32]
LAMP_COLOUR: Rgb = (0.92, 0.66, 0.36)
BEAM_COLOUR: Rgb = (0.88, 0.88, 0.82)
_POOL = 5.0
"""Standard deviation of a lamp's pool of light, metres"""


@dataclass(frozen=True, slots=True)
class LocalLight:
    """Headlights and lamps of one scene; `strength` 0 switches them off."""

    strength: float
    lamps: Sequence[tuple[float, float]]
    """(u, z) of the burning street lamps"""

    def at(self, x: float, u: float, z: float, depth: float) -> tuple[Rgb, Rgb]:
        """What lamps and headlights add to the light of an object, as two multipliers."""
        if self.strength == 0.0:
            return (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)
        pool = sum(np.exp(-((u - a) ** 2 + (z - b) ** 2) / (2 * _POOL**2)) for a, b in self.lamps)
        lamp = 0.75 * self.strength * float(pool)
        beam = self.strength * float(_beam(np.float32(x), np.float32(depth)))
        return shaded(LAMP_COLOUR, lamp), shaded(BEAM_COLOUR, beam)

    def on_ground(self, x: Array, u: Array, z: Array, depth: Array) -> tuple[Array, Array]:
        """The same for the road: x, u [rows, columns] and z, depth [rows, 1] -> two [rows, columns]."""
        pool = np.zeros_like(u)
        for side in {lamp_u for lamp_u, _ in self.lamps}:
            along = sum(np.exp(-((z - b) ** 2) / (2 * _POOL**2)) for a, b in self.lamps if a == side)
            pool += np.exp(-((u - side) ** 2) / (2 * _POOL**2)) * along
        return np.float32(0.75 * self.strength) * pool, np.float32(self.strength) * _beam(x, depth)


def _beam(x: Array | np.float32, depth: Array | np.float32) -> Array:
    """Dipped headlights: a widening cone that fades with the distance."""
    width = 1.4 + 0.20 * depth
    reach = np.minimum(1.0, (11.0 / (depth + 3.0)) ** 1.6)
    return np.asarray(np.exp(-((x / width) ** 2)) * reach, dtype=np.float32)
