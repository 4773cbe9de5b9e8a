"""Webhook: the message as JSON, signed so that the receiver can tell it from anybody else's."""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from hashlib import sha256

from monitoring.alerts.message import Message
from monitoring.alerts.notifiers.config import WebhookConfig
from monitoring.alerts.notifiers.contract import Delivery
from monitoring.alerts.notifiers.http import deliver
from monitoring.alerts.notifiers.plain_text import plain_text


class WebhookNotifier:
    """A receiver of JSON."""

    def __init__(self, config: WebhookConfig, clock: Callable[[], float] = time.time) -> None:
        self._config = config
        self._clock = clock

    def send(self, message: Message, to: str = "") -> Delivery:
        """See `Notifier`; `to` has no meaning here."""
        body = webhook_body(message)
        timestamp = str(int(self._clock()))
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": message.id,
            "X-Demur-Timestamp": timestamp,
            "X-Demur-Signature": signature_of(body, timestamp, self._config.secret.reveal()),
        }
        return deliver(self._config.url.reveal(), body, headers, self._config.timeout)


def webhook_body(message: Message) -> bytes:
    """The JSON body: the fields of the message and of its alerts, and the whole as text."""
    alerts = [{**asdict(alert), "labels": dict(alert.labels)} for alert in message.alerts]
    return json.dumps({**asdict(message), "alerts": alerts, "text": plain_text(message)}).encode()


def signature_of(body: bytes, timestamp: str, secret: str) -> str:
    """`sha256=` and the hex of HMAC-SHA256 over the timestamp, a dot and the body.

    The timestamp is signed as well, so that a receiver can refuse an old request that is sent again.
    """
    digest = hmac.new(secret.encode(), timestamp.encode() + b"." + body, sha256)
    return f"sha256={digest.hexdigest()}"
