"""Durations as people write them: 30s, 5m, 1h30m, 2d."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Final

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

_UNITS: Final = {"d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_PART: Final = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)([dhms])")
_LONGEST: Final = 366 * 86_400.0


def read_duration(value: Any) -> float:
    """Seconds. Raises PydanticCustomError, which says how to write it."""
    text = value.strip() if isinstance(value, str) else value
    if text == 0 and not isinstance(text, bool):
        return 0.0
    parts = _PART.findall(text) if isinstance(text, str) else []
    if not parts or "".join(map("".join, parts)) != text:
        raise PydanticCustomError("duration", "it must be a duration, as 30s, 5m, 1h30m or 2d")
    seconds = math.fsum(float(number) * _UNITS[unit] for number, unit in parts)
    if seconds > _LONGEST:
        raise PydanticCustomError("duration", "it must be at most 366d")
    return seconds


def in_words(seconds: float) -> str:
    """The inverse, in the largest units: 5400 -> 1h30m."""
    left, parts = round(seconds), []
    for unit, size in _UNITS.items():
        count, left = divmod(left, round(size))
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


Duration = Annotated[float, BeforeValidator(read_duration)]
