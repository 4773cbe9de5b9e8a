"""The audit sample: which answers ask for a label, drawn before any label is known."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from monitoring.windows.unit_windows import UnitWindow, unit_window

_CAPACITY: Final = 65_536
"""Unit-windows that a worker remembers; about 15 MB"""


@dataclass(frozen=True, slots=True)
class Draw:
    """The draw of one frame; the fields of its event."""

    draw: float | None
    audit: bool
    probability: float | None


NOT_DRAWN: Final = Draw(None, False, None)
"""Of a frame that no monitor counts"""


class AuditSampler:
    """The draws of one worker.

    Of each unit-window the answered frame with the smallest draw is the item, so it is any of them with equal
    probability, whatever their number, and workers that answer frames of the same unit need no agreement. A
    worker does not ask for the label of a frame that it knows not to be the smallest; a frame that was the
    smallest when it was answered may still be replaced by a later one.
    """

    def __init__(
        self,
        share: float,
        gap: float,
        *,
        capacity: int = _CAPACITY,
        uniform: Callable[[], float] = random.random,
    ) -> None:
        """`share`: rho in [0, 1], audits per unit-window on average. `gap`: seconds of a unit-window.
        `capacity`: unit-windows remembered; of a forgotten one, a label too many may be asked for."""
        self._share = share
        self._gap = gap
        self._capacity = capacity
        self._uniform = uniform
        self._smallest: dict[tuple[str, UnitWindow], float] = {}

    def draw(self, bundle: str, unit_id: str | None, at: float, weight: float | None) -> Draw:
        """The draw of a frame that `bundle` decided at the Unix time `at`.

        `weight`: q of the confidence of an answer, by which the share is multiplied; None for an abstention.
        """
        draw = self._uniform()
        if weight is None:
            return Draw(draw, False, None)
        probability = min(1.0, self._share * weight)
        audit = self._uniform() < probability
        if unit_id is not None:
            audit &= self._is_smallest((bundle, unit_window(unit_id, at, self._gap)), draw)
        return Draw(draw, audit, probability)

    def _is_smallest(self, window: tuple[str, UnitWindow], draw: float) -> bool:
        # The latest used windows are at the end of the dictionary.
        held = self._smallest.pop(window, None)
        smallest = held is None or draw < held
        self._smallest[window] = draw if held is None or smallest else held
        if len(self._smallest) > self._capacity:
            del self._smallest[next(iter(self._smallest))]
        return smallest
