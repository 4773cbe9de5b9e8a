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
from service.http.trace_context import trace_id_of
from service.logs.requests import RequestLines
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
        given, trace_id = _identity(scope)
        request_id = request_id_of(given)
        scope["state"]["request_id"] = request_id
        scope["state"]["replaced_id"] = replaced_id(given, request_id)
        structlog.contextvars.bind_contextvars(request_id=request_id)
        if trace_id is not None:
            structlog.contextvars.bind_contextvars(trace_id=trace_id)
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
            self._record(scope, status, perf_counter() - began, trace_id)

    def _record(self, scope: Scope, status: int, seconds: float, trace_id: str | None) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
        key = (method, route, status)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = self._duration.labels(method, route, str(status))
        child.observe(seconds)
        if is_error(status) or scope["path"] not in _QUIET:
            state = scope["state"]
            facts = {
                "request_id": state["request_id"],
                "method": scope["method"],
                "path": scope["path"],
                "status": status,
                "duration_ms": round(1e3 * seconds, 2),
            }
            if trace_id is not None:
                facts["trace_id"] = trace_id
            if state.get("unit") is not None:
                facts["unit"] = state["unit"]
            self._lines.write(facts, state.get("answers", ()))


def _identity(scope: Scope) -> tuple[str | None, str | None]:
    """X-Request-Id as it was given, and the trace id of `traceparent`."""
    given, traces = None, []
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            given = given or str(value.decode("latin-1"))
        elif name == b"traceparent":
            traces.append(value)
    # Of several traces none is the request's.
    return given, trace_id_of(traces[0]) if len(traces) == 1 else None
