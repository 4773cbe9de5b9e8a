"""Time limit of one try: everything counts, from the look-up of the name to the last byte of the answer.

Time-outs of a socket hold for one read each, and a receiver that sends a byte now and then never meets one.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread, Timer
from types import TracebackType
from typing import Any, Final, Self

from monitoring.errors import MonitoringError

_LEAST: Final = 0.001
"""Seconds; a time-out of zero would make a socket not wait at all."""


class NotReached(MonitoringError):
    """No connection came about, so nothing was sent."""


class TimeLimit:
    """A context manager: connections that are made inside end with the limit, whatever they wait for."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.passed = False
        """Whether connections were cut off"""
        self._end = time.monotonic() + seconds
        self._timer = Timer(seconds, self._cut)
        self._timer.daemon = True
        self._watched: list[socket.socket] = []

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        self._timer.join()
        for connection in self._watched:
            connection.close()

    @property
    def remaining(self) -> float:
        """Seconds left, at least one millisecond."""
        return max(self._end - time.monotonic(), _LEAST)

    def ended(self, error: BaseException) -> bool:
        """Whether it ended a try that failed with `error`.

        A socket's own time-out ends with the limit and may come first, and libraries wrap it in errors of
        their own.
        """
        return self.passed or any(isinstance(cause, TimeoutError) for cause in _chain(error))

    def connect(self, host: str, port: int) -> socket.socket:
        """A connection by TCP. Raises NotReached."""
        addresses = self._look_up(host, port)
        reason = "it has no address"
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            family, kind, protocol, _, where = address
            connection = socket.socket(family, kind, protocol)
            try:
                connection.settimeout(self.remaining / left)
                connection.connect(where)
            except OSError as error:
                connection.close()
                reason = error.strerror or f"no connection within {self.seconds:g} s"
                continue
            connection.settimeout(self.remaining)
            # A copy of its own: TLS takes the connection over, and its handshake has to end as well.
            self._watched.append(connection.dup())
            if self.passed:
                self._cut()
            return connection
        raise NotReached(f"{host}:{port} cannot be reached: {reason}")

    def _look_up(self, host: str, port: int) -> list[Any]:
        # In a thread, because nothing else ends a look-up of a name early.
        found: SimpleQueue[list[Any] | OSError] = SimpleQueue()

        def look_up() -> None:
            try:
                found.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
            except OSError as error:
                found.put(error)
            except UnicodeError:
                found.put(OSError(0, "it is no name of a host"))

        Thread(target=look_up, name="alert-look-up", daemon=True).start()
        try:
            addresses = found.get(timeout=self.remaining)
        except Empty:
            raise NotReached(f"{host} was not found within {self.seconds:g} s") from None
        if isinstance(addresses, OSError):
            raise NotReached(f"{host} was not found: {addresses.strerror}")
        return addresses

    def _cut(self) -> None:
        self.passed = True
        for connection in self._watched:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def encrypted(
    connection: socket.socket, host: str, context: ssl.SSLContext, limit: TimeLimit
) -> ssl.SSLSocket:
    """The connection with TLS on it. Raises NotReached."""
    try:
        return context.wrap_socket(connection, server_hostname=host)
    except (OSError, ValueError) as error:
        raise NotReached(f"{host} {_tls_fault(error, limit)}") from None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, and those during which or from which it was raised."""
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__


def _tls_fault(error: Exception, limit: TimeLimit) -> str:
    if limit.ended(error):
        return f"made no encrypted connection within {limit.seconds:g} s"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"has a certificate that is refused: {error.verify_message}"
    return f"makes no encrypted connection: {getattr(error, 'reason', None) or type(error).__name__}"
