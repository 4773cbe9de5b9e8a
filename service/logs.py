"""Logs: one JSON object per line on standard error, from the service and every library, uvicorn included.

Every request leaves a line, so this line is written the fast way: without structlog's processors, and in one
flush with its neighbours, `MAX_DELAY` seconds later at most. All other lines go out at once, after the lines
of earlier requests.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, BinaryIO, Final

import orjson
import structlog
from structlog.typing import Processor

from service.choices import LogLevel

_LEVELS: Final[dict[LogLevel, int]] = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure_logging(level: LogLevel) -> None:
    """Set up logging for this process; may be called again."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer(serializer=_dumps)],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
        cache_logger_on_first_use=False,
    )
    handler = _JsonHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(serializer=lambda *a, **k: _dumps(*a, **k).decode()),
            ],
        )
    )
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, _JsonHandler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(_LEVELS[level])
    logging.captureWarnings(True)


MAX_DELAY: Final = 0.1
"""Seconds for which the line of a request may wait for its flush."""


class RequestLines:
    """Log lines of requests; used from the event loop."""

    def __init__(self) -> None:
        self._stream: BinaryIO = sys.stderr.buffer
        self._enabled = structlog.get_logger().bind().is_enabled_for(logging.INFO)
        self._flush_due = False

    def write(self, facts: Mapping[str, Any]) -> None:
        """Write one line; `facts`: its JSON members."""
        if not self._enabled:
            return
        line = {**facts, "event": "request", "level": "info", "timestamp": datetime.now(UTC)}
        self._stream.write(orjson.dumps(line, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE))
        if not self._flush_due:
            self._flush_due = True
            asyncio.get_running_loop().call_later(MAX_DELAY, self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        self._stream.flush()


class _JsonHandler(logging.StreamHandler[Any]):
    """Marks the service's own handler among those of the root logger."""


def _dumps(event: Any, **options: Any) -> bytes:
    return orjson.dumps(event, default=options.get("default"), option=orjson.OPT_NON_STR_KEYS)
