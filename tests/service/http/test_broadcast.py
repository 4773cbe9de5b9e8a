"""Live events: what a listener gets, how many there may be, and how they end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from functools import wraps
from typing import Any

import pytest
from starlette.types import Message

from service.errors import TooManyListeners
from service.http.broadcast import Broadcast


def in_a_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """A test that runs in an event loop of its own."""

    @wraps(test)
    def run() -> None:
        asyncio.run(asyncio.wait_for(test(), 300))

    return run


class Figures:
    """Events that a test changes."""

    def __init__(self, **events: bytes) -> None:
        self.events: dict[str, bytes] = events
        self.computed = 0

    async def __call__(self) -> Mapping[str, bytes]:
        self.computed += 1
        return dict(self.events)


class Client:
    """A listener in the place of a connection."""

    def __init__(self) -> None:
        self.received: list[Message] = []
        self._left = asyncio.Event()

    def leave(self) -> None:
        self._left.set()

    async def receive(self) -> Message:
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.received.append(message)

    @property
    def text(self) -> str:
        return b"".join(message.get("body", b"") for message in self.received).decode()

    async def has(self, text: str) -> None:
        while text not in self.text:
            await asyncio.sleep(0.005)


def listening(broadcast: Broadcast, figures: Figures, client: Client) -> asyncio.Task[None]:
    response = broadcast.stream(figures)
    return asyncio.create_task(response({"type": "http"}, client.receive, client.send))


@in_a_loop
async def test_an_event_is_sent_when_it_has_changed() -> None:
    broadcast, figures, client = (
        Broadcast(2, lambda: False, every=0.02),
        Figures(health=b"1", rolling=b"2"),
        Client(),
    )
    task = listening(broadcast, figures, client)
    await client.has("event: rolling\ndata: 2\n\n")
    assert client.text.startswith("retry: ")
    figures.events["rolling"] = b"3"
    await client.has("event: rolling\ndata: 3\n\n")
    assert client.text.count("event: health") == 1
    client.leave()
    await task
    assert broadcast.listeners == 0


@in_a_loop
async def test_an_event_that_was_away_is_sent_again() -> None:
    """A page that was told of a problem must learn that it is over."""
    broadcast, figures, client = Broadcast(1, lambda: False, every=0.02), Figures(rolling=b"2"), Client()
    task = listening(broadcast, figures, client)
    await client.has("event: rolling")
    figures.events = {"problem": b"0"}
    await client.has("event: problem")
    figures.events = {"rolling": b"2"}
    while client.text.count("event: rolling") < 2:
        await asyncio.sleep(0.005)
    client.leave()
    await task


@in_a_loop
async def test_figures_are_computed_once_for_all_and_only_while_someone_listens() -> None:
    broadcast, figures = Broadcast(8, lambda: False, every=0.02), Figures(rolling=b"2")
    clients = [Client() for _ in range(8)]
    began = asyncio.get_running_loop().time()
    tasks = [listening(broadcast, figures, client) for client in clients]
    for client in clients:
        await client.has("event: rolling")
    await asyncio.sleep(0.1)
    assert figures.computed <= 2 + (asyncio.get_running_loop().time() - began) / 0.02
    for client in clients:
        client.leave()
    await asyncio.gather(*tasks)
    await asyncio.sleep(0.05)
    computed = figures.computed
    await asyncio.sleep(0.1)
    assert figures.computed == computed


@in_a_loop
async def test_one_listener_too_many_is_refused_until_a_place_is_free() -> None:
    broadcast, figures, client = Broadcast(1, lambda: False, every=0.02), Figures(), Client()
    task = listening(broadcast, figures, client)
    with pytest.raises(TooManyListeners, match="1 clients listen"):
        broadcast.stream(figures)
    client.leave()
    await task
    broadcast.stream(figures)


@in_a_loop
async def test_a_stop_ends_every_answer() -> None:
    ending = False
    broadcast, figures, client = Broadcast(1, lambda: ending, every=0.02), Figures(rolling=b"2"), Client()
    task = listening(broadcast, figures, client)
    await client.has("event: rolling")
    ending = True
    await asyncio.wait_for(task, 150.0)
    assert client.received[-1] == {"type": "http.response.body", "body": b""}


@in_a_loop
async def test_a_connection_lasts_for_a_while_alone() -> None:
    broadcast, client = Broadcast(1, lambda: False, every=0.02, longest=0.1), Client()
    await asyncio.wait_for(listening(broadcast, Figures(), client), 150.0)
    assert broadcast.listeners == 0


@in_a_loop
async def test_quiet_connections_are_kept_open() -> None:
    broadcast, client = Broadcast(1, lambda: False, every=0.02, quiet=0.05), Client()
    task = listening(broadcast, Figures(rolling=b"2"), client)
    await client.has(": still there\n\n: still there\n\n")
    client.leave()
    await task


@in_a_loop
async def test_a_failure_leaves_the_figures_as_they_are() -> None:
    broadcast, figures, client = Broadcast(1, lambda: False, every=0.02), Figures(rolling=b"2"), Client()
    task = listening(broadcast, figures, client)
    await client.has("event: rolling")
    kept, figures.events = figures.events, None  # type: ignore[assignment]
    await asyncio.sleep(0.1)
    figures.events = {**kept, "rolling": b"4"}
    await client.has("data: 4")
    client.leave()
    await task


@in_a_loop
async def test_a_listener_that_takes_nothing_holds_up_no_other() -> None:
    broadcast, figures = Broadcast(2, lambda: False, every=0.02), Figures(rolling=b"2")
    stuck, client = Client(), Client()

    async def never(message: Message) -> None:
        await asyncio.Event().wait()

    stuck_task = asyncio.create_task(broadcast.stream(figures)({"type": "http"}, stuck.receive, never))
    task = listening(broadcast, figures, client)
    await client.has("event: rolling")
    client.leave()
    await task
    stuck_task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stuck_task
    assert broadcast.listeners == 0
