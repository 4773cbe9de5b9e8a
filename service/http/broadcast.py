"""Server-sent events: the same figures for every listener, computed once, while there are listeners.

A listener gets each event when it has changed, and of several changes the latest: one that reads slowly
misses some and holds up nobody. One that does not read at all is dropped by its connection (see
`service.http.connection`), and each one has to come again after a while, so that no place is kept for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from time import monotonic
from typing import Final

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.errors import TooManyListeners

logger = structlog.get_logger("demur.live")

Compute = Callable[[], Awaitable[Mapping[str, bytes]]]
"""Name of an event -> its data, in one line."""

_RETRY: Final = b"retry: 3000\n\n"
"""Milliseconds after which a browser comes again."""
_STILL_THERE: Final = b": still there\n\n"


class Broadcast:
    """The events of one worker; used from one event loop."""

    def __init__(
        self,
        most: int,
        has_ended: Callable[[], bool],
        *,
        every: float = 1.0,
        quiet: float = 15.0,
        longest: float = 900.0,
    ) -> None:
        """`most`: listeners at a time; `has_ended`: whether the service stops. Seconds: `every` between two
        computations; `quiet` after which a comment is sent, so that nobody on the way thinks the connection
        dead; `longest` that one connection lasts."""
        self._most = most
        self._has_ended = has_ended
        self._every = every
        self._quiet = quiet
        self._longest = longest
        self.listeners = 0
        self._events: Mapping[str, bytes] = {}
        self._task: asyncio.Task[None] | None = None

    def stream(self, compute: Compute) -> EventStream:
        """A response that lasts; it takes a place until it ends. Raises TooManyListeners."""
        if self.listeners >= self._most:
            raise TooManyListeners(self._most)
        self.listeners += 1
        return EventStream(self, compute)

    def leave(self) -> None:
        """Give up the place of a response."""
        self.listeners -= 1

    async def listen(self, compute: Compute, has_left: Callable[[], bool]) -> AsyncGenerator[bytes]:
        """What one listener gets, piece by piece, until it has left."""
        if self._task is None or self._task.done():
            self._events = {}
            self._task = asyncio.create_task(self._run(compute))
        yield _RETRY
        sent: Mapping[str, bytes] = {}
        began = spoke = monotonic()
        while monotonic() - began < self._longest and not (self._has_ended() or has_left()):
            now = self._events
            fresh = {name: data for name, data in now.items() if sent.get(name) != data}
            sent = now
            if fresh or monotonic() - spoke >= self._quiet:
                spoke = monotonic()
                yield b"".join(map(_event, fresh, fresh.values())) or _STILL_THERE
            await asyncio.sleep(self._every / 4)

    async def _run(self, compute: Compute) -> None:
        while self.listeners:
            try:
                self._events = await compute()
            except Exception:
                # Listeners keep the figures that they have; the routes name the reason.
                logger.exception("live_figures_failed")
            await asyncio.sleep(self._every)


class EventStream(Response):
    """A response of events, until the client leaves, the service stops or the connection has lasted long."""

    def __init__(self, broadcast: Broadcast, compute: Compute) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(media_type="text/event-stream", headers=headers)
        del self.headers["content-length"]
        self._broadcast = broadcast
        self._compute = compute

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        left = asyncio.create_task(_client_left(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async with aclosing(self._broadcast.listen(self._compute, left.done)) as pieces:
                async for piece in pieces:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            self._broadcast.leave()
            left.cancel()


def _event(name: str, data: bytes) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), data)


async def _client_left(receive: Receive) -> None:
    with suppress(asyncio.CancelledError):
        while (await receive())["type"] != "http.disconnect":
            pass
