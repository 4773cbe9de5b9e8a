"""Events as lines of JSON, their form on disk: one flat object per line."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Final

import orjson

from monitoring.errors import MonitoringError
from monitoring.events import Event, FailureEvent, FeedbackEvent, PredictionEvent

_KINDS: Final[dict[str, type[Event]]] = {
    "prediction": PredictionEvent,
    "feedback": FeedbackEvent,
    "failure": FailureEvent,
}
_NAMES: Final = {kind: name for name, kind in _KINDS.items()}
_OPENINGS: Final = {kind: b'{"event":"%s",' % name.encode() for name, kind in _KINDS.items()}
_FIELDS: Final = {name: frozenset(field.name for field in fields(kind)) for name, kind in _KINDS.items()}
_NOT_DEALT: Final = b',"experiment":null,"arm":null,"stratum":null,"dealt":null'
"""Fields that a line lacks outside of experiments, a fifth of its length. No text of a client can hold this:
quotes in it are escaped."""


class UnreadableLine(MonitoringError, ValueError):
    """A line is no event: torn by a crash, damaged, or of a kind that this version does not support."""


class UnknownKind(UnreadableLine):
    """A line is an event of a kind that only a later version knows."""


def kind_of(event: Event) -> str:
    """`prediction`, `feedback` or `failure`."""
    return _NAMES[type(event)]


def line_of(event: Event) -> bytes:
    """The event's line, including its line end."""
    # The kind is put in front of the object that orjson makes of a dataclass, which is faster than a dict.
    content = orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE)[1:]
    return _OPENINGS[type(event)] + content.replace(_NOT_DEALT, b"")


def event_of(line: bytes) -> Event:
    """The event of a line; fields that a later version has added are ignored.

    Raises UnreadableLine, and UnknownKind for a kind that a later version has added.
    """
    try:
        content: dict[str, Any] = orjson.loads(line)
        name = content.pop("event")
        if isinstance(name, str) and name not in _KINDS:
            raise UnknownKind(
                f"an event of the kind {name[:40]!r}, which a later version of demur has written"
            )
        kind, known = _KINDS[name], _FIELDS[name]
        if content.keys() <= known:
            return kind(**content)
        return kind(**{key: value for key, value in content.items() if key in known})
    except UnknownKind:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnreadableLine(f"{line[:80]!r} is no event: {error}") from error
