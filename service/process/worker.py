"""Worker: one server process with uvicorn on an open port, and a shutdown that loses no request."""

from __future__ import annotations

import asyncio
import atexit
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Final

import structlog
import uvicorn

from bundle.system.malloc import IMAGE_BYTES, keep_freed_memory, release_memory
from service.app import create_app
from service.compute.overruns import Supervision
from service.compute.threads import any_given_up
from service.following.state import SharedFleetState
from service.http.connection import GuardedConnection, guarded_connection
from service.http.quotas import Quotas
from service.lineup.lineup import Deployments
from service.process.listener import allow_new_clients, drop_new_clients
from service.settings import Settings
from service.state import Phase

BACKLOG = 2048
LEAVE: Final = signal.SIGUSR1
"""Signal to a worker whose successor serves: it leaves the port to the others and finishes its requests."""
_SWITCH_INTERVAL = 0.001
_HANDSHAKE = 0.05
"""Seconds for handshakes in progress when the port closes."""
_FIRST_REQUEST, _MAX_FIRST_REQUEST = 0.1, 1.0
"""Seconds for requests that are on the wire already; at most so many for clients that have connected without
a request yet: a busy machine may delay theirs."""
_PAUSE = 0.5
"""Seconds without new connections after a failed accept."""
_ACCEPT_DELAY, _MAX_ACCEPT_DELAY = 0.0005, 0.004
"""Seconds for which one of several workers leaves a connection to the others: per connection that it holds,
and at most."""

logger = structlog.get_logger("demur.server")


def run_worker(
    settings: Settings,
    deployments: Deployments,
    listener: socket.socket,
    on_ready: Callable[[], None],
    quotas: Quotas | None = None,
    supervision: Supervision | None = None,
    fleet: SharedFleetState | None = None,
) -> None:
    """Serve on an open port until SIGTERM or SIGINT; `listener` is closed then.

    `quotas`: shared with the other workers; `supervision` leads to the process that replaces this one;
    `fleet`: what that process knows of the fleet that it follows, if it does.
    """
    keep_freed_memory(IMAGE_BYTES)
    _use_batch_scheduling()
    # A thread that only runs Python, such as a scrape, then delays the event loop a fifth as long.
    sys.setswitchinterval(_SWITCH_INTERVAL)
    phase = Phase()
    config = uvicorn.Config(
        create_app(settings, phase, deployments, quotas, supervision, fleet),
        loop="uvloop",
        http=guarded_connection(settings.max_header_bytes, settings.header_timeout),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=max(1, round(settings.stop_timeout)),
    )

    def ready() -> None:
        # Verifying and loading a bundle leaves free memory of twice the size of its models.
        release_memory()
        on_ready()

    server = DrainingServer(config, phase, settings.drain, ready, alone=settings.workers == 1)
    server.run(sockets=[listener])
    if any_given_up():
        atexit.register(_end_at_once)


def _end_at_once() -> None:
    """End a process in which a runtime still computes: it would crash while the interpreter shuts down."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _use_batch_scheduling() -> None:
    """Let the event loop wait for the next pause of a computing thread, a few milliseconds at most.

    Otherwise each incoming packet interrupts the model, which then finds its caches cold. Threads that are
    started later inherit the policy.
    """
    if sys.platform == "linux":
        # Not every container allows the call; the service works without it.
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


class DrainingServer(uvicorn.Server):
    """uvicorn's server with a shutdown that loses no request.

    After SIGTERM it is "not ready" and closes each connection with its next answer, but still accepts for a
    while, until load balancers have noticed; then it accepts the clients that wait at the port, closes it,
    and finishes its requests. After `LEAVE` it stays "ready" and accepts no more: other workers do.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        phase: Phase,
        drain: float,
        on_ready: Callable[[], None],
        *,
        alone: bool,
    ) -> None:
        """`alone`: no other process accepts on the same socket."""
        super().__init__(config)
        self._alone = alone
        self._phase = phase
        self._drain = drain
        self._on_ready = on_ready
        self._attaching: set[asyncio.Task[None]] = set()
        self._closing = False
        self._leaving = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup([])
        for listener in sockets or []:
            allow_new_clients(listener)
            self._listen(listener)
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._phase.draining = not self._leaving
        self._phase.ending = True
        logger.info("draining", seconds=self._drain)
        self.server_state.default_headers.append((b"connection", b"close"))
        if self._leaving:
            self._leave_ports(sockets or [])
        # Each active connection closes with its next answer meanwhile.
        await asyncio.sleep(self._drain)
        if not self._leaving:
            await self._close_ports(sockets or [])
        await self._await_first_requests()
        await super().shutdown(sockets)

    def _listen(self, listener: socket.socket) -> None:
        if not self._closing:
            listener.setblocking(False)
            asyncio.get_running_loop().add_reader(listener, self._on_readable, listener)

    def _on_readable(self, listener: socket.socket) -> None:
        """Leave the connection to workers with fewer of them, for as long as they need to notice it."""
        held = len(self.server_state.connections)
        if self._alone or not held:
            self._accept(listener)
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(listener)
        loop.call_later(min(held * _ACCEPT_DELAY, _MAX_ACCEPT_DELAY), self._accept_later, listener)

    def _accept_later(self, listener: socket.socket) -> None:
        if not self._closing:
            self._listen(listener)
            self._accept(listener)

    def _accept(self, listener: socket.socket) -> None:
        """Accept one connection at most.

        uvloop's own server accepts all that wait, so that the first of several workers to wake would get
        every client of a burst, and keep them.
        """
        loop = asyncio.get_running_loop()
        try:
            connection = next(_accepted(listener), None)
        except OSError as error:
            # With no file descriptor left, the socket stays readable, and a retry at once would spin.
            logger.error("accept_failed", error=str(error), retry_in=_PAUSE)
            loop.remove_reader(listener)
            loop.call_later(_PAUSE, self._listen, listener)
            return
        if connection is not None:
            attaching = loop.create_task(self._attach(connection))
            self._attaching.add(attaching)
            attaching.add_done_callback(self._attaching.discard)

    async def _attach(self, connection: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, connection)
        except OSError:
            # The client has closed meanwhile.
            connection.close()

    def _leave_ports(self, sockets: list[socket.socket]) -> None:
        """Accept nothing more. The clients that wait at the port are for the workers that share it."""
        self._closing = True
        for listener in sockets:
            asyncio.get_running_loop().remove_reader(listener)
            listener.close()

    async def _close_ports(self, sockets: list[socket.socket]) -> None:
        # A client that is connected but not accepted would be reset when the port closes.
        loop = asyncio.get_running_loop()
        for listener in sockets:
            drop_new_clients(listener)
        await asyncio.sleep(_HANDSHAKE)
        self._closing = True
        for listener in sockets:
            loop.remove_reader(listener)
            try:
                with listener:
                    for connection in _accepted(listener):
                        await self._attach(connection)
            except OSError as error:
                logger.error("accept_failed", error=str(error))

    async def _await_first_requests(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + _MAX_FIRST_REQUEST
        await asyncio.sleep(_FIRST_REQUEST)
        while loop.time() < due and any(
            isinstance(connection, GuardedConnection) and connection.without_request
            for connection in self.server_state.connections
        ):
            await asyncio.sleep(_FIRST_REQUEST)

    def _protocol(self) -> asyncio.Protocol:
        protocol: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn's own method raises the signal again at the end, which would skip the callers' cleanup.
        before = {
            number: signal.signal(number, self._stop) for number in (signal.SIGTERM, signal.SIGINT, LEAVE)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if not self.should_exit:
            self._leaving = number == LEAVE
        if self.should_exit and number == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True


def _accepted(listener: socket.socket) -> Iterator[socket.socket]:
    """The connections that wait at a socket, until none is left."""
    while True:
        try:
            connection, _ = listener.accept()
        except ConnectionAbortedError:
            continue
        except BlockingIOError:
            return
        connection.setblocking(False)
        yield connection
