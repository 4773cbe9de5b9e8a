"""Load generator: persistent connections that each send one image after another for a given time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter

from bundle.images.headers import read_header


@dataclass(slots=True)
class Load:
    """Result of a load run."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    """Milliseconds of each request with status 200, from the first byte sent to the last byte received"""
    refused: int = 0
    """Number of responses with another status"""

    @property
    def per_second(self) -> float:
        return len(self.latencies) / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class Response:
    """HTTP response."""

    status: int
    closes: bool
    """True if the server closes the connection after this response"""
    body: bytes


def requests_for(images: Sequence[bytes], path: str = "/predict") -> list[bytes]:
    """Each image as the bytes of a POST request."""
    return [
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: image/{read_header(image).format.lower()}\r\n"
        f"Content-Length: {len(image)}\r\n\r\n".encode()
        + image
        for image in images
    ]


def run_load(address: tuple[str, int], requests: Sequence[bytes], *, clients: int, seconds: float) -> Load:
    """Send `requests` in turn over `clients` connections, one request at a time per connection.

    `seconds`: duration. Raises OSError if the service cannot be reached or closes a connection.
    """
    return asyncio.run(_run(address, requests, clients, seconds))


async def _run(address: tuple[str, int], requests: Sequence[bytes], clients: int, seconds: float) -> Load:
    load = Load()
    began = perf_counter()
    await asyncio.gather(
        *(_client(address, requests, client, began + seconds, load) for client in range(clients))
    )
    load.seconds = perf_counter() - began
    return load


async def _client(
    address: tuple[str, int], requests: Sequence[bytes], turn: int, until: float, load: Load
) -> None:
    reader, writer = await asyncio.open_connection(*address)
    try:
        while (began := perf_counter()) < until:
            writer.write(requests[turn % len(requests)])
            turn += 1
            if (await read_response(reader)).status == 200:
                load.latencies.append(1e3 * (perf_counter() - began))
            else:
                load.refused += 1
    finally:
        writer.close()


async def read_response(reader: asyncio.StreamReader) -> Response:
    """Read one response. Raises ConnectionResetError if it ends early."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        body = await reader.readexactly(length)
    except asyncio.IncompleteReadError as error:
        raise ConnectionResetError("the service closed the connection in the middle of an answer") from error
    return Response(int(head.split(b" ", 2)[1]), b"\r\nconnection: close\r\n" in head, body)
