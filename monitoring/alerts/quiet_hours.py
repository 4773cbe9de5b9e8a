"""Quiet hours: times of day in which what is not urgent waits; a part of the rules file."""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from monitoring.alerts.ladders import Part
from monitoring.alerts.message import Severity

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]

_DAYS: Final[tuple[Day, ...]] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CLOCK: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")


def _known_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        raise PydanticCustomError(
            "zone", "there is no such time zone; write one as Europe/Berlin or UTC"
        ) from None
    return value


def _clock(value: Any) -> str:
    # YAML reads 22:00 without quotes as the number 1320.
    if not isinstance(value, str) or not _CLOCK.fullmatch(value):
        raise PydanticCustomError("clock", 'it must be a time of day in quotes, as "22:00"')
    return value


Clock = Annotated[str, BeforeValidator(_clock)]


class QuietHours(Part):
    """Hours in which the alerts of these severities wait."""

    begin: Annotated[Clock, Field(alias="from")]
    end: Annotated[Clock, Field(alias="to")]
    zone: Annotated[str, AfterValidator(_known_zone)] = "UTC"
    days: Annotated[tuple[Day, ...], Field(min_length=1)] = _DAYS
    """Days on which they begin"""
    severities: Annotated[tuple[Severity, ...], Field(min_length=1)] = ("warning", "info")

    def hold(self, severity: Severity, now: float) -> bool:
        """Whether an alert of this severity waits at `now`, Unix time in seconds."""
        if severity not in self.severities:
            return False
        local = datetime.fromtimestamp(now, ZoneInfo(self.zone))
        begin, end = time.fromisoformat(self.begin), time.fromisoformat(self.end)
        clock = local.time().replace(tzinfo=None)
        if begin < end:
            return begin <= clock < end and _DAYS[local.weekday()] in self.days
        # Over midnight: the hours after it belong to the day before.
        if clock >= begin:
            return _DAYS[local.weekday()] in self.days
        return clock < end and _DAYS[(local - timedelta(days=1)).weekday()] in self.days
