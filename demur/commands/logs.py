"""`demur logs`: the lines of a service's log that are asked for, as short lines for people."""

from __future__ import annotations

import logging
import re
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from demur.commands.logs_text import LogText
from demur.commands.times import MalformedTime, unix_time
from demur.output import printable

_SECONDS: Final[Mapping[str, float]] = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_INDEX: Final = re.compile(r"\.\d+$")
"""Of an image of a batch, in its id"""
_DURATION: Final = re.compile(r"\s*(\d{1,9}(?:\.\d{1,9})?)\s*([smhd])\s*")


@dataclass(frozen=True, slots=True)
class LogChoice:
    """Which lines are shown; what is None chooses every line."""

    level: str | None = None
    """Least severe level"""
    event: str | None = None
    request_id: str | None = None
    """A request or one image of it; of a batch, its request or the image"""
    bundle: str | None = None
    """NAME or NAME:VERSION"""
    unit: str | None = None
    trace: str | None = None
    since: float | None = None
    """Unix time, seconds"""

    @property
    def by_member(self) -> bool:
        """Whether it asks for lines that say something, so that a line without members is none of them."""
        wanted = (self.event, self.request_id, self.bundle, self.unit, self.trace)
        return any(value is not None for value in wanted)

    def takes(self, line: Mapping[str, Any]) -> bool:
        """Whether a line of the log is shown."""
        exact = (("event", self.event), ("unit", self.unit), ("trace_id", self.trace))
        return (
            all(value is None or line.get(member) == value for member, value in exact)
            and (self.level is None or _severity(line.get("level")) >= _severity(self.level))
            and (self.bundle is None or self.bundle in _names(line))
            and (self.request_id is None or self.request_id in _ids(line))
            and (self.since is None or self.is_recent(line))
        )

    def is_recent(self, line: Mapping[str, Any]) -> bool:
        """Whether the line was written since then; a line without a time was."""
        try:
            at = datetime.fromisoformat(line["timestamp"]).timestamp()
        except (KeyError, TypeError, ValueError, OverflowError):
            return True
        return self.since is None or at >= self.since


def show(
    batches: Iterable[Iterable[bytes]], choice: LogChoice, *, lines: int | None = None, as_json: bool = False
) -> None:
    """Print the chosen lines of each batch, as it comes.

    `lines`: of the first batch the last ones alone. A line that is no JSON is printed as it is, unless
    members are asked for or `as_json`: the lines of the log as they are, and no other.
    """
    text = None if as_json else LogText.of_output()
    for number, batch in enumerate(batches):
        chosen = _chosen(batch, choice, text)
        for shown in chosen if lines is None or number else deque(chosen, maxlen=lines):
            sys.stdout.write(f"{shown}\n")
            sys.stdout.flush()


def since(text: str | None) -> float | None:
    """The Unix time of a duration before now (`90s`, `10m`, `2h`, `1d`), or of a date or time in ISO 8601, in
    UTC if it names no zone. Raises MalformedTime."""
    if text is None:
        return None
    if (duration := _DURATION.fullmatch(text)) is not None:
        return time.time() - float(duration[1]) * _SECONDS[duration[2]]
    try:
        return unix_time("since", text, default=0.0)
    except MalformedTime as error:
        raise MalformedTime(f"{error}, or a duration such as 90s, 10m, 2h or 1d") from None


def _chosen(lines: Iterable[bytes], choice: LogChoice, text: LogText | None) -> Iterator[str]:
    begun = choice.since is None
    for raw in lines:
        line = _members(raw)
        if line is None:
            if begun and text is not None and not choice.by_member:
                yield printable(raw.decode("utf-8", "surrogateescape"))
            continue
        begun = begun or choice.is_recent(line)
        if choice.takes(line):
            yield raw.decode() if text is None else text.of(line)


def _members(raw: bytes) -> dict[str, Any] | None:
    """The members of a line of the log; None for any other line."""
    try:
        line = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    return line if isinstance(line, dict) and isinstance(line.get("event"), str) else None


def _severity(level: object) -> int:
    return logging.getLevelNamesMapping().get(str(level).upper(), logging.INFO)


def _names(line: Mapping[str, Any]) -> tuple[str, str]:
    """NAME:VERSION of the line's bundle, and NAME."""
    label = str(line.get("bundle", ""))
    return label, label.partition(":")[0]


def _ids(line: Mapping[str, Any]) -> list[Any]:
    """Ids of a request and of its images; of an image in other lines, also that of its request."""
    own = line.get("request_id")
    images = line.get("images")
    below = [image.get("request_id") for image in images if isinstance(image, dict)] if images else []
    return [own, _INDEX.sub("", str(own)), *below]
