"""The log line of each request, as it comes out of the whole application."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from fakes.tiny_bundle import ABSTAINED, ANSWERED_BY_A
from fakes.waiting import eventually
from starlette.testclient import TestClient

from service.compute.predictor import Predictor
from service.logs.setup import LogOptions, configure_logging

Images = Callable[..., bytes]
JPEG = {"Content-Type": "image/jpeg"}
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}


class Logged:
    """The application with its log in a file."""

    def __init__(self, client: TestClient, file: Path) -> None:
        self.client = client
        self._file = file

    def post(self, content: bytes, path: str = "/predict", **headers: str) -> dict[str, Any]:
        """Post an image. Returns its log line."""
        self.client.post(path, content=content, headers={**JPEG, **headers, "X-Request-Id": "the-one"})
        return self.line("request")

    def line(self, event: str) -> dict[str, Any]:
        """The line of the request `the-one`, as soon as it is written."""
        eventually(lambda: self._lines(event) != [])
        (line,) = self._lines(event)
        return line

    def text(self) -> str:
        return self._file.read_text()

    def _lines(self, event: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.text().splitlines()]
        return [line for line in lines if line["event"] == event and line.get("request_id") == "the-one"]


@pytest.fixture
def logged(make_client: Callable[..., TestClient], tmp_path: Path) -> Iterator[Logged]:
    yield Logged(make_client(log_file=tmp_path / "log.jsonl"), tmp_path / "log.jsonl")
    structlog.reset_defaults()
    configure_logging(LogOptions())


def test_the_line_of_a_prediction_says_who_decided_what_in_which_time(
    logged: Logged, make_colour_image: Images
) -> None:
    image = make_colour_image(1, ANSWERED_BY_A)
    line = logged.post(image, **{"X-Unit-Id": "camera-7"}, **PARENT)
    assert len(line.pop("bundle").removeprefix("tiny:")) == 16
    assert set(line.pop("timing_ms")) == {"queue", "read", "decode", "stage_a", "total"}
    assert line.pop("timestamp").endswith("Z")
    assert line.pop("duration_ms") > 0
    assert line == {
        "event": "request",
        "level": "info",
        "request_id": "the-one",
        "method": "POST",
        "path": "/predict",
        "status": 200,
        "unit": "camera-7",
        "trace_id": TRACE,
        "stage": "A",
        "decision": "answer",
        "reason": None,
        "audit": False,
    }
    assert base64.b64encode(image[:30]).decode() not in logged.text()


def test_the_line_of_an_abstention_says_why(logged: Logged, make_colour_image: Images) -> None:
    line = logged.post(make_colour_image(1, ABSTAINED))
    assert (line["decision"], line["stage"], line["reason"]) == ("abstain", "B", "ambiguous")
    assert {"unit", "trace_id"}.isdisjoint(line)


@pytest.mark.parametrize("given", ["00-0-0-0", f"00-{'0' * 32}-00f067aa0ba902b7-01", "\x7f", ""])
def test_a_malformed_traceparent_is_ignored(logged: Logged, make_colour_image: Images, given: str) -> None:
    line = logged.post(make_colour_image(1, ANSWERED_BY_A), traceparent=given)
    assert line["status"] == 200
    assert "trace_id" not in line


def test_of_several_traceparents_none_holds(logged: Logged) -> None:
    headers = [*PARENT.items(), *PARENT.items(), ("X-Request-Id", "the-one")]
    logged.client.post("/predict", content=b"", headers=headers)
    assert "trace_id" not in logged.line("request")


def test_a_refused_request_has_its_unit_and_its_trace(logged: Logged) -> None:
    line = logged.post(b"no image", **{"X-Unit-Id": "x" * 200}, **PARENT)
    assert (line["status"], line["trace_id"]) == (400, TRACE)
    # A unit that is no id is a digest everywhere.
    assert line["unit"].startswith("unit-")
    assert "decision" not in line


def test_every_image_of_a_batch_is_in_its_line(logged: Logged, make_colour_image: Images) -> None:
    good, bad = (
        base64.b64encode(image).decode() for image in (make_colour_image(1, ANSWERED_BY_A), b"no image")
    )
    body = json.dumps({"images": [good, bad]}).encode()
    line = logged.post(body, "/predict/batch", **{"Content-Type": "application/json", "X-Unit-Id": "u"})
    assert line["unit"] == "u"
    assert line["images"][0]["request_id"] == "the-one.0"
    assert line["images"][0]["decision"] == "answer"
    assert line["images"][1] == {"request_id": "the-one.1", "problem": "not-an-image"}


def test_an_image_of_the_inference_protocol_is_found_by_the_id_in_its_body(
    logged: Logged, make_colour_image: Images
) -> None:
    data = [base64.b64encode(make_colour_image(1, ANSWERED_BY_A)).decode()]
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "data": data}
    body = json.dumps({"id": "of-the-body", "inputs": [tensor]}).encode()
    line = logged.post(body, "/v2/models/tiny/infer", **{"Content-Type": "application/json"})
    assert line["images"][0]["request_id"] == "of-the-body"
    assert line["bundle"].startswith("tiny:")


def test_the_trace_is_in_every_line_of_its_request(logged: Logged, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("a fault of our own")

    monkeypatch.setattr(Predictor, "predict", fail)
    assert logged.post(b"image", **PARENT)["status"] == 500
    failed = logged.line("request_failed")
    assert (failed["trace_id"], failed["level"]) == (TRACE, "error")
