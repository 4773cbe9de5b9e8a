"""Changes that a request asks for: they run on a thread, and end when their client goes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from starlette.requests import Request

from service.lineup.fleet import Cancelled

_Result = TypeVar("_Result")


async def while_connected(request: Request, change: Callable[[Cancelled], _Result]) -> _Result:
    """The result of `change` on a thread; it is cancelled if the client closes the connection."""
    await request.body()
    gone = threading.Event()

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        gone.set()

    watching = asyncio.create_task(watch())
    try:
        return await asyncio.to_thread(change, gone.is_set)
    finally:
        watching.cancel()
