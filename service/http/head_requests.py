"""HEAD requests: answered like GET without the body, wherever GET is (RFC 9110, section 9.3.2).

Uptime monitors and `wget --spider` send them. FastAPI's routes take only the methods that they name.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class _HeadAnswered(Exception):
    """Ends the handling of a request whose answer has been sent."""


class HeadRequests:
    """Middleware that turns HEAD into GET and drops the body of the answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        get = {**scope, "method": "GET"}

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.body":
                # What would follow is not wanted, and an answer may be without end.
                await send({"type": "http.response.body", "body": b""})
                raise _HeadAnswered
            await send(message)

        try:
            await self._app(get, receive, send_head)
        except _HeadAnswered:
            pass
        finally:
            # For the metrics and the log outside of this middleware.
            if "route" in get:
                scope["route"] = get["route"]
