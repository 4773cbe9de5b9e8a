"""Slack's webhook: blocks out, `ok` back, and errors that come with a status of 200."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from fakes.alert_messages import message
from fakes.http_receiver import answers, http_receiver, talks_without_end

from monitoring.alerts.notifiers.channels import Channel
from monitoring.alerts.notifiers.slack_blocks import slack_payload

Make = Callable[..., Channel]
SLACK = {"kind": "slack", "url": "${SLACK_URL}", "timeout": 60}


def test_a_message_is_posted_as_blocks_with_its_id(channel: Make) -> None:
    with http_receiver(answers(200, "ok")) as receiver:
        said = channel(SLACK, SLACK_URL=f"{receiver.url}/services/T0/B0/xyz").send(message("m-3"))
        (request,) = receiver.requests
    assert said.outcome == "delivered"
    assert request.path == "/services/T0/B0/xyz"
    assert request.headers["Idempotency-Key"] == "m-3"
    assert request.json()["blocks"][0]["type"] == "header"
    text = request.json()["blocks"][1]["text"]["text"]
    for fact in (
        "0.0213 (95 %: 0.0131 to 0.0342), n 940",
        "2026-09-21",
        "roadwork:7",
        "Activate",
        "3f9c1a7b",
    ):
        assert fact in text
    assert "m-3" in json.dumps(request.json()["blocks"][-1])


@pytest.mark.parametrize(
    ("status", "body", "outcome", "final"),
    [
        (200, {"ok": False, "error": "channel_not_found"}, "refused", False),
        (200, "invalid_payload", "refused", False),
        (200, "<html>log in first</html>", "refused", False),
        (400, "invalid_blocks", "refused", True),
        (403, "invalid_token", "refused", False),
        (404, "no_service", "refused", False),
        (200, {"ok": True}, "delivered", False),
        (200, "", "delivered", False),
    ],
)
def test_what_slack_says_is_read_and_not_only_its_status(
    channel: Make, status: int, body: str | dict[str, object], outcome: str, final: bool
) -> None:
    with http_receiver(answers(status, body)) as receiver:
        said = channel(SLACK, SLACK_URL=receiver.url).send(message())
    assert (said.outcome, said.final) == (outcome, final)


def test_an_answer_of_five_megabytes_is_not_ok(channel: Make) -> None:
    with http_receiver(talks_without_end) as receiver:
        assert channel(SLACK, SLACK_URL=receiver.url).send(message()).outcome == "refused"


def test_a_label_rings_nobody_and_no_text_is_too_long_for_slack() -> None:
    payload = slack_payload(message(text="<!channel> & " + "x" * 9000, lines=60))
    sections = [block["text"]["text"] for block in payload["blocks"] if block["type"] == "section"]
    assert all(len(text) <= 3000 for text in sections)
    assert "<!channel>" not in json.dumps(payload)
    assert len(payload["blocks"]) <= 50
    assert "And 40 more" in sections[-1]
