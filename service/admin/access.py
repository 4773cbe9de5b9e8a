"""Access to the private port: the token, the log of every request, and the delay of wrong tokens."""

from __future__ import annotations

import asyncio
import hmac
from time import monotonic
from typing import Final

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from monitoring.metrics.instruments import AdminInstruments
from service.errors import Unauthorized
from service.problems import INTERNAL, problem_of

_DELAY: Final = 0.02
_MAX_DELAY: Final = 2.0
_MEMORY: Final = 60.0
"""Each recent request with a wrong token delays the refusal of the next one by `_DELAY` seconds, up to
`_MAX_DELAY`; half of them are forgotten after `_MEMORY` seconds."""

logger = structlog.get_logger("demur.admin")


class TokenRequired:
    """Middleware that admits requests with the bearer token, and logs each request and its outcome.

    Default deny: anything but an HTTP request with the token ends here. Refusals are slowed down, counted and
    logged as warnings; a request with the token is never delayed.
    """

    def __init__(self, app: ASGIApp, token: str, instruments: AdminInstruments) -> None:
        self._app = app
        self._expected = token.encode()
        self._refusals = instruments.refusals
        self._recent = 0.0
        self._last = monotonic()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        allowed = len(given) == 1 and hmac.compare_digest(_bearer(given[0]), self._expected)
        request = {
            "method": scope["method"],
            "path": scope["path"],
            "client": scope["client"][0] if scope["client"] else None,
        }
        # Before anything is done, so that even a change that ends the process is in the log.
        (logger.info if allowed else logger.warning)("admin", **request, allowed=allowed)
        if not allowed:
            self._refusals.labels("wrong" if given else "missing").inc()
            await asyncio.sleep(self._next_delay())
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

    def _next_delay(self) -> float:
        now = monotonic()
        self._recent = self._recent * 0.5 ** ((now - self._last) / _MEMORY) + 1
        self._last = now
        return min(_MAX_DELAY, _DELAY * self._recent)


def _bearer(header: bytes) -> bytes:
    """The token in an Authorization header; the scheme is in any case (RFC 9110, section 11.1)."""
    scheme, _, token = header.partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else b""
