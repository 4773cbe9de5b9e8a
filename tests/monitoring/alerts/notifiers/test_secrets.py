"""Secrets come from the environment, and are in no text that anybody reads."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import pytest
import structlog
from fakes.alert_messages import message
from fakes.http_receiver import Received, http_receiver
from fakes.smtp_sink import Certificates, SmtpSink
from pydantic import ValidationError

from monitoring.alerts.notifiers.channels import Channel, channel_of
from monitoring.alerts.notifiers.config import read_channel
from monitoring.alerts.notifiers.secrets import shown_input

ENVIRONMENT: Mapping[str, str] = {
    "PASSWORD": "Pa55/word+1234",
    "TOKEN": "t0ken-0123456789",
    "SLACK": "https://hooks.slack.com/services/T0SECRET/B0SECRET/xyzSECRET",
    "KEY": "k3y-0123456789abcdef",
    "EMPTY": " ",
}
EMAIL = {
    "kind": "email",
    "host": "mail.example.org",
    "from": "a@example.org",
    "user": "u",
    "password": "${PASSWORD}",
}
SMS = {"kind": "sms", "account": "AC1", "token": "${TOKEN}", "from": "+491701234567"}
SLACK = {"kind": "slack", "url": "${SLACK}"}
WEBHOOK = {"kind": "webhook", "url": "https://example.org/hook", "secret": "${KEY}"}
APPRISE = {"kind": "apprise", "url": "tgram://${TOKEN}/12"}


@pytest.mark.parametrize("values", [EMAIL, SMS, SLACK, WEBHOOK, APPRISE])
def test_a_configuration_shows_the_name_of_a_secret_and_never_its_value(values: dict[str, Any]) -> None:
    config = read_channel(values, ENVIRONMENT)
    shown = f"{config!r} {config} {config.model_dump()} {config.model_dump_json()} {config.secrets()}"
    assert "${" in shown
    for secret in ENVIRONMENT.values():
        assert not secret.strip() or secret not in shown


@pytest.mark.parametrize(
    ("values", "field", "why"),
    [
        ({**EMAIL, "password": "Pa55/word+1234"}, "password", "a secret is written out"),
        ({**SMS, "token": "t0ken-0123456789"}, "token", "a secret is written out"),
        ({**SLACK, "url": ENVIRONMENT["SLACK"]}, "url", "a secret is written out"),
        ({**WEBHOOK, "url": "https://x.org/?token=k3y-0123456789abcdef"}, "url", "a secret is written out"),
        ({**WEBHOOK, "url": "https://u:Pa55/word+1234@x.org"}, "url", "it"),
        ({**EMAIL, "password": "${MISSING}"}, "password", "MISSING is not set"),
        ({**EMAIL, "password": "${EMPTY}"}, "password", "EMPTY is not set"),
        ({**EMAIL, "password": "${Pa55/word+1234}"}, "password", "a variable is named"),
        ({**EMAIL, "pasword": "Pa55/word+1234"}, "pasword", "Extra inputs"),
        ({**EMAIL, "security": "none"}, "", "not sent in plain text"),
        ({**SMS, "base_url": "http://sms.example.org"}, "base_url", "must begin with https"),
        ({**WEBHOOK, "secret": "${EMAIL_KEY}"}, "", "16 characters"),
        ({**WEBHOOK, "url": "file:///etc/passwd"}, "url", "must begin with https"),
    ],
)
def test_a_fault_names_the_field_and_the_way_out_and_repeats_no_secret(
    values: dict[str, Any], field: str, why: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        read_channel(values, {**ENVIRONMENT, "EMAIL_KEY": "short"})
    (fault,) = caught.value.errors()
    assert field in map(str, fault["loc"][1:]) or not field
    assert why in fault["msg"]
    shown = f"{caught.value} {fault['msg']} {shown_input(fault)}"
    for secret in ("Pa55/word+1234", "t0ken-0123456789", "xyzSECRET", "k3y-0123456789abcdef"):
        assert secret not in shown


def echo(handler: Any, receiver: Any) -> None:
    """Answers with all that it was sent, as debugging receivers do."""
    request: Received = receiver.requests[-1]
    handler.reply(500, f"{request.path} {request.headers} {request.body[:200]!r}".encode())


def test_no_secret_is_in_any_log_or_detail(
    certificates: Certificates, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    details: list[str] = []

    def send(values: dict[str, Any], to: str = "", **environment: str) -> None:
        config = read_channel(values, {**ENVIRONMENT, **environment})
        details.append(repr(channel_of("c", config).send(message(), to)))

    with structlog.testing.capture_logs() as logs:
        with http_receiver(echo) as receiver:
            base = {"timeout": 60}
            send({**SLACK, **base}, SLACK=f"{receiver.url}/T0SECRET/xyzSECRET")
            send({**SMS, **base, "base_url": receiver.url}, "+491701234567")
            send({**WEBHOOK, **base, "url": f"{receiver.url}/?token=${{PASSWORD}}"})
            send({**APPRISE}, TOKEN=f"t0ken-0123456789@{receiver.url.removeprefix('http://')}")
            assert len(receiver.requests) >= 3
        with SmtpSink(certificates, login=("u", "other")) as sink:
            server = {"host": "127.0.0.1", "port": sink.port, "ca_file": str(certificates.ca_file)}
            send({**EMAIL, **server}, "ana@example.org")
        # Nobody is there any more.
        send({**SLACK, **base}, SLACK=f"{receiver.url}/T0SECRET/xyzSECRET")
        send({**EMAIL, **server}, "ana@example.org")
    everything = f"{details} {logs} {caplog.text} {capfd.readouterr()}"
    assert "***" in everything
    for secret in ("Pa55", "t0ken-0123456789", "xyzSECRET", "k3y-0123456789abcdef"):
        assert secret not in everything


def test_a_fault_of_a_notifier_is_no_traceback_and_shows_nothing() -> None:
    class Broken:
        def send(self, message: object, to: str = "") -> Any:
            raise RuntimeError("xyzSECRET")

    with structlog.testing.capture_logs() as logs:
        said = Channel("broken", Broken(), (), ("",)).send(message())
    assert said.outcome == "unknown"
    assert "xyzSECRET" not in f"{said} {logs}"
    assert "RuntimeError" in said.detail
