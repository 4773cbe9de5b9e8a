"""SMS in Twilio's form, and a text of at most three parts."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable
from urllib.parse import parse_qs

import pytest
from fakes.alert_messages import message
from fakes.http_receiver import answers, http_receiver
from hypothesis import given
from hypothesis import strategies as st

from monitoring.alerts.notifiers.channels import Channel
from monitoring.alerts.notifiers.sms_text import MOST_CHARACTERS, sms_text

Make = Callable[..., Channel]
TO = "+491701234567"


def sms(url: str, **changes: object) -> dict[str, object]:
    given = {"kind": "sms", "base_url": url, "account": "AC12", "token": "${SMS_TOKEN}", "from": "demur"}
    return {**given, "timeout": 60, **changes}


def test_a_message_is_sent_as_twilio_wants_it(channel: Make) -> None:
    with http_receiver(answers(201, {"sid": "SM1", "status": "queued", "error_code": None})) as receiver:
        said = channel(sms(receiver.url)).send(message("m-9"), TO)
        (request,) = receiver.requests
    assert said.outcome == "delivered", said
    assert request.path == "/2010-04-01/Accounts/AC12/Messages.json"
    assert b64decode(request.headers["Authorization"].removeprefix("Basic ")) == b"AC12:sms-t0ken-0123456789"
    assert request.headers["Idempotency-Key"] == "m-9"
    fields = parse_qs(request.body.decode(), strict_parsing=True)
    assert fields["From"] == ["demur"]
    assert fields["To"] == [TO]
    for fact in (
        "0.0213 (95 %: 0.0131 to 0.0342), n 940",
        "since 2026-09-21",
        "roadwork:7",
        "Activate",
        "m-9",
    ):
        assert fact in fields["Body"][0]


@pytest.mark.parametrize(
    ("status", "body", "final"),
    [
        (201, {"sid": "SM1", "error_code": 30007, "error_message": "filtered"}, False),
        (201, {"sid": "SM1", "status": "failed"}, False),
        (200, "<html>log in first</html>", False),
        (400, {"code": 21211, "message": "invalid 'To'"}, True),
        (400, {"code": 21212, "message": "invalid 'From'"}, False),
        (401, {"code": 20003, "message": "authenticate"}, False),
    ],
)
def test_what_is_no_message_is_refused(
    channel: Make, status: int, body: str | dict[str, object], final: bool
) -> None:
    with http_receiver(answers(status, body)) as receiver:
        said = channel(sms(receiver.url)).send(message(), TO)
    assert (said.outcome, said.final) == ("refused", final)


def test_a_messaging_service_stands_in_for_a_sender(channel: Make) -> None:
    service = "MG" + "0" * 32
    with http_receiver(answers(201, {"sid": "SM1"})) as receiver:
        assert channel(sms(receiver.url, **{"from": service})).send(message(), TO).outcome == "delivered"
        fields = parse_qs(receiver.requests[0].body.decode())
    assert fields["MessagingServiceSid"] == [service]
    assert "From" not in fields


@given(text=st.text(max_size=700), title=st.text(max_size=300), lines=st.integers(0, 3))
def test_three_parts_hold_any_message_and_its_id(text: str, title: str, lines: int) -> None:
    one = message("m-123456", lines=lines, action=text, bundle=text[:40])
    body = sms_text(type(one)(one.id, one.kind, title, one.alerts, one.at))
    assert len(body) <= MOST_CHARACTERS
    assert "m-123456" in body
    # One character outside of this would cut a part from 160 characters to 70, some count twice.
    assert all(" " <= character <= "~" and character not in "[]{}|\\^~`" for character in body)
