"""Keeps the view of a work site open while the street fills up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trainer.scenes.camera import View
from trainer.scenes.world import Item

_LEAST_OPEN = 0.7
"""Share of the picture columns of the site that must stay clear of tall objects"""
_TALL = 1.2
"""Objects below this height hide little, metres"""


class Sightline:
    """The picture columns of every thing on a work site, and which of them are still open."""

    def __init__(self, site: Sequence[Item], view: View) -> None:
        """`view` is the one that the site must be seen from; an empty site is never hidden."""
        self._view = view
        self._z = np.array([item.z for item in site])
        self._open = np.zeros((len(site), view.size), dtype=bool)
        for row, item in zip(self._open, site, strict=True):
            row[self._columns(item)] = True
        self._needed = _LEAST_OPEN * float(self._open.sum())

    def admits(self, item: Item) -> bool:
        """Whether enough of the site stays open with this item there; if so, it is taken into account."""
        if item.height < _TALL:
            return True
        left = self._open.copy()
        left[self._z > item.z, self._columns(item)] = False
        if float(left.sum()) < self._needed:
            return False
        self._open = left
        return True

    def _columns(self, item: Item) -> slice:
        """The columns between the item's edges, at its near and its far end."""
        half, ends = item.width / 2, (item.z, item.far)
        left = min(self._view.point(item.u - half, 0.0, z)[0] for z in ends)
        right = max(self._view.point(item.u + half, 0.0, z)[0] for z in ends)
        return slice(max(0, int(left)), max(0, min(self._view.size, int(right) + 1)))
