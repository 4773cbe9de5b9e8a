"""Observability of every request: its id, its log line, its metrics, and the answer to an internal error.
Pure ASGI, outermost."""

from __future__ import annotations

from time import perf_counter
from typing import Any, Final

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from monitoring.metrics.instruments import Instruments
from service.http.request_ids import replaced_id, request_id_of
from service.logs import RequestLines
from service.problems import CLIENT_GONE, INTERNAL, is_error

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_QUIET: Final = frozenset({"/livez", "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready"})
"""Paths that machines poll every few seconds; logged only when they fail."""

logger = structlog.get_logger("demur.http")


class Observability:
    """Middleware that puts `request_id` into the scope's state and into every log line of the request."""

    def __init__(self, app: ASGIApp, *, instruments: Instruments, lines: RequestLines) -> None:
        self._app = app
        self._duration = instruments.http_duration
        self._lines = lines
        self._children: dict[tuple[str, str, int], Any] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = perf_counter()
        given = _header(scope, b"x-request-id")
        request_id = request_id_of(given)
        scope["state"]["request_id"] = request_id
        scope["state"]["replaced_id"] = replaced_id(given, request_id)
        structlog.contextvars.bind_contextvars(request_id=request_id)
        encoded = request_id.encode()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", encoded)]
                if scope["state"]["replaced_id"] is not None:
                    message["headers"].append((b"x-request-id-replaced", b"true"))
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except ClientDisconnect:
            status = status or CLIENT_GONE
        except Exception:
            logger.exception("request_failed", path=scope["path"])
            if status:
                raise
            await INTERNAL.to_response(request_id)(scope, receive, send_with_id)
        finally:
            self._record(scope, status, perf_counter() - began, request_id)

    def _record(self, scope: Scope, status: int, seconds: float, request_id: str) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
        key = (method, route, status)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = self._duration.labels(method, route, str(status))
        child.observe(seconds)
        if is_error(status) or scope["path"] not in _QUIET:
            self._lines.write(
                {
                    "request_id": request_id,
                    "method": scope["method"],
                    "path": scope["path"],
                    "status": status,
                    "duration_ms": round(1e3 * seconds, 2),
                }
            )


def _header(scope: Scope, wanted: bytes) -> str | None:
    for name, value in scope["headers"]:
        if name == wanted:
            return str(value.decode("latin-1"))
    return None
