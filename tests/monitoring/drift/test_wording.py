"""Words for the signals of drift."""

from __future__ import annotations

from typing import Literal

import pytest

from calibration.drift.comparison import SignalShift
from monitoring.drift.wording import change_in_words


def shift(name: str, kind: Literal["number", "category"], category: int | None = None) -> SignalShift:
    return SignalShift(name, kind, 0.9, 0.6, 1.0, 0.001, True, category)


@pytest.mark.parametrize(
    ("moved", "said"),
    [
        (shift("bytes_per_pixel", "number"), "bytes per pixel went from 0.9 to 0.6"),
        (shift("margin_a", "number"), "margin of stage A went from 0.9 to 0.6"),
        (shift("answered", "category", 1), "the share of answers went from 90 to 60 %"),
        (shift("answered", "category", 0), "the share of abstentions went from 90 to 60 %"),
        (shift("stage", "category", 1), "the share of stage B went from 90 to 60 %"),
        (shift("predicted", "category", 7), "the share of label 7 went from 90 to 60 %"),
    ],
)
def test_a_change_in_words(moved: SignalShift, said: str) -> None:
    assert change_in_words(moved) == said
