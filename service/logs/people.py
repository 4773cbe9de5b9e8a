"""Log lines for people: warnings and errors, beside the JSON lines."""

from __future__ import annotations

import logging
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from service.choices import LogStreamName

_STYLES: Final[Mapping[str, str]] = {"warning": "yellow", "error": "bold red", "critical": "bold red"}
_SAID_ALREADY: Final = frozenset({"bundle_abstains", "embedded_store_in_kubernetes"})
"""Warnings that repeat what `demur serve` says at its start"""
_WITHOUT_NAME: Final = ("note", "why", "error", "problem")
"""Members whose values are sentences"""
_HIDDEN: Final = frozenset({"event", "level", "timestamp", "logger", "exception", *_WITHOUT_NAME})


class LinesForPeople:
    """Processor that prints severe events to a stream as one line each, and hands them on.

    `12:03:11 error: worker died (worker 0, exit code -9, restart in 0.4)`
    """

    def __init__(self, level: int, stream: LogStreamName) -> None:
        from rich.console import Console

        self._level = level
        self._console = Console(stderr=stream == "stderr")

    def __call__(self, logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        level = str(event.get("level", method))
        severity = logging.getLevelNamesMapping().get(level.upper(), logging.NOTSET)
        if severity >= self._level and event["event"] not in _SAID_ALREADY:
            text = f"{datetime.now():%H:%M:%S} {level}: {in_words(event)}"
            style = _STYLES.get(level, "")
            with suppress(OSError):
                self._console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)
        return event


def in_words(event: Mapping[str, Any]) -> str:
    """One line that says an event, with its members and, of an exception, the last line."""
    named = [f"{key.replace('_', ' ')} {event[key]}" for key in event if key not in _HIDDEN]
    said = str(event["event"])
    what = said if " " in said else said.replace("_", " ")
    if "exception" in event:
        named.append(str(event["exception"]).strip().rpartition("\n")[2])
    aside = f" ({', '.join(named)})" if named else ""
    sentences = [str(event[key]) for key in _WITHOUT_NAME if event.get(key)]
    return on_one_line(": ".join([what + aside, *sentences]))


def on_one_line(text: str) -> str:
    """The text with control characters escaped: a request's path must not move the cursor."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
