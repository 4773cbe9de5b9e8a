"""POST /predict and /predict/batch."""

from __future__ import annotations

import random
import time
from time import perf_counter
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from monitoring.events import prediction_event
from service.compute.batch_request import Several
from service.compute.predictor import Prediction
from service.compute.shadows import ShadowImage
from service.http.bodies import batch_reader, image_reader
from service.http.request_ids import image_id, well_formed
from service.lineup.deployment import Deployment
from service.openapi import predict as documentation
from service.problems import RequestError, refused
from service.responses import json_response, prediction_body
from service.state import Service, request_id, service_of

router = APIRouter(tags=["predict"])


@router.post("/predict", summary="Decide one image", openapi_extra=documentation.PREDICT)
async def predict(request: Request) -> Response:
    service = service_of(request)
    deployment = service.deployments.answering(unit_of(request) or request_id(request))
    deadline = deadline_of(request, service)
    service.admit(request)
    body = await request.body()
    read = image_reader(request.headers, body)
    prediction = await service.predictor.predict(deployment, read, deadline)
    image = ShadowImage(read, len(body), request_id(request), unit_of(request))
    return json_response(settle(service, deployment, prediction, image))


@router.post("/predict/batch", summary="Decide several images", openapi_extra=documentation.PREDICT_BATCH)
async def predict_batch(request: Request) -> Response:
    service = service_of(request)
    deployment = service.deployments.answering(unit_of(request) or request_id(request))
    deadline = deadline_of(request, service)
    predictor = service.predictor
    predictor.admission.refuse_if_full(predictor.admission.slots)
    service.admit(request)
    body = await request.body()
    read_all = batch_reader(request.headers, body, service.settings.max_batch_images)
    readers = await predictor.read(read_all, deadline)
    service.charge(request, len(readers) - 1)
    outcomes = await Several(predictor, deployment, readers, deadline, "images").decide_each()
    results = []
    for index, (read, outcome) in enumerate(zip(readers, outcomes, strict=True)):
        own_id = image_id(request_id(request), index)
        if isinstance(outcome, RequestError):
            service.instruments.refusals.labels(outcome.problem.kind).inc()
            results.append({"request_id": own_id, "problem": outcome.problem.to_dict(own_id)})
        else:
            image = ShadowImage(read, len(body) // len(readers), own_id, unit_of(request))
            results.append(settle(service, deployment, outcome, image))
    return json_response({"request_id": request_id(request), "results": results})


def settle(
    service: Service, deployment: Deployment, prediction: Prediction, image: ShadowImage
) -> dict[str, Any]:
    """Count and record a decided image and offer it to the shadows; the body of its answer."""
    decision = prediction.decision
    audit = random.random() < service.settings.audit_share
    service.instruments.decisions.labels(deployment.label, decision.stage, decision.decision).inc()
    service.monitor.record_prediction(
        prediction_event(
            decision,
            request_id=image.request_id,
            bundle=deployment.label,
            at=time.time(),
            unit_id=image.unit_id,
            audit=audit,
        )
    )
    service.shadows.offer(service.deployments.shadows, image)
    return prediction_body(prediction, deployment, image.request_id, audit=audit)


def unit_of(request: Request) -> str | None:
    """The X-Unit-Id, where it is well formed."""
    unit = request.headers.get("x-unit-id")
    return unit if unit is not None and well_formed(unit) else None


def deadline_of(request: Request, service: Service) -> float:
    """When the answer is due, as of `time.perf_counter`. Raises RequestError (422)."""
    longest = service.settings.deadline
    header = request.headers.get("x-deadline-ms")
    if header is None:
        return perf_counter() + longest
    if not (header.isascii() and header.isdigit() and len(header) <= 9 and int(header) > 0):
        raise refused(
            "invalid-field",
            422,
            "X-Deadline-Ms must be a whole number of milliseconds, at least 1",
            field="X-Deadline-Ms",
            value=header[:64],
            limit=round(1000 * longest),
        )
    return perf_counter() + min(longest, int(header) / 1000)
