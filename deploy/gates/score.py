"""What two bundles decided on the images of a test set."""

from __future__ import annotations

from dataclasses import dataclass

from calibration.scores import BoolArray


@dataclass(frozen=True, slots=True)
class Score:
    """What the newcomer (column 0) and the champion (column 1, if there is one) decided on m images."""

    name: str
    """Of the test set"""
    right: BoolArray
    """[m, sides], the forced answer is right"""
    answered: BoolArray
    """[m, sides]"""
    notes: tuple[str, ...] = ()
