"""POST /feedback: the true label of an earlier prediction. GET /rolling: the metrics of the labelled ones."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from monitoring.events import FeedbackEvent
from service.compute.shadows import shadow_id
from service.errors import InvalidField, MissingField, NoSuchBundle
from service.http.bodies import read_json
from service.http.request_ids import checked_id
from service.openapi import feedback as openapi
from service.responses import json_response
from service.state import service_of

router = APIRouter(tags=["labels"])


@router.post("/feedback", summary="Send the true label", openapi_extra=openapi.FEEDBACK)
async def feedback(request: Request) -> Response:
    service = service_of(request)
    service.admit(request)
    classes = service.deployments.champion.classes
    content = read_json(request.headers, await request.body())
    for name in ("request_id", "label"):
        if name not in content:
            raise MissingField(f"the body has no field {name!r}", field=name)
    own_id = checked_id(content["request_id"])
    label = _label(content["label"], classes)
    at = time.time()
    service.windows.record_feedback(FeedbackEvent(own_id, label, at))
    for deployment in service.deployments.shadows:
        service.windows.record_shadow_feedback(FeedbackEvent(shadow_id(own_id, deployment), label, at))
    return json_response({"request_id": own_id, "status": "accepted"}, 202)


def _label(value: Any, classes: Sequence[str]) -> int:
    """The index of a class from a whole number, also one that is written as 1.0, or from its name. Raises
    InvalidField."""
    if isinstance(value, str) and value in classes:
        return classes.index(value)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and 0 <= value < len(classes) and value == int(value):
        return int(value)
    raise InvalidField(
        f"label must be a whole number from 0 to {len(classes) - 1} or the name of a class",
        field="label",
        value=value if isinstance(value, str | int | float | bool) else None,
        limit=[0, len(classes) - 1],
    )


@router.get("/rolling", summary="Rolling MCC@100 and ACC@10", openapi_extra=openapi.ROLLING)
async def rolling(request: Request) -> Response:
    service = service_of(request)
    deployments = service.deployments
    champion = deployments.champion
    serving = {one.label: one for one in (champion, *(each.deployment for each in deployments.challengers))}
    label = request.query_params.get("bundle", champion.label)
    if label not in serving:
        raise NoSuchBundle(
            "this bundle does not serve", field="bundle", value=label[:200], limit=list(serving)
        )
    snapshot = await asyncio.to_thread(service.windows.rolling, label)
    figures = snapshot.to_dict(with_reward=serving[label].earns_reward)
    return json_response({**figures, "events_waiting": service.windows.waiting})
