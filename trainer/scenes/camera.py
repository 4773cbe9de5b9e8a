"""A pinhole camera behind a windscreen, and the road coordinates along its view.

Road coordinates, in metres: `u` to the right of the road's middle, `y` up from the road, `z` along the
road. A bend shifts everything by bend * depth^2, the same wherever the camera stands on it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil

import numpy as np

NEAR = 1.2
"""Nothing nearer than this is drawn, metres"""


@dataclass(frozen=True, slots=True)
class View:
    """Where the camera stands and how it projects."""

    size: int
    """Side of the square image, pixels"""
    focal: float
    """Pixels"""
    centre: float
    """Column that the camera's axis hits, pixels"""
    horizon: float
    """Row of the horizon, pixels"""
    height: float
    """Of the camera above the road, metres"""
    u: float
    z: float
    bend: float
    """Half the road's curvature, 1/m; positive bends to the right"""

    def scale(self, z: float) -> float:
        """Pixels a metre at position z, which must lie in front of the camera."""
        return self.focal / max(z - self.z, NEAR)

    def point(self, u: float, y: float, z: float) -> tuple[float, float]:
        """The pixel (column, row) of a point in road coordinates."""
        depth = max(z - self.z, NEAR)
        scale = self.focal / depth
        x = u - self.u + self.bend * depth * depth
        return self.centre + x * scale, self.horizon + (self.height - y) * scale

    def enlarged(self, factor: float) -> View:
        """The same view on an image `factor` times as wide, rounded up to whole pixels."""
        return replace(
            self,
            size=ceil(self.size * factor),
            focal=self.focal * factor,
            centre=self.centre * factor,
            horizon=self.horizon * factor,
        )


@dataclass(frozen=True, slots=True)
class Drive:
    """A camera on its way: the last frame stands at z = 0, earlier ones further back."""

    last: View
    step: float
    """Metres a frame"""
    sway: float
    """Standard deviation of the pointing between frames, pixels"""

    def views(self, frames: int, rng: np.random.Generator) -> list[View]:
        """The views of a sequence, first to last."""
        wobble = rng.normal(0.0, self.sway, size=(frames, 2))
        return [
            replace(
                self.last,
                z=-self.step * (frames - 1 - i),
                centre=self.last.centre + float(wobble[i, 0]),
                horizon=self.last.horizon + float(wobble[i, 1]),
            )
            for i in range(frames)
        ]


def draw_drive(rng: np.random.Generator, size: int, lane_middle: float, bend: float) -> Drive:
    """A camera on the lane whose middle is at `lane_middle`, on a road with this bend."""
    view = View(
        size=size,
        focal=size * float(rng.uniform(0.86, 1.08)),
        centre=size * float(rng.uniform(0.46, 0.54)),
        horizon=size * float(rng.uniform(0.42, 0.52)),
        height=float(rng.uniform(1.35, 2.1)),
        u=lane_middle + float(rng.uniform(-0.35, 0.35)),
        z=0.0,
        bend=bend,
    )
    return Drive(last=view, step=float(rng.uniform(0.25, 0.6)), sway=size * 0.0015)
