"""GET /fleet, and the way back of a followed fleet: one record, which every service adopts."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any, Final

import structlog
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from bundle.registry.generation import Change
from bundle.registry.promotions import sent_back
from service.admin.experiment_bodies import parsed
from service.admin.followed import FollowedFleet, registry_faults, required, values_of
from service.admin.promotion_bodies import EndBody
from service.http.bodies import read_json
from service.openapi import fleet as openapi
from service.responses import json_response

_BY: Final = "the private port"
_REASON: Final = "rolled back through the private port"

logger = structlog.get_logger("demur.fleet")


def add_fleet_routes(app: FastAPI, followed: FollowedFleet | None) -> None:
    """Add the routes that change nothing to the admin application."""

    @app.get("/fleet", summary="The fleet and its services", openapi_extra=openapi.FLEET)
    async def fleet(request: Request) -> Response:
        return json_response(await asyncio.to_thread(_seen, required(followed)))


async def roll_back_fleet(request: Request, fleet: FollowedFleet) -> Response:
    """The answer to POST /rollback while a registry is followed."""
    content = await request.body()
    told = {"by": _BY, "reason": _REASON}
    if content:
        told |= parsed(EndBody, read_json(request.headers, content)).model_dump()
    change = Change(time.time(), told["by"], told["reason"])
    found = await asyncio.to_thread(_rolled_back, fleet, change)
    logger.warning("fleet_rolled_back", fleet=fleet.name, generation=found["generation"], **told)
    return json_response(found)


def _seen(fleet: FollowedFleet) -> dict[str, Any]:
    with registry_faults():
        return values_of(fleet, fleet.newest())


def _rolled_back(fleet: FollowedFleet, change: Change) -> dict[str, Any]:
    with registry_faults():
        return values_of(fleet, fleet.change(partial(sent_back, change=change)))
