"""How much a client may send, and how long it may take. Pure ASGI, in front of every route.

Bytes are counted as they arrive, so a body without a length, or with a wrong one, is cut off at the same
place. After a refusal the connection is closed, because the rest of the body is still on its way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import MappingProxyType

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.problems import RequestError, refused

_CLOSE = {"Connection": "close"}


class BodyLimits:
    """Raises RequestError, 413 or 408, out of `receive`."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        by_path: Mapping[str, int],
        otherwise: int,
        timeout: float,
        by_prefix: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        """`by_path`: path -> bytes; `by_prefix`: the same for all paths that begin so; `timeout`:
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
        give_up = loop.time() + self._timeout
        received = 0
        complete = False

        async def limited() -> Message:
            nonlocal received, complete
            if complete:
                return await receive()
            if declared > limit:
                raise _too_large(declared, limit)
            try:
                async with asyncio.timeout_at(give_up):
                    message = await receive()
            except TimeoutError:
                raise self._too_slow() from None
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                complete = not message.get("more_body", False)
                if received > limit:
                    raise _too_large(received, limit)
            return message

        await self._app(scope, limited, send)

    def _limit(self, path: str) -> int:
        if path in self._by_path:
            return self._by_path[path]
        under = (limit for prefix, limit in self._by_prefix.items() if path.startswith(prefix))
        return next(under, self._otherwise)

    def _too_slow(self) -> RequestError:
        return refused(
            "body-too-slow",
            408,
            f"the body was not complete within {self._timeout:g} s",
            field="body",
            limit=self._timeout,
            headers=_CLOSE,
        )


def _declared_length(scope: Scope) -> int:
    """The Content-Length, or 0: the HTTP parser has refused what is no number."""
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else 0
    return 0


def _too_large(size: int, limit: int) -> RequestError:
    return refused(
        "body-too-large",
        413,
        f"the body has {size} bytes or more; at most {limit} are accepted here",
        field="body",
        value=size,
        limit=limit,
        headers=_CLOSE,
    )
