"""Class shares as they are written on the command line."""

from __future__ import annotations

import math

from calibration.certificate import ClassShares
from trainer.errors import RunError


def parse_shares(text: str | None) -> ClassShares | None:
    """`0.10:0.40` as (0.1, 0.4); intervals separated by commas as one per class; `0.3` as (0.3, 0.3).

    Raises RunError that names the part that is no interval of shares.
    """
    if text is None:
        return None
    intervals = tuple(_interval(part.strip(), text) for part in text.split(","))
    return intervals[0] if len(intervals) == 1 else intervals


def _interval(part: str, text: str) -> tuple[float, float]:
    low, colon, high = part.partition(":")
    try:
        ends = float(low), float(high if colon else low)
    except ValueError:
        raise RunError(
            f"--prevalence is {text!r}, and {part!r} is no interval; write the least and the largest share, "
            "like 0.10:0.40"
        ) from None
    if not all(math.isfinite(end) and 0.0 <= end <= 1.0 for end in ends):
        percent = " (10 % is 0.10)" if max(ends) > 1.0 else ""
        raise RunError(
            f"--prevalence is {text!r}, and {part!r} leaves 0 to 1; a share lies between them{percent}"
        )
    if ends[0] > ends[1]:
        raise RunError(f"--prevalence is {text!r}, and {part!r} falls; write {ends[1]:g}:{ends[0]:g}")
    return ends
