from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from fakes.smtp_sink import Certificates

from monitoring.alerts.notifiers.channels import Channel, channel_of
from monitoring.alerts.notifiers.config import read_channel

SECRETS: Mapping[str, str] = {
    "SMTP_PASSWORD": "smtp-Pa55word/with+signs",
    "SMS_TOKEN": "sms-t0ken-0123456789",
    "HOOK_KEY": "hook-k3y-0123456789abcdef",
    "HOOK_TOKEN": "hook-t0ken-in-the-url",
}


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates.make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def channel() -> Callable[..., Channel]:
    """A channel of these values; a variable that is not in SECRETS comes as `environment`."""

    def make(values: dict[str, Any], **environment: str) -> Channel:
        return channel_of("the-channel", read_channel(values, {**SECRETS, **environment}))

    return make
