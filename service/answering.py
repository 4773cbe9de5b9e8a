"""Answering: what /predict and the Open Inference Protocol share. The deadline and the unit of a request, and
the record of each decided image."""

from __future__ import annotations

import random
import time
from time import perf_counter
from typing import Any

from starlette.requests import Request

from monitoring.events import prediction_event
from service.compute.predictor import Prediction
from service.compute.shadows import AnsweredImage
from service.errors import InvalidField
from service.http.request_ids import well_formed
from service.lineup.deployment import Deployment
from service.responses import prediction_body
from service.state import Service


def deadline_of(request: Request, service: Service) -> float:
    """The time at which the answer is due, as of `time.perf_counter`. Raises InvalidField."""
    longest = service.settings.deadline
    header = request.headers.get("x-deadline-ms")
    if header is None:
        return perf_counter() + longest
    if not (header.isascii() and header.isdigit() and len(header) <= 9 and int(header) > 0):
        raise InvalidField(
            "X-Deadline-Ms must be a whole number of milliseconds, at least 1",
            field="X-Deadline-Ms",
            value=header[:64],
            limit=round(1000 * longest),
        )
    return perf_counter() + min(longest, int(header) / 1000)


def unit_of(request: Request) -> str | None:
    """The X-Unit-Id, if it is well formed."""
    unit = request.headers.get("x-unit-id")
    return unit if unit is not None and well_formed(unit) else None


def record_answer(
    service: Service, deployment: Deployment, prediction: Prediction, image: AnsweredImage
) -> dict[str, Any]:
    """Count and record a decided image and offer it to the shadows. Returns the body of its answer."""
    decision = prediction.decision
    audit = random.random() < service.settings.audit_share
    service.instruments.decisions.labels(deployment.label, decision.stage, decision.decision).inc()
    if decision.reason is not None:
        service.instruments.abstentions.labels(deployment.label, decision.reason).inc()
    service.windows.record_prediction(
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
