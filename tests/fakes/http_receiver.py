"""HTTP receivers of the tests: they keep what they get, and answer as told: well, late, endless or wrong."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

FIVE_MEGABYTES = b"x" * 5_000_000


@dataclass(frozen=True)
class Received:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class HttpReceiver:
    """A server on 127.0.0.1; `requests` holds what came, and `behaviour` may be changed at any time."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.requests: list[Received] = []
        self.sent = 0
        """Bytes of the answers that the system has taken"""
        self.url = ""
        self.over = Event()

    def ids(self) -> list[str]:
        """The key of each request by which a duplicate is recognised."""
        return [request.headers["Idempotency-Key"] for request in self.requests]


Behaviour = Callable[["_Handler", HttpReceiver], None]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    receiver: HttpReceiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.receiver.requests.append(Received(self.path, dict(self.headers), body))
        self.close_connection = True
        with suppress(OSError):
            self.receiver.behaviour(self, self.receiver)

    do_DELETE = do_POST  # noqa: N815 - the name that the library calls
    do_GET = do_POST  # noqa: N815 - the name that the library calls

    def log_message(self, format: str, *args: object) -> None:
        pass

    def reply(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        for start in range(0, len(body), 65_536):
            self.wfile.write(body[start : start + 65_536])
            self.receiver.sent += len(body[start : start + 65_536])


def answers(status: int = 200, body: str | dict[str, Any] = "ok", **headers: str) -> Behaviour:
    """Answers at once."""
    content = (body if isinstance(body, str) else json.dumps(body)).encode()
    return lambda handler, receiver: handler.reply(status, content, **headers)


def hangs(handler: _Handler, receiver: HttpReceiver) -> None:
    """Takes the request and never answers."""
    receiver.over.wait()


def hangs_up(handler: _Handler, receiver: HttpReceiver) -> None:
    """Takes the request and closes the connection."""


def trickles_its_head(handler: _Handler, receiver: HttpReceiver) -> None:
    """Sends a byte of a header now and then, for ever: no single read ever times out."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while not receiver.over.wait(0.02):
        handler.wfile.write(b"x")
        handler.wfile.flush()


def trickles_its_body(handler: _Handler, receiver: HttpReceiver) -> None:
    """As `trickles_its_head`, with the body."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while not receiver.over.wait(0.02):
        handler.wfile.write(b"o")
        handler.wfile.flush()


def talks_without_end(handler: _Handler, receiver: HttpReceiver) -> None:
    """Answers 5 MB where a word is enough."""
    handler.reply(200, FIVE_MEGABYTES)


@contextmanager
def http_receiver(behaviour: Behaviour, tls: ssl.SSLContext | None = None) -> Iterator[HttpReceiver]:
    """A receiver, answering inside."""
    receiver = HttpReceiver(behaviour)
    handler = type("Handler", (_Handler,), {"receiver": receiver})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        receiver.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_address[1]}"
        thread = Thread(target=lambda: server.serve_forever(poll_interval=0.02), daemon=True)
        thread.start()
        try:
            yield receiver
        finally:
            receiver.over.set()
            server.shutdown()
            thread.join()
