"""Who may speak to the private port, and the record of who did."""

from __future__ import annotations

import hmac

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.problems import Problem

logger = structlog.get_logger("demur.admin")

_UNAUTHORIZED = Problem(
    "unauthorized",
    401,
    "every admin request needs the token",
    "Authorization",
    headers={"WWW-Authenticate": "Bearer", "Connection": "close"},
)


class TokenRequired:
    """Lets requests with the bearer token through, and writes each request and its outcome to the log.

    Default deny: whatever is no HTTP request with the token goes no further.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        allowed = len(given) == 1 and hmac.compare_digest(given[0], self._expected)
        request = {
            "method": scope["method"],
            "path": scope["path"],
            "client": scope["client"][0] if scope["client"] else None,
        }
        # Before anything is done, so that a change that ends the process has left its trace.
        logger.info("admin", **request, allowed=allowed)
        if not allowed:
            await _UNAUTHORIZED.to_response()(scope, receive, send)
            return
        status = 500

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        finally:
            logger.info("admin_answered", **request, status=status)
