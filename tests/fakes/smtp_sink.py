"""SMTP servers of the tests: one that keeps mail, encrypted as real ones are, and some that misbehave."""

from __future__ import annotations

import email
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from threading import Thread
from typing import Any, Self

import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session


@dataclass(frozen=True)
class Certificates:
    """A certificate for 127.0.0.1 and localhost, and the authority that signed it."""

    server: ssl.SSLContext
    ca_file: Path

    @classmethod
    def make(cls, folder: Path) -> Self:
        authority = trustme.CA()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
        ca_file = folder / "authority.pem"
        authority.cert_pem.write_to_path(str(ca_file))
        return cls(context, ca_file)


@dataclass
class SmtpSink:
    """A context manager: inside, mail to `port` on 127.0.0.1 ends in `mails`.

    `replies`: command -> reply in its place, as RCPT -> "550 no such user".
    """

    certificates: Certificates
    security: str = "starttls"
    login: tuple[str, str] | None = None
    replies: dict[str, str] = field(default_factory=dict)
    mails: list[EmailMessage] = field(default_factory=list)
    receivers: list[list[str]] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    port: int = 0

    def __enter__(self) -> Self:
        tls = self.certificates.server
        options: dict[str, Any] = {}
        if self.security == "starttls":
            options = {"tls_context": tls, "require_starttls": True}
        elif self.security == "tls":
            options = {"ssl_context": tls, "auth_require_tls": False}
        if self.login is not None:
            # aiosmtpd does not know that a connection encrypted from its beginning is.
            options |= {"authenticator": self._authenticate, "auth_required": self.security == "starttls"}
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port, **options)
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        good = isinstance(data, LoginPassword) and (data.login.decode(), data.password.decode()) == self.login
        return AuthResult(success=good, handled=False)

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if "RCPT" in self.replies:
            return self.replies["RCPT"]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if "DATA" in self.replies:
            return self.replies["DATA"]
        assert isinstance(envelope.content, bytes)
        mail = email.message_from_bytes(envelope.content, policy=default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        self.receivers.append(list(envelope.rcpt_tos))
        self.encrypted.append(session.ssl is not None or self.security == "tls")
        return "250 kept"


@contextmanager
def scripted_server(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    """Port of a server that treats each connection as `talk` does, in a thread of its own."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        open_ones: list[socket.socket] = []
        running = True

        def serve(connection: socket.socket) -> None:
            with suppress(OSError), connection:
                talk(connection)

        def accept() -> None:
            while running:
                with suppress(TimeoutError):
                    connection, _ = server.accept()
                    connection.settimeout(None)
                    open_ones.append(connection)
                    Thread(target=serve, args=(connection,), daemon=True).start()

        thread = Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            running = False
            thread.join()
            for connection in open_ones:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


def greets_and_stops(connection: socket.socket) -> None:
    """Says hello and then nothing more."""
    connection.sendall(b"220 here I am\r\n")
    while connection.recv(4096):
        pass


def takes_the_mail_and_hangs(connection: socket.socket) -> None:
    """Takes a whole mail and never says so."""
    connection.sendall(b"220 here I am\r\n")
    with connection.makefile("rb") as lines:
        for line in lines:
            verb = line[:4].upper()
            if verb == b"DATA":
                connection.sendall(b"354 go on\r\n")
                while lines.readline() != b".\r\n":
                    pass
            else:
                connection.sendall(b"250 fine\r\n")
