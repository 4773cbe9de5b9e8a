"""Access to the private port: the token, and the log of every request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from monitoring.metrics.instruments import AdminInstruments
from service.http.token_gate import TokenGate
from service.problems import INTERNAL, problem_of
from service.tokens import FeedbackToken

_ADMIN: Final = ""
"""Owner of the port's own token; a sender of labels has a name."""
_FOR_SENDERS: Final = frozenset({("GET", "/audits")})
"""Requests that a token of a sender of labels lets in too: a labelling tool fetches its work there."""

_OPEN: Final = frozenset({("GET", "/"), ("HEAD", "/")})
"""The page: the same bytes for everybody, without data. It asks for the token and sends it on."""

logger = structlog.get_logger("demur.admin")


class TokenRequired:
    """Middleware that admits requests with the bearer token, and logs each request and its outcome. The
    tokens of the senders of labels open the few routes that are meant for them.

    Default deny: anything but an HTTP request with the token, or for the page, ends here. Refusals are slowed
    down, counted and logged as warnings; a request with the token is never delayed.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        token: str,
        feedback_tokens: Sequence[FeedbackToken],
        instruments: AdminInstruments,
    ) -> None:
        self._app = app
        tokens = {_ADMIN: token, **{one.name: one.token for one in feedback_tokens}}
        self._gate = TokenGate(tokens, lambda why: instruments.refusals.labels(why).inc())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        owner = self._gate.owner(scope["headers"])
        route = (scope["method"], scope["path"])
        allowed = route in _OPEN or owner == _ADMIN or (owner is not None and route in _FOR_SENDERS)
        request = {
            "method": scope["method"],
            "path": scope["path"],
            "client": scope["client"][0] if scope["client"] else None,
            **({"sender": owner} if owner else {}),
        }
        # Before anything is done, so that even a change that ends the process is in the log.
        (logger.info if allowed else logger.warning)("admin", **request, allowed=allowed)
        if not allowed:
            error = await self._gate.refusal(scope["headers"], "every admin request needs the token")
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
