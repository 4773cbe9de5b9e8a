"""Logs of the service and all its libraries: one JSON object per line, and short lines for people.

JSON lines go to standard error, or to a file if there is one. Lines for people go to standard error beside
that file: warnings and errors alone.

Every request leaves a line, so this line is written the fast way: without structlog's processors, and in one
flush with its neighbours, `MAX_DELAY` seconds later at most. All other lines go out at once, after the lines
of earlier requests.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol, cast

import orjson
import structlog
from structlog.typing import Processor

from service.choices import LogLevel
from service.log_file import LogFile

_LEVELS: Final[dict[LogLevel, int]] = {"debug": 10, "info": 20, "warning": 30, "error": 40}


@dataclass(frozen=True, slots=True)
class LogOptions:
    """What is logged, and where to."""

    level: LogLevel = "info"
    """Least severe level that is written"""
    text: bool = False
    """Whether warnings and errors also go to standard error as lines for people"""
    file: Path | None = None
    """File of the JSON lines; None: standard error"""
    max_bytes: int = 64 * 2**20
    """Size of the file; an older one of the same size is kept beside it."""


class _Sink(Protocol):
    """Where JSON lines go."""

    def write(self, lines: bytes, /) -> Any: ...

    def flush(self) -> None: ...


class _StandardError:
    """Standard error as a sink. It may be a file on a full disk; lines that it does not take are lost,
    because a log must never fail what it reports."""

    def write(self, lines: bytes) -> None:
        with suppress(OSError):
            sys.stderr.buffer.write(lines)

    def flush(self) -> None:
        with suppress(OSError):
            sys.stderr.buffer.flush()


def configure_logging(options: LogOptions) -> RequestLines:
    """Set up logging for this process; may be called again. Returns the writer of the requests' lines."""
    sink: _Sink = _StandardError() if options.file is None else LogFile(options.file, options.max_bytes)
    level = _LEVELS[options.level]
    people = [_LinesForPeople(max(level, logging.WARNING))] if options.text else []
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, *people, structlog.processors.JSONRenderer(serializer=_dumps)],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.BytesLoggerFactory(cast("BinaryIO", sink)),
        cache_logger_on_first_use=False,
    )
    handler = _JsonHandler(sink)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *people,
                structlog.processors.JSONRenderer(serializer=lambda *a, **k: _dumps(*a, **k).decode()),
            ],
        )
    )
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, _JsonHandler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    logging.captureWarnings(True)
    return RequestLines(sink, enabled=level <= logging.INFO)


MAX_DELAY: Final = 0.1
"""Seconds for which the line of a request may wait for its flush."""


class RequestLines:
    """Log lines of requests; used from the event loop."""

    def __init__(self, sink: _Sink, *, enabled: bool) -> None:
        self._sink = sink
        self._enabled = enabled
        self._flush_due = False

    def write(self, facts: Mapping[str, Any]) -> None:
        """Write one line; `facts`: its JSON members."""
        if not self._enabled:
            return
        line = {**facts, "event": "request", "level": "info", "timestamp": datetime.now(UTC)}
        self._sink.write(orjson.dumps(line, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE))
        if not self._flush_due:
            self._flush_due = True
            asyncio.get_running_loop().call_later(MAX_DELAY, self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        self._sink.flush()


class _JsonHandler(logging.Handler):
    """The service's own handler on the root logger."""

    def __init__(self, sink: _Sink) -> None:
        super().__init__()
        self._sink = sink

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._sink.write(self.format(record).encode() + b"\n")
            self._sink.flush()
        except Exception:  # As in every handler of the standard library: a log fails no caller.
            self.handleError(record)


_STYLES: Final[Mapping[str, str]] = {"warning": "yellow", "error": "bold red", "critical": "bold red"}
_SAID_ALREADY: Final = frozenset({"bundle_abstains"})
"""Warnings that repeat what `demur serve` says at its start"""
_WITHOUT_NAME: Final = ("note", "why", "error", "problem")
"""Members whose values are sentences"""
_HIDDEN: Final = frozenset({"event", "level", "timestamp", "logger", "exception", *_WITHOUT_NAME})


class _LinesForPeople:
    """Processor that prints severe events to standard error as one line each, and hands them on.

    `12:03:11 error: worker died (worker 0, exit code -9, restart in 0.4)`
    """

    def __init__(self, level: int) -> None:
        from rich.console import Console

        self._level = level
        self._console = Console(stderr=True)

    def __call__(self, logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        level = str(event.get("level", method))
        severity = logging.getLevelNamesMapping().get(level.upper(), logging.NOTSET)
        if severity >= self._level and event["event"] not in _SAID_ALREADY:
            text = f"{datetime.now():%H:%M:%S} {level}: {_in_words(event)}"
            style = _STYLES.get(level, "")
            with suppress(OSError):
                self._console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)
        return event


def _in_words(event: Mapping[str, Any]) -> str:
    named = [f"{key.replace('_', ' ')} {event[key]}" for key in event if key not in _HIDDEN]
    said = str(event["event"])
    what = said if " " in said else said.replace("_", " ")
    if "exception" in event:
        named.append(str(event["exception"]).strip().rpartition("\n")[2])
    aside = f" ({', '.join(named)})" if named else ""
    sentences = [str(event[key]) for key in _WITHOUT_NAME if event.get(key)]
    return _on_one_line(": ".join([what + aside, *sentences]))


def _on_one_line(text: str) -> str:
    """The text with control characters escaped: a request's path must not move the cursor."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _dumps(event: Any, **options: Any) -> bytes:
    return orjson.dumps(event, default=options.get("default"), option=orjson.OPT_NON_STR_KEYS)
