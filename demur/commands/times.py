"""Times on the command line, as Unix time."""

from __future__ import annotations

from datetime import UTC, datetime

from demur.errors import InterfaceError


class MalformedTime(InterfaceError, ValueError):
    """A text is no date and no time."""


def unix_time(name: str, text: str | None, *, default: float) -> float:
    """The Unix time of an ISO 8601 date or time, in UTC if it names no zone. Raises MalformedTime."""
    if text is None:
        return default
    try:
        moment = datetime.fromisoformat(text.strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise MalformedTime(
            f"{name} is {text!r}; it must be a date or a time such as 2026-03-01 or 2026-03-01T12:00"
        ) from None
