"""A webhook: JSON that the receiver can check."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from hashlib import sha256

from fakes.alert_messages import message
from fakes.http_receiver import answers, http_receiver

from monitoring.alerts.notifiers.channels import Channel

Make = Callable[..., Channel]


def test_the_body_holds_everything_and_its_signature_can_be_checked(channel: Make) -> None:
    with http_receiver(answers(204, "")) as receiver:
        values = {
            "kind": "webhook",
            "url": f"{receiver.url}/hook?token=${{HOOK_TOKEN}}",
            "secret": "${HOOK_KEY}",
        }
        said = channel(values).send(message("m-4", lines=2))
        (request,) = receiver.requests
    assert said.outcome == "delivered"
    assert request.path == "/hook?token=hook-t0ken-in-the-url"
    assert request.headers["Idempotency-Key"] == "m-4"
    signed = request.headers["X-Demur-Timestamp"].encode() + b"." + request.body
    digest = hmac.new(b"hook-k3y-0123456789abcdef", signed, sha256).hexdigest()
    assert request.headers["X-Demur-Signature"] == f"sha256={digest}"
    document = request.json()
    assert document["id"] == "m-4"
    assert [alert["labels"]["bundle"] for alert in document["alerts"]] == ["roadwork:7", "roadwork:7"]
    assert document["alerts"][0]["low"] == 0.0131
    assert "What to do" in document["text"]
