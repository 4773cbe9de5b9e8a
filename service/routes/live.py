"""GET /live: the public figures as server-sent events, for the page and for whoever watches."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from service.errors import StoreUnavailable
from service.openapi import live as openapi
from service.problems import problem_of
from service.routes.rolling import rolling_body
from service.routes.status import health_body
from service.state import Service, service_of

router = APIRouter(tags=["status"])


@router.get("/live", summary="The figures as they change", openapi_extra=openapi.LIVE)
async def live(request: Request) -> Response:
    service = service_of(request)
    return service.live.stream(partial(_events, service))


async def _events(service: Service) -> Mapping[str, bytes]:
    """The bodies of /health and /rolling, without what changes every second."""
    health = health_body(service)
    del health["uptime_seconds"], health["queue"]
    label = service.deployments.champion.label
    try:
        rolling = await asyncio.to_thread(rolling_body, service, label, service.settings.windows)
    except StoreUnavailable as error:
        return {"health": orjson.dumps(health), "problem": orjson.dumps(problem_of(error).to_dict())}
    return {"health": orjson.dumps(health), "rolling": orjson.dumps(rolling)}
