"""The shortest way to the routes that answer most requests.

They read and write bytes themselves, so FastAPI has nothing to inject, validate or serialise for them;
what it does all the same costs more than our own part of a request. They stay FastAPI's routes: their
documents come from there, and whatever is no exact match goes there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import cast

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from service.problems import RequestError

Endpoint = Callable[[Request], Awaitable[Response]]


class DirectRoutes:
    """Innermost of the middleware: calls a route's endpoint by method and path."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        routes: Iterable[BaseRoute],
        refuse: Callable[[Request, RequestError], Response],
    ) -> None:
        """`routes`: with an endpoint of the request alone; `refuse` makes the answer to a RequestError."""
        self._app = app
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
        request = Request(scope, receive, send)
        try:
            response = await cast("Endpoint", route.endpoint)(request)
        except RequestError as error:
            response = self._refuse(request, error)
        await response(scope, receive, send)
