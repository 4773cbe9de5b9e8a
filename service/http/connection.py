"""HTTP/1.1 connection: uvicorn's, with limits on the head of a request.

uvicorn lets a client take any time, and any number of bytes, for a request's head, and keeps reading a
body that no route will use. Here a head has a size limit and a time limit (HeadTooLarge, HeadTooSlow), and a
connection closes if its request was answered before the body was complete; not at once, because the client
would then see a connection reset and might lose the answer with it. A client that takes nothing of its answer
for `STALLED` seconds is cut off.

uvicorn also wakes the application for each piece of a body as it comes off the wire, and stops reading until
the application has taken it. Here the process wakes, and the application, once the body is complete or
`BODY_CHUNK` bytes have arrived. And the head of an answer, which uvicorn sends on its own, waits for the
body, so that both leave in one packet.
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

from service.errors import HeadTooLarge, HeadTooSlow, MalformedRequest, RequestError
from service.problems import CONTINUE, MEDIA_TYPE, problem_of

BODY_CHUNK: Final = 512 * 2**10
"""Bytes of a body that are read before the application is woken to take them."""
STALLED: Final = 60.0
"""Seconds for which a client may take nothing of an answer that waits for it."""
LINGER: Final = 2.0
"""Seconds for which a client may go on sending after its answer."""
LINGER_BYTES: Final = 16 * 2**20
"""Bytes that it may send meanwhile."""


class _RequestRefused(Exception):
    """Ends the parsing of a request that has been refused."""


class ResponseTransport:
    """Transport that joins the head of an answer to what follows it, and closes in two steps.

    If a socket closes while it holds unread bytes, its client sees a connection reset and loses whatever it
    has not read yet. So while the client is still sending, only the writing side closes; what arrives is
    read and dropped until the client is done, for `LINGER` seconds and `LINGER_BYTES` at most.
    """

    def __init__(self, transport: asyncio.Transport, still_sending: Callable[[], bool]) -> None:
        """`still_sending`: whether the client has not finished its request."""
        self._transport = transport
        self._still_sending = still_sending
        self._head = b""
        self._dropped = 0
        self.lingering = False
        """The writing side is closed; incoming bytes go to `drop`."""

    def write(self, data: bytes) -> None:
        if self._head:
            self._transport.write(self._head + data)
            self._head = b""
        elif data.endswith(b"\r\n\r\n") and data.startswith(b"HTTP/1.1 ") and data[9:12] != CONTINUE:
            self._head = data
        else:
            self._transport.write(data)

    def flush(self) -> None:
        """Send a head that no body follows."""
        if self._head:
            self._transport.write(self._head)
            self._head = b""

    def close(self) -> None:
        self.flush()
        if self.lingering:
            return
        if self._transport.is_closing() or not self._still_sending():
            self._transport.close()
            return
        self.lingering = True
        self._transport.resume_reading()
        self._transport.write_eof()
        asyncio.get_running_loop().call_later(LINGER, self._transport.close)

    def drop(self, data: bytes) -> None:
        """Discard bytes that the client sends after its answer."""
        self._dropped += len(data)
        if self._dropped > LINGER_BYTES:
            self._transport.close()

    def is_closing(self) -> bool:
        return self.lingering or self._transport.is_closing()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class _LowWaterMark:
    """SO_RCVLOWAT of a socket: the kernel wakes this process for so many bytes, not for each packet.

    It still wakes it for fewer if they fill the socket's buffer, or if the client has closed.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._socket: socket.socket = transport.get_extra_info("socket")
        self._bytes = 1

    def set(self, size: int) -> None:
        """Wake for `size` bytes, or for any number if that is 0."""
        size = max(1, size)
        if size != self._bytes:
            with suppress(OSError):  # The client has closed.
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size)
            self._bytes = size


class GuardedConnection(HttpToolsProtocol):
    """One connection. `guarded_connection` makes a subclass per server, with its limits."""

    max_head_bytes: int
    head_timeout: float

    @property
    def without_request(self) -> bool:
        """Whether no request has come over this connection yet."""
        return self.cycle is None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._refused = False
        self._response = ResponseTransport(
            transport, lambda: self._refused or not self._request_is_complete()
        )
        self.transport = self._response  # type: ignore[assignment]
        self._head_bytes = 0
        self._body_left = 0
        self._low_water = _LowWaterMark(transport)
        self._head_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._stop_stall_timer()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stall_timer = self.loop.call_later(STALLED, self._response.abort)

    def resume_writing(self) -> None:
        self._stop_stall_timer()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        if self._response.lingering:
            self._response.drop(data)
            return
        if self._head_timer is None and self._request_is_complete():
            self._await_head()
        super().data_received(data)
        self._low_water.set(min(self._body_left, BODY_CHUNK))
        if self._head_timer is not None:
            self._head_bytes += len(data)
            if self._head_bytes > self.max_head_bytes:
                self._refuse(HeadTooLarge(self._head_bytes, self.max_head_bytes))

    def on_headers_complete(self) -> None:
        self._stop_timer()
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self.max_head_bytes:
            self._refuse(HeadTooLarge(size, self.max_head_bytes))
            raise _RequestRefused
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts != 1 and (hosts or self.parser.get_http_version() == "1.1"):
            # RFC 9112, section 3.2
            self._refuse(MalformedRequest("a request of HTTP/1.1 has one Host header"))
            raise _RequestRefused
        length = next((value for name, value in self.headers if name == b"content-length"), b"0")
        self._body_left = int(length) if length.isdigit() else 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._body_left = max(0, self._body_left - len(body))
        cycle: RequestResponseCycle = self.cycle
        if cycle.response_complete:
            return
        # Most bodies arrive as one piece of bytes; it is handed on without a copy.
        waiting: bytes | bytearray = cycle.body
        if not waiting:
            cycle.body = body  # type: ignore[assignment]
        elif isinstance(waiting, bytearray):
            waiting += body
        else:
            cycle.body = bytearray(waiting + body)
        if len(cycle.body) > BODY_CHUNK:
            self.flow.pause_reading()
            cycle.message_event.set()

    def on_response_complete(self) -> None:
        self._response.flush()
        if self.cycle.more_body:
            self.transport.close()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(MalformedRequest("the request is not valid HTTP/1.1"))

    def _request_is_complete(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or not cycle.more_body

    def _await_head(self) -> None:
        self._head_bytes = 0
        self._head_timer = self.loop.call_later(self.head_timeout, self._head_overdue)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_stall_timer(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    def _head_overdue(self) -> None:
        self._head_timer = None
        if self._head_bytes == 0:
            self.transport.close()
            return
        self._refuse(HeadTooSlow(self.head_timeout))

    def _refuse(self, error: RequestError) -> None:
        """Answer without the application, and close."""
        self._stop_timer()
        if self.transport.is_closing():
            return
        self._refused = True
        problem = problem_of(error)
        body = orjson.dumps(problem.to_dict())
        head = (
            f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}\r\ncontent-type: {MEDIA_TYPE}\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()


def guarded_connection(max_head_bytes: int, head_timeout: float) -> type[GuardedConnection]:
    """Connection class with these limits, for uvicorn.Config(http=...)."""
    limits: dict[str, Any] = {"max_head_bytes": max_head_bytes, "head_timeout": head_timeout}
    return type("GuardedConnection", (GuardedConnection,), limits)
