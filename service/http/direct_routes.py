"""Direct routes: the shortest path to the endpoints that serve most requests.

These endpoints read and write bytes themselves, so FastAPI has nothing to inject, validate or serialise
for them, and its machinery costs more than the rest of a request outside the model. They stay FastAPI's
routes: their OpenAPI documents come from there, and every request without an exact match goes there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar, cast, overload

from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import RequestError

_Default = TypeVar("_Default")

Endpoint = Callable[[Request], Awaitable[Response]]


class DirectHeaders(Headers):
    """Headers of a request, found by name in a dictionary instead of by a scan per look-up."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope=scope)
        # Of a repeated header the first one counts, as in Starlette.
        self._first = dict(reversed(scope["headers"]))

    @overload
    def get(self, key: str, /) -> str | None: ...

    @overload
    def get(self, key: str, default: _Default, /) -> str | _Default: ...

    def get(self, key: str, default: Any = None, /) -> Any:
        value = self._first.get(key.lower().encode("latin-1"))
        return default if value is None else value.decode("latin-1")


class DirectRequest(Request):
    """Request whose body is read as a whole."""

    @property
    def headers(self) -> DirectHeaders:
        if not hasattr(self, "_direct_headers"):
            self._direct_headers = DirectHeaders(self.scope)
        return self._direct_headers

    async def body(self) -> bytes:
        """The whole body. Raises ClientDisconnect."""
        pieces: list[bytes] = []
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            pieces.append(message.get("body", b""))
            if not message.get("more_body", False):
                return pieces[0] if len(pieces) == 1 else b"".join(pieces)


class DirectRoutes:
    """Middleware in front of an application: calls an endpoint by method and path."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        routes: Iterable[BaseRoute],
        refuse: Callable[[Request, RequestError], Response],
        around: Callable[[ASGIApp], ASGIApp] = lambda app: app,
    ) -> None:
        """`routes`: routes whose endpoints take the request alone; `refuse` makes the answer to a
        RequestError; `around`: middleware that these routes keep."""
        self._app = app
        self._direct = around(self._answer)
        self._refuse = refuse
        self._routes = {
            (method, route.path): route
            for route in routes
            if isinstance(route, APIRoute)
            for method in route.methods or ()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._routes.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if route is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = route
        await self._direct(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = DirectRequest(scope, receive, send)
        try:
            response = await cast("Endpoint", scope["route"].endpoint)(request)
        except RequestError as error:
            response = self._refuse(request, error)
        await response(scope, receive, send)
