"""The line of a request: what was decided, and nothing that does not belong into a log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

from service.logs.buffer import LineBuffer
from service.logs.requests import RequestLines

BUNDLE = {"name": "tiny", "version": "0123456789abcdef"}


def answer(request_id: str, **members: Any) -> dict[str, Any]:
    """The body of an answer, with members that belong into no log."""
    return {
        "request_id": request_id,
        "decision": "answer",
        "label": 1,
        "probability": 0.98,
        "stage": "A",
        "reason": None,
        "bundle": BUNDLE,
        "audit": False,
        "timing_ms": {"decode": 1.0, "total": 2.5},
        **members,
    }


def line_of(facts: Mapping[str, Any], answers: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    written: list[bytes] = []

    async def write() -> None:
        lines = RequestLines(LineBuffer(written.append), enabled=True)
        lines.write(facts, answers)
        lines._flush()

    asyncio.run(write())
    line: dict[str, Any] = json.loads(b"".join(written))
    assert line.pop("timestamp").endswith("Z")
    return line


def test_a_request_without_an_answer_has_its_facts_alone() -> None:
    assert line_of({"request_id": "a", "status": 404}) == {
        "request_id": "a",
        "status": 404,
        "event": "request",
        "level": "info",
    }


def test_one_answer_is_in_the_line_itself() -> None:
    line = line_of({"request_id": "a"}, [answer("a", decision="abstain", reason="ambiguous", audit=True)])
    assert line == {
        "request_id": "a",
        "event": "request",
        "level": "info",
        "bundle": "tiny:0123456789abcdef",
        "stage": "A",
        "decision": "abstain",
        "reason": "ambiguous",
        "audit": True,
        "timing_ms": {"decode": 1.0, "total": 2.5},
    }


def test_of_several_images_each_is_listed_and_so_is_a_refused_one() -> None:
    refused = {"request_id": "a.0", "problem": {"type": "urn:demur:problem:not-an-image", "value": "x"}}
    line = line_of({"request_id": "a"}, [refused, answer("a.1")])
    assert line["bundle"] == "tiny:0123456789abcdef"
    assert "decision" not in line
    assert line["images"][0] == {"request_id": "a.0", "problem": "not-an-image"}
    assert line["images"][1].keys() == {"request_id", "stage", "decision", "reason", "audit", "timing_ms"}


def test_an_image_with_an_id_of_its_own_is_found_by_it() -> None:
    line = line_of({"request_id": "a"}, [answer("of-the-body")])
    assert line["images"][0]["request_id"] == "of-the-body"


def test_images_that_were_all_refused_have_no_bundle() -> None:
    refused = {"request_id": "a.0", "problem": {"type": "urn:demur:problem:not-an-image"}}
    assert "bundle" not in line_of({"request_id": "a"}, [refused])
