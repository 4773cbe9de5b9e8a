"""HEAD requests: answered like GET without the body, wherever GET is (RFC 9110, section 9.3.2).

Uptime monitors and `wget --spider` send them. FastAPI's routes take only the methods that they name.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send


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
                if message.get("more_body", False):
                    return
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        try:
            await self._app(get, receive, send_head)
        finally:
            # For the metrics and the log outside of this middleware.
            if "route" in get:
                scope["route"] = get["route"]
