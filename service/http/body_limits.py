"""Limits of a request body: bytes and seconds. Pure ASGI, in front of every route.

Bytes are counted as they arrive, so a body without a length, or with a wrong one, is cut off at the same
place. After a refusal the connection closes, because the rest of the body is still on its way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import MappingProxyType

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import BodyTooLarge, BodyTooSlow


class BodyLimits:
    """Middleware whose `receive` raises BodyTooLarge and BodyTooSlow."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        by_path: Mapping[str, int],
        otherwise: int,
        timeout: float,
        by_prefix: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        """`by_path`: path -> bytes; `by_prefix`: the same for all paths with this prefix; `timeout`:
        seconds from the head to the last byte of the body."""
        self._app = app
        self._by_path = by_path
        self._by_prefix = by_prefix
        self._otherwise = otherwise
        self._timeout = timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._limit(scope["path"])
        declared = _declared_length(scope)
        loop = asyncio.get_running_loop()
        due = loop.time() + self._timeout
        received = 0
        complete = False

        async def limited() -> Message:
            nonlocal received, complete
            if complete:
                return await receive()
            if declared > limit:
                raise BodyTooLarge(declared, limit)
            try:
                async with asyncio.timeout_at(due):
                    message = await receive()
            except TimeoutError:
                raise BodyTooSlow(self._timeout) from None
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                complete = not message.get("more_body", False)
                if received > limit:
                    raise BodyTooLarge(received, limit)
            return message

        await self._app(scope, limited, send)

    def _limit(self, path: str) -> int:
        if path in self._by_path:
            return self._by_path[path]
        under = (limit for prefix, limit in self._by_prefix.items() if path.startswith(prefix))
        return next(under, self._otherwise)


def _declared_length(scope: Scope) -> int:
    """The Content-Length, or 0: the HTTP parser has refused one that is no number."""
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else 0
    return 0
