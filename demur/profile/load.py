"""A load generator: keep-alive connections that send one image after another, for so many seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter

from bundle.images.headers import read_header


@dataclass(slots=True)
class Load:
    """What came back."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    """Milliseconds of each answered request, from its first byte sent to its last byte received"""
    refused: int = 0
    """Answers other than 200"""

    @property
    def per_second(self) -> float:
        return len(self.latencies) / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer."""

    status: int
    last: bool
    """The server closes the connection after it."""
    body: bytes


def requests_for(images: Sequence[bytes], path: str = "/predict") -> list[bytes]:
    """Each image as a whole POST request, ready to be sent."""
    return [
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: image/{read_header(image).format.lower()}\r\n"
        f"Content-Length: {len(image)}\r\n\r\n".encode()
        + image
        for image in images
    ]


def run_load(address: tuple[str, int], requests: Sequence[bytes], *, clients: int, seconds: float) -> Load:
    """Let `clients` connections send `requests` round and round; each sends its next after an answer.

    Raises OSError where the service is not reached or hangs up.
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
            if (await read_answer(reader)).status == 200:
                load.latencies.append(1e3 * (perf_counter() - began))
            else:
                load.refused += 1
    finally:
        writer.close()


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """Read one answer. Raises ConnectionResetError where it does not come whole."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        body = await reader.readexactly(length)
    except asyncio.IncompleteReadError as error:
        raise ConnectionResetError("the service closed the connection in the middle of an answer") from error
    return Answer(int(head.split(b" ", 2)[1]), b"\r\nconnection: close\r\n" in head, body)
