"""Clients record every outcome that a request can have."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from harness.clients import Clients
from harness.processes import free_ports

ANSWER = b'{"bundle": {"name": "one"}}'


@contextmanager
def server(statuses: list[int | None]) -> Iterator[tuple[str, int]]:
    """Answers each request with the next status, then with 200; None closes in the middle of an answer."""
    listener = socket.create_server(("127.0.0.1", 0))
    done = threading.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
                status = statuses.pop(0) if statuses else 202 if b"/feedback" in head else 200
                if status is None:
                    return
                writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(ANSWER)) + ANSWER)
        except (asyncio.IncompleteReadError, ConnectionResetError):
            pass
        finally:
            writer.close()

    async def run() -> None:
        async with await asyncio.start_server(serve, sock=listener):
            while not done.is_set():
                await asyncio.sleep(0.01)

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    try:
        yield listener.getsockname()
    finally:
        done.set()
        thread.join()


def test_every_outcome_is_recorded() -> None:
    with server([200, None, 503, 429, 200]) as address, Clients(address, [b"image"], 1) as load:
        while load.tally.answered < 20:
            time.sleep(0.01)
    assert load.tally.dropped == {"ConnectionResetError": 1}
    assert load.tally.lost == 1
    assert load.tally.refused == {503: 1, 429: 1}
    assert load.tally.bundles == {"one": load.tally.answered}
    assert load.tally.unreachable == 0


def test_each_answer_is_followed_by_its_label_even_the_last() -> None:
    with server([]) as address, Clients(address, [b"image"], 4, feedback=True) as load:
        while load.tally.answered < 20:
            time.sleep(0.01)
    assert load.tally.labelled == load.tally.answered


def test_a_refused_connection_is_no_dropped_request() -> None:
    with Clients(("127.0.0.1", free_ports(1)[0]), [b"image"], 2) as load:
        while load.tally.unreachable < 4:
            time.sleep(0.01)
    assert (load.tally.answered, load.tally.lost) == (0, 0)
