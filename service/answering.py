"""Answering: what /predict and the Open Inference Protocol share. The deadline and the unit of a request, and
the record of each decided image."""

from __future__ import annotations

import time
from dataclasses import replace
from hashlib import blake2b
from time import perf_counter
from typing import Any, Final, cast

from starlette.requests import Request

from calibration.decision import Decision, suspend
from monitoring.events import FailureEvent, prediction_event
from monitoring.promise.items import NO_PART
from monitoring.promise.sampling import NOT_DRAWN, Draw
from service.compute.predictor import Prediction
from service.compute.shadows import AnsweredImage
from service.errors import ComputeTimeout, DeadlinePassed, InvalidField, QueueFull, RequestError
from service.http.bodies import ImageReader
from service.http.request_ids import well_formed
from service.lineup.deployment import Deployment
from service.lineup.lineup import Dealt
from service.problems import INTERNAL, KINDS, problem_of
from service.responses import prediction_body
from service.state import Service, request_id

_NOT_COUNTED: Final = frozenset({"no-promise", "suspended"})
"""Reasons of abstentions that say nothing about the images"""
_FAILURES: Final = frozenset(
    {*(KINDS[kind].kind for kind in (QueueFull, DeadlinePassed, ComputeTimeout)), INTERNAL.kind}
)
"""Problems that no image and no client has caused"""


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
    """The X-Unit-Id, also for the log line of the request; a long or odd one becomes a digest, so that its
    images are still those of one unit."""
    state = request.scope["state"]
    if "unit" not in state:
        unit = request.headers.get("x-unit-id", "").strip()
        plain = not unit or well_formed(unit)
        state["unit"] = (unit or None) if plain else _digest_of(unit)
    return cast("str | None", state["unit"])


def _digest_of(unit: str) -> str:
    return f"unit-{blake2b(unit.encode(), digest_size=16).hexdigest()}"


def dealt_to(request: Request, service: Service) -> Dealt:
    """What the unit of a request gets; a request without one is a unit of its own."""
    return service.deployments.answering(unit_of(request) or request_id(request))


def answered_image(request: Request, read: ImageReader, size: int, image_id: str) -> AnsweredImage:
    """An image of a request, with the unit and the slice that the request gives."""
    unit, whole = unit_of(request), request_id(request)
    dealt = None if unit is not None or image_id == whole else whole
    return AnsweredImage(read, size, image_id, unit, request.headers.get("x-slice"), dealt)


def record_answer(
    service: Service, to: Dealt, prediction: Prediction, image: AnsweredImage
) -> dict[str, Any]:
    """Count and record a decided image and offer it to the shadows. Returns the body of its answer, which is
    an abstention while the bundle is suspended."""
    deployment = to.deployment
    if deployment.label in service.promise.suspended:
        prediction = replace(prediction, decision=suspend(prediction.decision))
    decision = prediction.decision
    at = round(time.time(), 6)
    drawn = _draw(service, deployment, decision, image, at)
    service.instruments.decisions.labels(deployment.label, decision.stage, decision.decision).inc()
    if decision.reason is not None:
        service.instruments.abstentions.labels(deployment.label, decision.reason).inc()
    service.windows.record_prediction(
        prediction_event(
            decision,
            request_id=image.request_id,
            bundle=deployment.label,
            at=at,
            unit_id=image.unit_id,
            audit=drawn.audit,
            draw=drawn.draw,
            audit_probability=drawn.probability,
            part=_part(deployment, decision, image.slice),
            seconds=round(prediction.timing_ms["total"] / 1e3, 6),
            exposure=to.exposure,
            dealt=None if to.exposure is None else image.dealt,
        )
    )
    service.shadows.offer(service.deployments.shadows, image)
    service.drift.offer(deployment, image)
    return prediction_body(prediction, deployment, image.request_id, audit=drawn.audit)


def record_failure(service: Service, to: Dealt, request: Request, error: Exception, image_id: str) -> None:
    """Note that an arm of an experiment has not decided an image, if neither image nor client is at fault."""
    exposure = to.exposure
    problem = problem_of(error).kind if isinstance(error, RequestError) else INTERNAL.kind
    if exposure is None or problem not in _FAILURES:
        return
    unit, whole = unit_of(request), request_id(request)
    service.windows.record_prediction(
        FailureEvent(
            *(image_id, to.deployment.label, problem, round(time.time(), 6), unit),
            *(exposure.experiment, exposure.arm, exposure.stratum),
            dealt=None if unit is not None or image_id == whole else whole,
        )
    )


def _part(deployment: Deployment, decision: Decision, slice_value: str | None) -> str:
    if decision.label is None:
        return NO_PART
    terms, label = deployment.terms, decision.label
    # A certificate names its answers as the bundle names its classes, or by their numbers.
    return terms.part_of(deployment.classes[label], slice_value) or terms.part_of(str(label), slice_value)


def _draw(
    service: Service, deployment: Deployment, decision: Decision, image: AnsweredImage, at: float
) -> Draw:
    """Whether this frame is an audit. A bundle that may not answer at all has nothing to be audited."""
    if decision.reason in _NOT_COUNTED:
        return NOT_DRAWN
    weight = None if decision.label is None else deployment.audit_weight(decision.stage, decision.confidence)
    return service.sampler.draw(deployment.label, image.unit_id, at, weight)
