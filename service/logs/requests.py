"""Log lines of requests: who asked for what, and what was decided, by which bundle, in which time.

Every request leaves a line, so this line is written the fast way: without structlog's processors, and in one
flush with its neighbours, `MAX_DELAY` seconds later at most.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from service.logs.buffer import LineBuffer

MAX_DELAY: Final = 0.1
"""Seconds for which the line of a request may wait for its flush."""


class RequestLines:
    """Log lines of requests; used from the event loop."""

    def __init__(self, buffer: LineBuffer, *, enabled: bool) -> None:
        self._buffer = buffer
        self._enabled = enabled
        self._flush_due = False

    def write(self, facts: Mapping[str, Any], answers: Sequence[Mapping[str, Any]] = ()) -> None:
        """Write one line; `facts`: its JSON members, `answers`: what the request was told of its images."""
        if not self._enabled:
            return
        line = {**facts, "event": "request", "level": "info", "timestamp": datetime.now(UTC)}
        if answers:
            _add_decisions(line, answers)
        self._buffer.write(orjson.dumps(line, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE))
        if not self._flush_due:
            self._flush_due = True
            asyncio.get_running_loop().call_later(MAX_DELAY, self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        self._buffer.flush()


def _add_decisions(line: dict[str, Any], answers: Sequence[Mapping[str, Any]]) -> None:
    """Add the bundle and the decision; of several images, or of one with an id of its own, the member
    `images` has the decision of each."""
    bundle = next((answer["bundle"] for answer in answers if "bundle" in answer), None)
    if bundle is not None:
        line["bundle"] = f"{bundle['name']}:{bundle['version']}"
    if len(answers) == 1 and answers[0]["request_id"] == line["request_id"]:
        line.update(_decision(answers[0]))
    else:
        line["images"] = [{"request_id": answer["request_id"], **_decision(answer)} for answer in answers]


def _decision(answer: Mapping[str, Any]) -> dict[str, Any]:
    """What is logged of one answer. Neither the label nor a probability: they are in the event log."""
    if "problem" in answer:
        return {"problem": answer["problem"]["type"].rpartition(":")[2]}
    return {
        "stage": answer["stage"],
        "decision": answer["decision"],
        "reason": answer["reason"],
        "audit": answer["audit"],
        "timing_ms": answer["timing_ms"],
    }
