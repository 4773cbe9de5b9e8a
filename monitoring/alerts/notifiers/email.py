"""Email by SMTP: the same Message-ID on every try, a text part and an HTML part."""

from __future__ import annotations

import re
import smtplib
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Final

from monitoring.alerts.message import Message
from monitoring.alerts.notifiers.config import EmailConfig
from monitoring.alerts.notifiers.contract import NO_RECEIVER, Delivery
from monitoring.alerts.notifiers.facts import title_line
from monitoring.alerts.notifiers.html_text import html_text
from monitoring.alerts.notifiers.plain_text import plain_text
from monitoring.alerts.notifiers.time_limit import NotReached, TimeLimit, encrypted

_PRIORITIES: Final = {"critical": "1 (Highest)", "warning": "3 (Normal)", "info": "5 (Lowest)"}
_OF_THE_ADDRESS: Final = frozenset({550, 551, 553, 556})
"""Replies to the address of a receiver that another try gets as well"""
_FAREWELL: Final = 1.0
"""Seconds for the reply to QUIT, of which nothing depends"""
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]")
_EXCERPT: Final = 120


class EmailNotifier:
    """A server that takes mail."""

    def __init__(self, config: EmailConfig) -> None:
        self._config = config

    def send(self, message: Message, to: str = "") -> Delivery:
        """See `Notifier`; `to` is an address."""
        if not to:
            return NO_RECEIVER
        with TimeLimit(self._config.timeout) as limit:
            try:
                with _session(self._config, limit) as client:
                    return _transfer(client, mail_of(message, self._config.sender, to), limit)
            except NotReached as error:
                return Delivery("refused", str(error))
            except smtplib.SMTPAuthenticationError as error:
                return Delivery("refused", f"the server refuses user and password ({error.smtp_code})")
            except smtplib.SMTPResponseException as error:
                return _refused("the server refuses", error.smtp_code, error.smtp_error)
            except (OSError, ValueError) as error:
                return Delivery("refused", f"nothing was sent: {_reason(error, limit)}")


def mail_of(message: Message, sender: str, to: str) -> EmailMessage:
    """The mail, with a Message-ID that follows from the message's id."""
    mail = EmailMessage(policy=SMTP)
    domain = sender.rpartition("@")[2]
    mail["Subject"] = title_line(message)
    mail["From"] = f"demur <{sender}>"
    mail["To"] = to
    mail["Date"] = format_datetime(datetime.fromtimestamp(message.at, UTC))
    mail["Message-ID"] = f"<{_UNSAFE.sub('-', message.id)}@{domain}>"
    if message.alerts:
        # All mails about one alert stand together.
        mail["References"] = f"<alert-{_UNSAFE.sub('-', message.alerts[0].fingerprint)}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Priority"] = _PRIORITIES[message.severity]
    mail.set_content(plain_text(message), cte="quoted-printable")
    mail.add_alternative(html_text(message), subtype="html", cte="quoted-printable")
    return mail


class _Client(smtplib.SMTP):
    """A client whose connection ends with the time limit."""

    def __init__(self, config: EmailConfig, limit: TimeLimit, context: ssl.SSLContext) -> None:
        self._limit = limit
        self._at_once = context if config.security == "tls" else None
        # Its own name is not looked up: that would take as long as the network likes.
        own_name = socket.gethostname() or "localhost"
        super().__init__(config.host, config.used_port, own_name, config.timeout)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        connection = self._limit.connect(host, port)
        if self._at_once is None:
            return connection
        return encrypted(connection, host, self._at_once, self._limit)


@contextmanager
def _session(config: EmailConfig, limit: TimeLimit) -> Iterator[smtplib.SMTP]:
    """A client that is encrypted and logged in as the configuration has it."""
    context = ssl.create_default_context(cafile=config.ca_file)
    client = _Client(config, limit, context)
    try:
        client.ehlo_or_helo_if_needed()
        if config.security == "starttls":
            client.starttls(context=context)
            client.ehlo_or_helo_if_needed()
        if config.user is not None and config.password is not None:
            client.login(config.user.reveal(), config.password.reveal())
        yield client
        with suppress(OSError):
            if client.sock is not None:
                client.sock.settimeout(min(_FAREWELL, limit.remaining))
            client.quit()
    finally:
        client.close()


def _transfer(client: smtplib.SMTP, mail: EmailMessage, limit: TimeLimit) -> Delivery:
    """One mail. Before a reply to its content is due, the server has certainly not taken it."""
    sender, to = (str(mail[name].addresses[0].addr_spec) for name in ("From", "To"))
    code, reply = client.mail(sender)
    if code != 250:
        return _refused("the server refuses the sender", code, reply)
    code, reply = client.rcpt(to)
    if code not in (250, 251):
        return _refused("the server refuses the receiver", code, reply, final=code in _OF_THE_ADDRESS)
    try:
        code, reply = client.data(mail.as_bytes())
    except smtplib.SMTPDataError as error:
        return _refused("the server refuses the mail", error.smtp_code, error.smtp_error)
    except OSError as error:
        return Delivery("unknown", f"the mail was sent, and no reply came: {_reason(error, limit)}")
    if code != 250:
        return _refused("the server refuses the mail", code, reply, final=500 <= code < 600)
    return Delivery("delivered", str(code))


def _refused(what: str, code: int, reply: bytes | str, *, final: bool = False) -> Delivery:
    text = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply
    return Delivery("refused", f"{what} ({code}): {' '.join(text.split())[:_EXCERPT]}", final=final)


def _reason(error: Exception, limit: TimeLimit) -> str:
    if limit.ended(error):
        return f"the server did not answer within {limit.seconds:g} s"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate of the server is refused: {error.verify_message}"
    return " ".join(str(error).split())[:_EXCERPT] or type(error).__name__
