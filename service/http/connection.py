"""The HTTP/1.1 connection: uvicorn's, with bounds on what comes before a request reaches the app.

uvicorn lets a client take any time, and any number of bytes, for a request's head, and keeps reading a
body that nobody wants. Here a head has a size and a time limit (431, 408), and a connection whose
request was answered before its body was complete is closed; not at once, since the client would then be
told that the connection was reset, and might lose the answer with it.

uvicorn also wakes the app for each piece of a body as it comes off the wire, and stops reading until the
app has taken it. Here the process is woken, and the app, once the body is complete or `GATHERED` bytes
are there. And an answer's head, which uvicorn sends on its own, waits for the body, so that both are one
packet.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from service.problems import MEDIA_TYPE, Problem

GATHERED: Final = 512 * 2**10
"""Bytes of a body that are read before the app is asked to take them."""
LINGER: Final = 2.0
"""Seconds that a client which has its answer may go on sending."""
LINGER_BYTES: Final = 16 * 2**20
"""What it may send meanwhile."""


class HeadTooLarge(Exception):
    """Ends the parsing of a request that has been refused."""


class Answers:
    """A transport that keeps an answer's head back until what follows it, and closes in two steps.

    A socket that is closed while bytes in it are unread tells its client "connection reset", and what the
    client has not read yet is lost. So where the client is still sending, only our side is closed, and what
    comes is read and dropped until the client is done, for `LINGER` seconds and `LINGER_BYTES` at most.
    """

    def __init__(self, transport: asyncio.Transport, still_sending: Callable[[], bool]) -> None:
        self._transport = transport
        self._still_sending = still_sending
        self._head = b""
        self._dropped = 0
        self.leaving = False
        """Our side is closed; what comes is for `drop`."""

    def write(self, data: bytes) -> None:
        if self._head:
            self._transport.write(self._head + data)
            self._head = b""
        elif data.endswith(b"\r\n\r\n") and data.startswith(b"HTTP/1.1 ") and data[9:12] != b"100":
            self._head = data
        else:
            self._transport.write(data)

    def flush(self) -> None:
        """Send what is kept back: nothing follows it."""
        if self._head:
            self._transport.write(self._head)
            self._head = b""

    def close(self) -> None:
        self.flush()
        if self.leaving:
            return
        if self._transport.is_closing() or not self._still_sending():
            self._transport.close()
            return
        self.leaving = True
        self._transport.resume_reading()
        self._transport.write_eof()
        asyncio.get_running_loop().call_later(LINGER, self._transport.close)

    def drop(self, data: bytes) -> None:
        """Read what the client sends in vain."""
        self._dropped += len(data)
        if self._dropped > LINGER_BYTES:
            self._transport.close()

    def is_closing(self) -> bool:
        return self.leaving or self._transport.is_closing()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class _Alarm:
    """Lets the system wake this process for so many bytes, instead of for each packet of a body.

    It still does so for fewer where they fill its memory, or where the client has gone.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._socket: socket.socket = transport.get_extra_info("socket")
        self._bytes = 1

    def set(self, size: int) -> None:
        """Wake for `size` bytes, or for any number where that is 0."""
        size = max(1, size)
        if size != self._bytes:
            with suppress(OSError):  # The client has gone.
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size)
            self._bytes = size


class GuardedProtocol(HttpToolsProtocol):
    """Subclassed once a server by `guarded_protocol`, which sets the limits."""

    max_head_bytes: int
    head_timeout: float

    @property
    def unasked(self) -> bool:
        """Whether no request has come over this connection yet."""
        return self.cycle is None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._refused = False
        self._answers = Answers(transport, lambda: self._refused or not self._request_is_complete())
        self.transport = self._answers  # type: ignore[assignment]
        self._head_bytes = 0
        self._body_left = 0
        self._alarm = _Alarm(transport)
        self._head_timer: asyncio.TimerHandle | None = None
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._answers.leaving:
            self._answers.drop(data)
            return
        if self._head_timer is None and self._request_is_complete():
            self._await_head()
        super().data_received(data)
        self._alarm.set(min(self._body_left, GATHERED))
        if self._head_timer is not None:
            self._head_bytes += len(data)
            if self._head_bytes > self.max_head_bytes:
                self._refuse(self._head_too_large(self._head_bytes))

    def on_headers_complete(self) -> None:
        self._stop_timer()
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self.max_head_bytes:
            self._refuse(self._head_too_large(size))
            raise HeadTooLarge
        length = next((value for name, value in self.headers if name == b"content-length"), b"0")
        self._body_left = int(length) if length.isdigit() else 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._body_left = max(0, self._body_left - len(body))
        cycle: RequestResponseCycle = self.cycle
        if cycle.response_complete:
            return
        # Most bodies are one piece; kept as the bytes that it is, it is handed on without a copy.
        waiting: bytes | bytearray = cycle.body
        if not waiting:
            cycle.body = body  # type: ignore[assignment]
        elif isinstance(waiting, bytearray):
            waiting += body
        else:
            cycle.body = bytearray(waiting + body)
        if len(cycle.body) > GATHERED:
            self.flow.pause_reading()
            cycle.message_event.set()

    def on_response_complete(self) -> None:
        self._answers.flush()
        if self.cycle.more_body:
            self.transport.close()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(Problem("malformed-http", 400, "the request is not valid HTTP/1.1"))

    def _request_is_complete(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or not cycle.more_body

    def _await_head(self) -> None:
        self._head_bytes = 0
        self._head_timer = self.loop.call_later(self.head_timeout, self._head_too_slow)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_too_large(self, size: int) -> Problem:
        return Problem(
            "head-too-large",
            431,
            f"the request's head has {size} bytes or more; at most {self.max_head_bytes} are accepted",
            "headers",
            size,
            self.max_head_bytes,
        )

    def _head_too_slow(self) -> None:
        self._head_timer = None
        if self._head_bytes == 0:
            self.transport.close()
            return
        self._refuse(
            Problem(
                "head-too-slow",
                408,
                f"the request's head was not complete within {self.head_timeout:g} s",
                "headers",
                limit=self.head_timeout,
            )
        )

    def _refuse(self, problem: Problem) -> None:
        """Answer without the app, and close."""
        self._stop_timer()
        if self.transport.is_closing():
            return
        self._refused = True
        body = orjson.dumps(problem.to_dict())
        status = HTTPStatus(problem.status)
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: {MEDIA_TYPE}\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()


def guarded_protocol(max_head_bytes: int, head_timeout: float) -> type[GuardedProtocol]:
    """A protocol class with these limits, for uvicorn.Config(http=...)."""
    limits: dict[str, Any] = {"max_head_bytes": max_head_bytes, "head_timeout": head_timeout}
    return type("GuardedProtocol", (GuardedProtocol,), limits)
