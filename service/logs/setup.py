"""Logging of this process and all its libraries: one JSON object per line, and short lines for people.

JSON lines go to a stream, or to files if there is a file. Lines for people go to the stream beside that file:
warnings and errors alone. The line of a request may wait for its neighbours (`service.logs.requests`); all
other lines go out at once, after the lines of earlier requests.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import orjson
import structlog
from structlog.typing import Processor

from service.choices import LogLevel, LogStreamName
from service.logs.buffer import LineBuffer
from service.logs.file import LogFile
from service.logs.people import LinesForPeople
from service.logs.requests import RequestLines
from service.logs.stream import LogStream

_LEVELS: Final[dict[LogLevel, int]] = {"debug": 10, "info": 20, "warning": 30, "error": 40}


@dataclass(frozen=True, slots=True)
class LogOptions:
    """What is logged, and where to."""

    level: LogLevel = "info"
    """Least severe level that is written"""
    text: bool = False
    """Whether warnings and errors also go to the stream as lines for people"""
    stream: LogStreamName = "stderr"
    """Stream of the JSON lines without a file, and of the lines for people"""
    file: Path | None = None
    """File of the JSON lines; None: the stream"""
    max_bytes: int = 64 * 2**20
    """Size of a file"""
    files: int = 2
    """Number of files: the one at the path, and older ones beside it"""


def configure_logging(options: LogOptions) -> RequestLines:
    """Set up logging for this process; may be called again. Returns the writer of the requests' lines."""
    place: LogFile | LogStream = LogStream(options.stream)
    if options.file is not None:
        place = LogFile(options.file, options.max_bytes, options.files)
    buffer = LineBuffer(place.append)
    level = _LEVELS[options.level]
    people = [LinesForPeople(max(level, logging.WARNING), options.stream)] if options.text else []
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, *people, structlog.processors.JSONRenderer(serializer=_dumps)],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.BytesLoggerFactory(cast("BinaryIO", buffer)),
        cache_logger_on_first_use=False,
    )
    handler = _JsonHandler(buffer)
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
    return RequestLines(buffer, enabled=level <= logging.INFO)


class _JsonHandler(logging.Handler):
    """The service's own handler on the root logger."""

    def __init__(self, buffer: LineBuffer) -> None:
        super().__init__()
        self._buffer = buffer

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._buffer.write(self.format(record).encode() + b"\n")
            self._buffer.flush()
        except Exception:  # As in every handler of the standard library: a log fails no caller.
            self.handleError(record)


def _dumps(event: Any, **options: Any) -> bytes:
    return orjson.dumps(event, default=options.get("default"), option=orjson.OPT_NON_STR_KEYS)
