"""Words for the signals of drift."""

from __future__ import annotations

from calibration.decision import STAGE_KEYS, STAGE_NAMES
from calibration.drift.comparison import SignalShift


def signal_name(shift: SignalShift) -> str:
    """`bytes per pixel`, `margin of stage A`; of a category the share that changed most."""
    if shift.category is not None:
        return f"share of {category_name(shift.name, shift.category)}"
    what, _, stage = shift.name.rpartition("_")
    if stage in STAGE_KEYS:
        return f"{what} of stage {stage.upper()}"
    return shift.name.replace("_", " ")


def category_name(signal: str, category: int) -> str:
    """`answers` or `abstentions`, `stage B`, `label 1`."""
    if signal == "answered":
        return "answers" if category else "abstentions"
    if signal == "stage" and category < len(STAGE_NAMES):
        return f"stage {STAGE_NAMES[category]}"
    return f"label {category}"


def change_in_words(shift: SignalShift) -> str:
    """`brightness went from 0.5 to 0.3`; of a category `the share of answers went from 90 to 60 %`."""
    if shift.category is None:
        return f"{signal_name(shift)} went from {shift.reference:.3g} to {shift.current:.3g}"
    return f"the {signal_name(shift)} went from {100 * shift.reference:.3g} to {100 * shift.current:.3g} %"
