"""POST /feedback and /feedback/batch: the true labels of predictions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Depends
from fastapi.security import HTTPBearer
from starlette.requests import Request
from starlette.responses import Response

from monitoring.events import FeedbackEvent
from service.compute.shadows import shadow_id
from service.errors import RequestError
from service.http.labels import Label, read_label, read_labels
from service.openapi import feedback as openapi
from service.problems import problem_of
from service.responses import json_response
from service.state import Service, service_of
from service.window_client import label_not_kept

router = APIRouter(tags=["labels"])
_token = Depends(HTTPBearer(auto_error=False, description=openapi.SENDER))
"""For the OpenAPI document alone; `_sender` asks for the token."""


@router.post(
    "/feedback", summary="Send the true label", openapi_extra=openapi.FEEDBACK, dependencies=[_token]
)
async def feedback(request: Request) -> Response:
    service = service_of(request)
    sender = await _sender(service, request)
    label = read_label(request.headers, await request.body(), service.deployments.champion.classes)
    if not await _record(service, [label], sender):
        raise label_not_kept()
    return json_response(_accepted(label), 202)


@router.post(
    "/feedback/batch", summary="Send many labels", openapi_extra=openapi.FEEDBACK_BATCH, dependencies=[_token]
)
async def feedback_batch(request: Request) -> Response:
    service = service_of(request)
    sender = await _sender(service, request)
    classes = service.deployments.champion.classes
    # On a thread: a full batch takes milliseconds, for which no other request should wait.
    read = await asyncio.to_thread(read_labels, request.headers, await request.body(), classes)
    service.charge(request, len(read) - 1, sender)
    labels = [one for _, one in read if isinstance(one, Label)]
    kept = await _record(service, labels, sender)
    if labels and not kept:
        raise label_not_kept()
    results: list[dict[str, Any]] = []
    places_left = kept
    for as_sent, one in read:
        if isinstance(one, Label) and places_left:
            places_left -= 1
            results.append(_accepted(one))
        else:
            error = one if isinstance(one, RequestError) else label_not_kept()
            results.append({"request_id": as_sent, "problem": _problem(service, error, as_sent)})
    return json_response({"accepted": kept, "results": results}, 202)


async def _sender(service: Service, request: Request) -> str | None:
    """The name under which labels are sent; None if labels are open. Counts one label against its quota.

    Raises Unauthorized without a right token, and QuotaExceeded.
    """
    gate, headers = service.label_gate, request.scope["headers"]
    sender = None if gate is None else gate.owner(headers)
    service.admit(request, sender)
    if gate is not None and sender is None:
        raise await gate.refusal(headers, "labels need a token; send it as Authorization: Bearer TOKEN")
    return sender


async def _record(service: Service, labels: Sequence[Label], sender: str | None) -> int:
    """Record labels, in their order, for the bundle that answered and for each shadow; how many are kept,
    whatever becomes of this worker."""
    at = time.time()
    kept = service.windows.record_feedback(
        [FeedbackEvent(one.request_id, one.label, at, sender) for one in labels]
    )
    for shadow in service.deployments.shadows:
        service.windows.record_feedback(
            [
                FeedbackEvent(shadow_id(one.request_id, shadow.deployment), one.label, at, sender)
                for one in labels[:kept]
            ]
        )
    await service.windows.settle()
    return kept


def _accepted(label: Label) -> dict[str, str]:
    return {"request_id": label.request_id, "status": "accepted"}


def _problem(service: Service, error: RequestError, as_sent: str | None) -> dict[str, Any]:
    """The document of one refused label; counts it."""
    problem = problem_of(error)
    service.instruments.refusals.labels(problem.kind).inc()
    return problem.to_dict(as_sent)
