"""POST /feedback: the true label of an earlier prediction; GET /rolling: what the labels say so far."""

from __future__ import annotations

import asyncio
import time

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from monitoring.events import FeedbackEvent
from service import documentation
from service.identity import checked_id
from service.problems import refused
from service.reading import read_json
from service.responses import json_response
from service.state import service_of

router = APIRouter(tags=["labels"])


@router.post("/feedback", summary="Send the true label", openapi_extra=documentation.FEEDBACK)
async def feedback(request: Request) -> Response:
    service = service_of(request)
    classes = len(service.deployments.champion.classes)
    content = read_json(request.headers, await request.body())
    for name in ("request_id", "label"):
        if name not in content:
            raise refused("missing-field", 422, f"the body has no field {name!r}", field=name)
    own_id = checked_id(content["request_id"])
    label = content["label"]
    if type(label) is not int or not 0 <= label < classes:
        raise refused(
            "invalid-field",
            422,
            f"label must be a whole number from 0 to {classes - 1}",
            field="label",
            value=label if isinstance(label, str | int | float | bool) else None,
            limit=[0, classes - 1],
        )
    service.admit(request)
    service.monitor.record_feedback(FeedbackEvent(own_id, label, time.time()))
    return json_response({"request_id": own_id, "status": "accepted"}, 202)


@router.get("/rolling", summary="Rolling MCC@100 and ACC@10", openapi_extra=documentation.ROLLING)
async def rolling(request: Request) -> Response:
    service = service_of(request)
    deployment = service.deployments.champion
    snapshot = await asyncio.to_thread(service.monitor.rolling, deployment.label)
    return json_response({**snapshot.to_dict(), "events_waiting": service.monitor.waiting})
