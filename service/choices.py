"""Names that a user chooses from, spelled once for settings and command line; imports nothing but typing."""

from __future__ import annotations

from typing import Final, Literal, get_args

LogLevel = Literal["debug", "info", "warning", "error"]

LogFormat = Literal["auto", "json", "text"]

LogStreamName = Literal["stderr", "stdout"]

LOG_LEVELS: Final[tuple[LogLevel, ...]] = get_args(LogLevel)
LOG_FORMATS: Final[tuple[LogFormat, ...]] = get_args(LogFormat)
LOG_STREAMS: Final[tuple[LogStreamName, ...]] = get_args(LogStreamName)
