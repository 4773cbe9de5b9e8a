"""Mail against a real SMTP server with TLS, and against some that misbehave."""

from __future__ import annotations

from collections.abc import Callable
from smtplib import SMTPServerDisconnected
from typing import Any

import pytest
from fakes.alert_messages import message
from fakes.smtp_sink import (
    Certificates,
    SmtpSink,
    greets_and_stops,
    scripted_server,
    takes_the_mail_and_hangs,
)

from monitoring.alerts.notifiers.channels import Channel
from monitoring.alerts.notifiers.time_limit import TimeLimit

TO = "ana@example.org"
Make = Callable[..., Channel]


def values(port: int, **changes: Any) -> dict[str, Any]:
    given = {"kind": "email", "host": "127.0.0.1", "port": port, "from": "demur@example.org", "timeout": 60}
    return {**given, **changes}


def to_sink(sink: SmtpSink, **changes: Any) -> dict[str, Any]:
    ca_file = str(sink.certificates.ca_file)
    return values(sink.port, **{"security": sink.security, "ca_file": ca_file, **changes})


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_mail_arrives_encrypted_and_after_a_login(
    channel: Make, certificates: Certificates, security: str
) -> None:
    login = ("demur", "smtp-Pa55word/with+signs")
    with SmtpSink(certificates, security, login) as sink:
        mail_channel = channel(to_sink(sink, user="demur", password="${SMTP_PASSWORD}"))
        said = mail_channel.send(message("m-7"), TO)
    assert said.outcome == "delivered", said
    assert sink.encrypted == [True]
    assert sink.receivers == [[TO]]
    (mail,) = sink.mails
    assert mail["Message-ID"] == "<m-7@example.org>"
    assert mail["Subject"] == "[FIRING] promise-broken (roadwork:7)"
    plain, html = (mail.get_body([kind]) for kind in ("plain", "html"))
    assert plain is not None
    assert html is not None
    for text in (plain.get_content(), html.get_content()):
        for fact in ("0.0213 (95 %: 0.0131 to 0.0342), n 940", "2026-09-21 14:13:20 UTC", "roadwork:7"):
            assert fact in text
        assert "Activate the bundle before this one" in text
        assert "runbooks/promise-broken.html" in text
        assert "m-7" in text


def test_each_try_has_the_same_id_and_mails_about_one_alert_stand_together(
    channel: Make, certificates: Certificates
) -> None:
    with SmtpSink(certificates) as sink:
        mail_channel = channel(to_sink(sink))
        for one in (message("m-1"), message("m-1"), message("m-2", "resolved")):
            assert mail_channel.send(one, TO).outcome == "delivered"
    assert [mail["Message-ID"] for mail in sink.mails] == [
        "<m-1@example.org>",
        "<m-1@example.org>",
        "<m-2@example.org>",
    ]
    assert len({mail["References"] for mail in sink.mails}) == 1


def test_a_wrong_password_is_refused_for_now_and_not_repeated(
    channel: Make, certificates: Certificates
) -> None:
    with SmtpSink(certificates, login=("demur", "another")) as sink:
        said = channel(to_sink(sink, user="demur", password="${SMTP_PASSWORD}")).send(message(), TO)
    assert (said.outcome, said.final) == ("refused", False)
    assert "user and password (535)" in said.detail
    assert sink.mails == []


@pytest.mark.parametrize(
    ("command", "reply", "final"),
    [
        ("RCPT", "550 no such user", True),
        ("RCPT", "451 greylisted, come back", False),
        ("DATA", "554 looks like spam", True),
        ("DATA", "452 the disk is full", False),
    ],
)
def test_a_refusal_is_final_if_another_try_gets_it_as_well(
    channel: Make, certificates: Certificates, command: str, reply: str, final: bool
) -> None:
    with SmtpSink(certificates, replies={command: reply}) as sink:
        said = channel(to_sink(sink)).send(message(), TO)
    assert (said.outcome, said.final) == ("refused", final)
    assert reply[4:] in said.detail


def test_a_server_without_starttls_gets_no_mail(channel: Make, certificates: Certificates) -> None:
    with SmtpSink(certificates, "none") as sink:
        said = channel(to_sink(sink, security="starttls")).send(message(), TO)
    assert said.outcome == "refused"
    assert "STARTTLS" in said.detail
    assert sink.mails == []


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_an_unknown_certificate_gets_no_mail(
    channel: Make, certificates: Certificates, security: str
) -> None:
    with SmtpSink(certificates, security) as sink:
        said = channel(to_sink(sink, ca_file=None)).send(message(), TO)
    assert said.outcome == "refused"
    assert "certificate" in said.detail
    assert sink.mails == []


def test_a_server_that_greets_and_stops_has_certainly_not_got_it(channel: Make) -> None:
    with scripted_server(greets_and_stops) as port:
        said = channel(values(port, security="none", timeout=0.5)).send(message(), TO)
    assert said.outcome == "refused"
    assert "within 0.5 s" in said.detail


def test_a_server_that_takes_the_mail_and_hangs_may_have_it(channel: Make) -> None:
    with scripted_server(takes_the_mail_and_hangs) as port:
        said = channel(values(port, security="none", timeout=3.0)).send(message(), TO)
    assert said.outcome == "unknown"


def test_nobody_there_and_no_receiver(channel: Make) -> None:
    with scripted_server(greets_and_stops) as port:
        pass
    said = channel(values(port, security="none")).send(message(), TO)
    assert said.outcome == "refused"
    assert "cannot be reached: Connection refused" in said.detail
    assert channel(values(port, security="none")).send(message()).final


def test_a_title_with_line_ends_adds_no_header(channel: Make, certificates: Certificates) -> None:
    odd = message(text="a\r\nb")
    odd = type(odd)("m\r\nBcc: eve@example.org", "test", "one\r\nBcc: eve@example.org", odd.alerts, odd.at)
    with SmtpSink(certificates) as sink:
        assert channel(to_sink(sink)).send(odd, TO).outcome == "delivered"
    (mail,) = sink.mails
    assert mail["Bcc"] is None
    assert sink.receivers == [[TO]]


def test_a_time_limit_is_known_in_an_error_that_a_library_wraps() -> None:
    closed = SMTPServerDisconnected("Connection unexpectedly closed")
    with TimeLimit(60.0) as limit:
        assert not limit.ended(closed)
        closed.__context__ = TimeoutError("timed out")
        assert limit.ended(closed)
