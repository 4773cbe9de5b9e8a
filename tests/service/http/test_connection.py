"""The connection's own limits on a client that takes nothing of its answer."""

from __future__ import annotations

import asyncio
import socket

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from service.http import connection
from service.http.connection import guarded_connection

PIECE = b"x" * 65_536


class EndlessAnswer:
    """An application that answers without end, until its client has left."""

    def __init__(self) -> None:
        self.left = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        watching = asyncio.create_task(self._watch(receive))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while not self.left.is_set():
            await send({"type": "http.response.body", "body": PIECE, "more_body": True})
            await asyncio.sleep(0)
        watching.cancel()

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.left.set()


async def asked(app: EndlessAnswer) -> tuple[asyncio.Server, socket.socket]:
    """A server of the application, and a client that has asked it for its answer."""
    config = uvicorn.Config(app, http=guarded_connection(4096, 5.0), lifespan="off", log_config=None)
    config.load()
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(
        lambda: config.http_protocol_class(config=config, server_state=state, app_state={}),  # type: ignore[call-arg]
        "127.0.0.1",
        0,
    )
    client = socket.socket()
    client.setblocking(False)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, server.sockets[0].getsockname())
    await loop.sock_sendall(client, b"GET / HTTP/1.1\r\nHost: demur\r\n\r\n")
    return server, client


def test_a_client_that_takes_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "STALLED", 0.3)

    async def run() -> None:
        app = EndlessAnswer()
        server, client = await asked(app)
        await asyncio.wait_for(app.left.wait(), 150)
        client.close()
        server.close()

    asyncio.run(run())


def test_a_client_that_reads_slowly_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "STALLED", 3.0)

    async def run() -> None:
        app = EndlessAnswer()
        server, client = await asked(app)
        loop = asyncio.get_running_loop()
        until = loop.time() + 6.0
        while loop.time() < until:
            for _ in range(32):
                assert await loop.sock_recv(client, 65_536)
            await asyncio.sleep(0.1)
        assert not app.left.is_set()
        client.close()
        await asyncio.wait_for(app.left.wait(), 150)
        server.close()

    asyncio.run(run())
