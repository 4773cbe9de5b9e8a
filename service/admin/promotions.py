"""Routes of promotions, while a registry is followed: begin, resume, approve and abort one, and look at it.

Approvals and aborts are records of the fleet. Only to begin one, or to go on with one whose promoter has
died, a promoter is started.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import structlog
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from bundle.registry.generation import Approval, Change, Generation, PromotionState
from bundle.registry.promotions import aborted, approved, running
from service.admin.changes import while_connected
from service.admin.experiment_bodies import parsed
from service.admin.fleet_values import promotion_values
from service.admin.followed import FollowedFleet, registry_faults, required
from service.admin.promoter import Promoter, PromoterRun, PromotionOrder
from service.admin.promotion_bodies import ApproveBody, EndBody, PromoteBody, ResumeBody
from service.errors import NoPromoter, NoPromotion, PromotionRefused
from service.http.bodies import read_json
from service.lineup.fleet import Cancelled
from service.openapi import fleet as openapi
from service.responses import json_response

_PATIENCE: Final = 120.0
"""Seconds to wait for a promoter's first record, or for its end"""
_LOOK: Final = 0.5

logger = structlog.get_logger("demur.promotion")


def add_promotion_routes(app: FastAPI, followed: FollowedFleet | None, promoter: Promoter | None) -> None:
    """Add the routes to the admin application. `promoter`: None: none can be started here."""

    @app.get("/promotions", summary="The promotion, running or last", openapi_extra=openapi.PROMOTIONS)
    async def promotions(request: Request) -> Response:
        return json_response(await asyncio.to_thread(_shown, required(followed)))

    @app.post("/promotions", summary="Begin a promotion", openapi_extra=openapi.PROMOTE)
    async def promote(request: Request) -> Response:
        body = parsed(PromoteBody, read_json(request.headers, await request.body()))
        fleet, starter = required(followed), _able(promoter)
        begin = partial(_begin, fleet, starter, body)
        return json_response(await while_connected(request, begin))

    @app.post("/promotions/resume", summary="Go on with a promotion", openapi_extra=openapi.RESUME)
    async def resume(request: Request) -> Response:
        body = parsed(ResumeBody, read_json(request.headers, await request.body()))
        fleet, starter = required(followed), _able(promoter)
        return json_response(await while_connected(request, partial(_resume, fleet, starter, body.by)))

    @app.post("/promotions/approve", summary="Approve a promotion", openapi_extra=openapi.APPROVE)
    async def approve(request: Request) -> Response:
        body = parsed(ApproveBody, read_json(request.headers, await request.body()))
        at, why = time.time(), f"approved: {body.comment}"
        build = partial(
            approved, approval=Approval(at, body.by, body.comment), change=Change(at, body.by, why)
        )
        found = await asyncio.to_thread(_changed, required(followed), build)
        logger.warning("promotion_approved", **_named(found), **body.model_dump())
        return json_response(found)

    @app.post("/promotions/abort", summary="End a promotion", openapi_extra=openapi.ABORT)
    async def abort(request: Request) -> Response:
        body = parsed(EndBody, read_json(request.headers, await request.body()))
        build = partial(aborted, change=Change(time.time(), body.by, body.reason))
        found = await asyncio.to_thread(_changed, required(followed), build)
        logger.warning("promotion_aborted", **_named(found), **body.model_dump())
        return json_response(found)


def _able(promoter: Promoter | None) -> Promoter:
    if promoter is None:
        raise NoPromoter
    return promoter


def _shown(fleet: FollowedFleet) -> dict[str, Any]:
    with registry_faults():
        return _values(fleet, fleet.newest())


def _changed(fleet: FollowedFleet, build: Callable[[Generation | None], Generation]) -> dict[str, Any]:
    with registry_faults():
        return _values(fleet, fleet.change(build))


def _begin(fleet: FollowedFleet, promoter: Promoter, body: PromoteBody, gone: Cancelled) -> dict[str, Any]:
    with registry_faults(body.bundle):
        ref, now = fleet.resolve(body.bundle), fleet.newest()
    state = running(now)
    if state is not None:
        raise PromotionRefused(
            f"the promotion {state.id} of {state.newcomer.label} runs, in phase {state.phase}; wait for its "
            "end, or end it with POST /promotions/abort",
            field="bundle",
            value=body.bundle,
        )
    run = promoter.begin(PromotionOrder(fleet.name, body.by, body.reason, ref.digest, body.plan))
    before = None if now is None or now.promotion is None else now.promotion.id
    logger.warning(
        "promotion_asked_for", bundle=ref.label, by=body.by, why=body.reason, output=str(run.output)
    )
    return _first_record(fleet, run, lambda state: state.id != before, gone)


def _resume(fleet: FollowedFleet, promoter: Promoter, by: str, gone: Cancelled) -> dict[str, Any]:
    with registry_faults():
        state = running(fleet.newest())
    if state is None:
        raise NoPromotion("no promotion runs, so there is none to go on with")
    run, term = promoter.begin(PromotionOrder(fleet.name, by)), state.term
    logger.warning("promotion_resumed", promotion=state.id, by=by, output=str(run.output))
    return _first_record(fleet, run, lambda state: state.term > term, gone)


def _first_record(
    fleet: FollowedFleet, run: PromoterRun, taken: Callable[[PromotionState], bool], gone: Cancelled
) -> dict[str, Any]:
    """The promotion as soon as its promoter has written a record. Raises PromotionRefused if it ends before,
    with its last words."""
    due = time.monotonic() + _PATIENCE
    while True:
        said = run.ended()
        with registry_faults():
            now = fleet.newest()
        if now is not None and now.promotion is not None and taken(now.promotion):
            return _values(fleet, now)
        if said is not None:
            raise PromotionRefused(said)
        if gone() or time.monotonic() > due:
            return _values(fleet, now)
        time.sleep(_LOOK)


def _values(fleet: FollowedFleet, now: Generation | None) -> dict[str, Any]:
    found = None if now is None else promotion_values(now.promotion)
    return {"fleet": fleet.name, "generation": None if now is None else now.number, "promotion": found}


def _named(found: dict[str, Any]) -> dict[str, Any]:
    return {"fleet": found["fleet"], "promotion": found["promotion"]["id"]}
