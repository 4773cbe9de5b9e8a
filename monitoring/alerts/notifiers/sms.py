"""SMS by Twilio's form of request, which other services take as well."""

from __future__ import annotations

from base64 import b64encode
from typing import Final
from urllib.parse import quote, urlencode

from monitoring.alerts.message import Message
from monitoring.alerts.notifiers.config import SmsConfig
from monitoring.alerts.notifiers.contract import NO_RECEIVER, Delivery
from monitoring.alerts.notifiers.http import Answer, deliver, delivery_of
from monitoring.alerts.notifiers.sms_text import sms_text

_OF_THE_NUMBER: Final = frozenset({21211, 21214, 21217, 21610, 21614})
"""Twilio's codes for a number that cannot get messages; another try gets the same"""


class SmsNotifier:
    """An account that sends SMS."""

    def __init__(self, config: SmsConfig) -> None:
        self._config = config
        login = f"{config.account.reveal()}:{config.token.reveal()}".encode()
        account = quote(config.account.reveal(), safe="")
        self._login = f"Basic {b64encode(login).decode()}"
        self._url = f"{config.base_url.reveal().rstrip('/')}/2010-04-01/Accounts/{account}/Messages.json"

    def send(self, message: Message, to: str = "") -> Delivery:
        """See `Notifier`; `to` is a number."""
        if not to:
            return NO_RECEIVER
        sender = self._config.sender
        origin = {"MessagingServiceSid": sender} if sender.startswith("MG") else {"From": sender}
        body = urlencode({**origin, "To": to, "Body": sms_text(message)}).encode()
        headers = {
            "Authorization": self._login,
            "Content-Type": "application/x-www-form-urlencoded",
            "Idempotency-Key": message.id,
        }
        return deliver(self._url, body, headers, self._config.timeout, _delivery)


def _delivery(answer: Answer) -> Delivery:
    """Twilio answers a message as JSON: its `sid`, and an `error_code` where it is not going to be sent."""
    said = delivery_of(answer)
    document = answer.json()
    fields = document if isinstance(document, dict) else {}
    code = next((fields[name] for name in ("error_code", "code") if isinstance(fields.get(name), int)), None)
    if said.outcome == "delivered":
        if code or fields.get("status") in ("failed", "undelivered", "canceled"):
            why = fields.get("error_message") or fields.get("message") or fields.get("status")
            return Delivery(
                "refused", f"{answer.status}, but error {code}: {why}", final=code in _OF_THE_NUMBER
            )
        if not fields.get("sid"):
            return Delivery("refused", f"{answer.status}, but the answer has no id: {answer.excerpt}")
        return said
    # 400 is as often about the sender or the account, which can be mended, as about the message.
    detail = f"{answer.status}, error {code}: {fields.get('message')}" if code else said.detail
    return Delivery("refused", detail, said.retry_after, final=code in _OF_THE_NUMBER)
