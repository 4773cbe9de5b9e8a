"""A TCP proxy before a server: what passes can be slow, stop, break off, or be answered by the proxy."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final, Self

_CHUNK: Final = 16_384
_TICK: Final = 0.05
"""Seconds between two pieces of what passes slowly"""


@dataclass(frozen=True, slots=True)
class Fault:
    """What the network does to connections; by default nothing."""

    rate: float | None = None
    """Bytes per second that pass towards the client"""
    silent: bool = False
    """Connections are taken, and nothing passes"""
    breaks_after: int | None = None
    """Bytes towards the client after which a connection breaks"""
    answer: bytes | None = None
    """What the proxy answers itself to every request"""


NO_FAULT: Final = Fault()


def refusal(status: str, body: bytes = b"") -> Fault:
    """Every request gets this HTTP status, as `403 Forbidden`."""
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return Fault(answer=head.encode() + body)


class TcpProxy:
    """A context manager: inside, 127.0.0.1:`port` leads to `target`, through the fault of now."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.fault = NO_FAULT
        self._target = target
        self._over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()

    def __enter__(self) -> Self:
        self._listen()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.refuse()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def refuse(self) -> None:
        """The port refuses connections, and those that are open break."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._break_all()

    def accept(self) -> None:
        """The port takes connections again."""
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=256)
        self._listen()

    @contextmanager
    def broken(self, fault: Fault) -> Iterator[None]:
        """Inside, connections suffer `fault`; those that are open at its beginning break."""
        self.fault = fault
        self._break_all()
        try:
            yield
        finally:
            self.fault = NO_FAULT
            self._break_all()

    @contextmanager
    def gone(self) -> Iterator[None]:
        """Inside, the port refuses connections."""
        self.refuse()
        try:
            yield
        finally:
            self.accept()

    def _break_all(self) -> None:
        for one in list(self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _listen(self) -> None:
        threading.Thread(target=self._take, args=(self._listener,), daemon=True).start()

    def _take(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        self._open.add(client)
        try:
            with client, suppress(OSError):
                if self.fault.silent:
                    while client.recv(_CHUNK):
                        pass
                elif self.fault.answer is not None:
                    client.recv(_CHUNK)
                    client.sendall(self.fault.answer)
                else:
                    self._lead(client)
        finally:
            self._open.discard(client)

    def _lead(self, client: socket.socket) -> None:
        with socket.create_connection(self._target) as server:
            self._open.add(server)
            there = threading.Thread(target=self._pump, args=(client, server, False), daemon=True)
            there.start()
            self._pump(server, client, True)
            there.join()
            self._open.discard(server)

    def _pump(self, source: socket.socket, sink: socket.socket, back: bool) -> None:
        """`back`: towards the client."""
        passed = 0
        with suppress(OSError):
            while data := source.recv(_CHUNK):
                limit = self.fault.breaks_after if back else None
                if limit is not None and passed + len(data) > limit:
                    sink.sendall(data[: limit - passed])
                    break
                self._send(sink, data, self.fault.rate if back else None)
                passed += len(data)
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _send(self, sink: socket.socket, data: bytes, rate: float | None) -> None:
        piece = len(data) if rate is None else max(1, round(rate * _TICK))
        for start in range(0, len(data), piece):
            if rate is not None:
                self._over.wait(_TICK)
            sink.sendall(data[start : start + piece])
