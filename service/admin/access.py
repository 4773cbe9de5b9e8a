"""Access to the private port: the token, and the log of every request."""

from __future__ import annotations

import hmac

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import Unauthorized
from service.problems import INTERNAL, problem_of

logger = structlog.get_logger("demur.admin")


class TokenRequired:
    """Middleware that admits requests with the bearer token, and logs each request and its outcome.

    Default deny: anything but an HTTP request with the token ends here.
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
        # Before anything is done, so that even a change that ends the process is in the log.
        logger.info("admin", **request, allowed=allowed)
        if not allowed:
            error = Unauthorized("every admin request needs the token", field="Authorization")
            await problem_of(error).to_response()(scope, receive, send)
            return
        status = INTERNAL.status

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        finally:
            logger.info("admin_answered", **request, status=status)
