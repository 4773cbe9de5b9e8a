"""Lines of a log as people read them: the time, the level in colour, and what happened in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import typer

from service.logs.people import in_words, on_one_line

_COLOURS: Final[Mapping[str, str]] = {"debug": "cyan", "info": "green", "warning": "yellow"}
_SEVERE: Final = "red"
_SHOWN_APART: Final = frozenset({"timestamp", "level", "exception"})
_IN_SENTENCE: Final = frozenset(
    {"event", "method", "path", "status", "duration_ms", "decision", "stage", "reason", "audit", "images"}
)
"""Members of a request's line that the sentence says"""
_LEVEL_WIDTH: Final = 7


@dataclass(frozen=True, slots=True)
class LogText:
    """Form of the lines on an output."""

    colour: bool = False

    @classmethod
    def of_output(cls) -> LogText:
        """In colour on a terminal, unless NO_COLOR forbids it."""
        from rich.console import Console

        console = Console()
        dull = console.no_color or console.is_dumb_terminal
        return cls(console.is_terminal and not dull)

    def of(self, line: Mapping[str, Any]) -> str:
        """`2026-11-30 23:10:11.250 warning store unreachable (waiting 3): ...`, and below it the traceback of
        an exception."""
        level = str(line.get("level", ""))
        said = {name: value for name, value in line.items() if name not in _SHOWN_APART}
        words = _request(said) if line["event"] == "request" and "status" in line else in_words(said)
        at = self._styled(_time(line.get("timestamp")), dim=True)
        name = self._styled(f"{on_one_line(level):<{_LEVEL_WIDTH}}", fg=_COLOURS.get(level, _SEVERE))
        return "\n".join([f"{at} {name} {words}", *self._traceback(line)])

    def _traceback(self, line: Mapping[str, Any]) -> Iterator[str]:
        for text in str(line.get("exception", "")).splitlines():
            yield self._styled(f"    {on_one_line(text)}", dim=True)

    def _styled(self, text: str, **style: Any) -> str:
        return typer.style(text, **style) if self.colour else text


def _request(line: Mapping[str, Any]) -> str:
    """`POST /predict 200 in 14.3 ms: answer by A (bundle ..., unit ..., request id ...)`"""
    head = f"{line.get('method')} {line.get('path')} {line['status']} in {line.get('duration_ms')} ms"
    images = line.get("images")
    decisions = images if isinstance(images, list) else [line]
    decided = ", ".join(_decision(one) for one in decisions if isinstance(one, dict) and _is_decided(one))
    further = {name: _plain(value) for name, value in line.items() if name not in _IN_SENTENCE}
    return in_words({"event": on_one_line(f"{head}: {decided}" if decided else head), **further})


def _is_decided(image: Mapping[str, Any]) -> bool:
    return "decision" in image or "problem" in image


def _decision(image: Mapping[str, Any]) -> str:
    if "problem" in image:
        return f"refused, {image['problem']}"
    reason = f", {image['reason']}" if image.get("reason") else ""
    audit = ", audit" if image.get("audit") else ""
    return f"{image['decision']} by {image.get('stage')}{reason}{audit}"


def _plain(value: Any) -> Any:
    """Times by step without the marks of a dictionary."""
    if not isinstance(value, dict):
        return value
    return " + ".join(f"{step} {spent}" for step, spent in value.items())


def _time(timestamp: object) -> str:
    """In UTC to the millisecond; another text as it is."""
    try:
        at = datetime.fromisoformat(str(timestamp)).astimezone(UTC)
    except (ValueError, OverflowError):
        return on_one_line(str(timestamp or "-"))
    return at.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
