"""Test sets of coloured images, as a promotion is handed them; importable, because a process opens them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from fakes.fleet_bundles import tinted_image
from fakes.tiny_bundle import CLASSES, colour_image
from numpy.typing import NDArray

from deploy.gates.plan import RegressionGate

OpenSquares = Callable[[RegressionGate], "ColouredImages"]


@dataclass(frozen=True)
class ColouredImages:
    """Images of blue and red, clear and unclear; every `tinted`-th red one is tinted."""

    count: int = 60
    tinted: int = 0
    name: str = "folder:colours"
    class_names: tuple[str, ...] = CLASSES[:2]
    grouped: int = 0
    """Images of one group; 0: without groups"""
    unlabelled: int = 0
    broken: int = 0
    labels_given: Sequence[int] | None = None
    images: tuple[bytes, ...] = ()
    """Instead of those drawn here"""
    source: str = "no digest of a source"

    @property
    def labels(self) -> NDArray[np.int64]:
        labels = np.array(self.labels_given or [row % 2 for row in range(self.count)], dtype=np.int64)
        labels[: self.unlabelled] = -1
        return labels

    @property
    def groups(self) -> NDArray[np.str_] | None:
        if not self.grouped:
            return None
        return np.array([f"drive {row // self.grouped}" for row in range(self.count)])

    @property
    def paths(self) -> Sequence[str]:
        return [f"{row:04}.jpg" for row in range(self.count)]

    def __len__(self) -> int:
        return self.count

    def read(self, row: int) -> bytes:
        if row < self.broken:
            return b"no image"
        if self.images:
            return self.images[row % len(self.images)]
        if self.tinted and row % 2 and (row // 2) % self.tinted == 0:
            return tinted_image(row)
        return colour_image(row % 2, (0.9, 0.4, 0.05)[row // 2 % 3], row)

    def digest(self) -> str:
        return self.source


def opens(**options: object) -> OpenSquares:
    """What opens such a test set, whatever the plan names."""
    return partial(_opened, tuple(options.items()))


def _opened(options: tuple[tuple[str, object], ...], gate: RegressionGate) -> ColouredImages:
    return ColouredImages(**dict(options))  # type: ignore[arg-type]
