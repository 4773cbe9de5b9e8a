"""Channels: configurations into notifiers that never raise and repeat no secret."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import structlog

from monitoring.alerts.message import Message
from monitoring.alerts.notifiers.apprise import AppriseNotifier
from monitoring.alerts.notifiers.config import (
    AppriseConfig,
    ChannelConfig,
    EmailConfig,
    SlackConfig,
    SmsConfig,
    WebhookConfig,
)
from monitoring.alerts.notifiers.contract import Delivery, Notifier
from monitoring.alerts.notifiers.email import EmailNotifier
from monitoring.alerts.notifiers.secrets import Secret, redacted
from monitoring.alerts.notifiers.slack import SlackNotifier
from monitoring.alerts.notifiers.sms import SmsNotifier
from monitoring.alerts.notifiers.webhook import WebhookNotifier

logger = structlog.get_logger("demur.alerts")

_LONGEST_DETAIL: Final = 300
"""Characters"""


class Channel:
    """A notifier under its name in the rules file."""

    def __init__(
        self, name: str, notifier: Notifier, secrets: tuple[Secret, ...], receivers: tuple[str, ...]
    ) -> None:
        self.name = name
        self.receivers = receivers
        """Who gets a message that names no person; ("",) in a channel of one receiver"""
        self._notifier = notifier
        self._secrets = secrets

    def send(self, message: Message, to: str = "") -> Delivery:
        """See `Notifier`. An answer of a receiver that repeats a secret is shown without it."""
        try:
            said = self._notifier.send(message, to)
        except Exception as error:
            # Its text and its traceback could show what was sent.
            logger.error("alert_channel_failed", channel=self.name, error=type(error).__name__)
            said = Delivery("unknown", f"a fault of the notifier: {type(error).__name__}")
        detail = " ".join(redacted(said.detail, self._secrets).split())
        return Delivery(said.outcome, detail[:_LONGEST_DETAIL], said.retry_after, said.final)


def channel_of(name: str, config: ChannelConfig) -> Channel:
    """The channel that a configuration describes."""
    receivers = config.to if isinstance(config, EmailConfig | SmsConfig) else ("",)
    return Channel(name, _notifier_of(config), config.secrets(), receivers)


def channels_of(configs: Mapping[str, ChannelConfig]) -> dict[str, Channel]:
    """Name -> channel, of everything that a rules file names."""
    return {name: channel_of(name, config) for name, config in configs.items()}


def _notifier_of(config: ChannelConfig) -> Notifier:
    match config:
        case EmailConfig():
            return EmailNotifier(config)
        case SlackConfig():
            return SlackNotifier(config)
        case SmsConfig():
            return SmsNotifier(config)
        case WebhookConfig():
            return WebhookNotifier(config)
        case AppriseConfig():
            return AppriseNotifier(config)
