"""Shadow bundles: they compute images that others have answered; only their own windows see the results.

A shadow never slows an answer: it computes in the worker's spare time, and under load its images are the
first to be shed, and counted.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import structlog

from calibration.decision import Decision
from monitoring.events import SHADOW_MARK, prediction_event
from monitoring.metrics.instruments import Instruments
from service.compute.predictor import Stopwatch, decide_image
from service.compute.spare_time import SpareTime, SpareWork
from service.http.bodies import ImageReader
from service.lineup.deployment import Deployment
from service.lineup.lineup import Dealt
from service.window_client import WindowClient

logger = structlog.get_logger("demur.shadow")


@dataclass(frozen=True, slots=True)
class AnsweredImage:
    """An image that has been answered, for what is done with it afterwards."""

    read: ImageReader
    size: int
    """Bytes of memory that it occupies, about"""
    request_id: str
    unit_id: str | None
    slice: str | None = None
    """Value of the certificate's column that the request gave"""
    dealt: str | None = None
    """What was dealt to an arm, if neither the unit nor the id of the image says it: the id of the batch"""


def shadow_id(request_id: str, deployment: Deployment) -> str:
    """The id of a shadow's prediction. No client can send it, because the mark is in no valid id."""
    return f"{request_id}{SHADOW_MARK}{deployment.version}"


class Shadows:
    """The shadows of one worker; used from one event loop."""

    def __init__(self, spare: SpareTime, windows: WindowClient, instruments: Instruments) -> None:
        self._spare = spare
        self._windows = windows
        self._counter = instruments.shadows

    def offer(self, shadows: Sequence[Dealt], image: AnsweredImage) -> None:
        """Queue the image for each shadow, or shed it; never waits."""
        for shadow in shadows:
            deployment = shadow.deployment
            self._spare.offer(
                SpareWork(
                    partial(decide_image, deployment, image.read, float("inf"), Stopwatch(), "image"),
                    partial(self._settle, shadow, image),
                    partial(self._count, deployment.label, "shed"),
                    image.size,
                    deployment.label,
                )
            )

    def _settle(
        self,
        shadow: Dealt,
        image: AnsweredImage,
        decision: Decision | None,
        error: BaseException | None,
    ) -> None:
        label = shadow.deployment.label
        if decision is None:
            # No answer depends on it: the champion's has been sent.
            logger.error("shadow_failed", bundle=label, request_id=image.request_id, exc_info=error)
            self._count(label, "failed")
            return
        self._count(label, decision.decision)
        self._windows.record_prediction(
            prediction_event(
                decision,
                request_id=shadow_id(image.request_id, shadow.deployment),
                bundle=label,
                at=time.time(),
                unit_id=image.unit_id,
                exposure=shadow.exposure,
                dealt=image.dealt,
            )
        )

    def _count(self, label: str, outcome: str) -> None:
        self._counter.labels(label, outcome).inc()
