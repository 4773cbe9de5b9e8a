"""Logs: one JSON object a line on standard error, from us and from every library, uvicorn included.

Every request leaves a line, so that one is written the short way: without structlog's processors, and
together with those of the moments around it, `LATEST` seconds later at most. All other lines go out at
once, behind the lines of requests before them.
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

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure_logging(level: str) -> None:
    """Set logging up for this process; may be called again."""
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


LATEST: Final = 0.1
"""Seconds that a request's line may wait to be written."""


class RequestLines:
    """Writes the lines of requests; used from the event loop."""

    def __init__(self) -> None:
        self._stream: BinaryIO = sys.stderr.buffer
        self._wanted = structlog.get_logger().bind().is_enabled_for(logging.INFO)
        self._written_soon = False

    def write(self, facts: Mapping[str, Any]) -> None:
        """One line; `facts` about the request, which become JSON."""
        if not self._wanted:
            return
        line = {**facts, "event": "request", "level": "info", "timestamp": datetime.now(UTC)}
        self._stream.write(orjson.dumps(line, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE))
        if not self._written_soon:
            self._written_soon = True
            asyncio.get_running_loop().call_later(LATEST, self._flush)

    def _flush(self) -> None:
        self._written_soon = False
        self._stream.flush()


class _JsonHandler(logging.StreamHandler[Any]):
    """Ours among the root logger's handlers."""


def _dumps(event: Any, **options: Any) -> bytes:
    return orjson.dumps(event, default=options.get("default"), option=orjson.OPT_NON_STR_KEYS)
