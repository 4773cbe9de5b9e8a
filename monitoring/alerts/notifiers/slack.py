"""Slack by an incoming webhook, and services that take the same form."""

from __future__ import annotations

import json

from monitoring.alerts.message import Message
from monitoring.alerts.notifiers.config import SlackConfig
from monitoring.alerts.notifiers.contract import Delivery
from monitoring.alerts.notifiers.http import Answer, deliver, delivery_of
from monitoring.alerts.notifiers.slack_blocks import slack_payload


class SlackNotifier:
    """One channel of Slack."""

    def __init__(self, config: SlackConfig) -> None:
        self._config = config

    def send(self, message: Message, to: str = "") -> Delivery:
        """See `Notifier`; `to` has no meaning here."""
        body = json.dumps(slack_payload(message)).encode()
        headers = {"Content-Type": "application/json", "Idempotency-Key": message.id}
        return deliver(self._config.url.reveal(), body, headers, self._config.timeout, _delivery)


def _delivery(answer: Answer) -> Delivery:
    """Slack says `ok` in plain text; errors may come with a status of 200, as one word or as JSON."""
    said = delivery_of(answer)
    if said.outcome != "delivered" or answer.json() is not None or answer.excerpt.lower() in ("ok", ""):
        return said
    return Delivery("refused", f"{answer.status}, but the answer is not `ok`: {answer.excerpt}")
