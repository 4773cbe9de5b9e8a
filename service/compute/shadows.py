"""Shadow bundles: they compute images that others have answered; only their own windows see the results.

A shadow never slows an answer: it begins only while a slot is free, on a thread of the lowest priority, after
the answer; under load its images are the first to be shed, and counted.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog

from calibration.decision import Decision
from monitoring.events import prediction_event
from monitoring.metrics.instruments import Instruments
from service.compute.admission import Admission
from service.compute.predictor import Stopwatch, decide_image
from service.compute.threads import GivenUp, Task, ThreadPool
from service.errors import ComputeTimeout
from service.http.bodies import ImageReader
from service.lineup.deployment import Deployment
from service.window_client import WindowClient

_POLL: Final = 0.01
"""Seconds between two checks for a free slot."""
_LOWEST_PRIORITY: Final = 19

logger = structlog.get_logger("demur.shadow")


@dataclass(frozen=True, slots=True)
class AnsweredImage:
    """An image that has been answered, for the shadows."""

    read: ImageReader
    size: int
    """Bytes of memory that it occupies, about"""
    request_id: str
    unit_id: str | None


def shadow_id(request_id: str, deployment: Deployment) -> str:
    """The id of a shadow's prediction. No client can send it, because `~` is in no valid id."""
    return f"{request_id}~{deployment.version}"


class Shadows:
    """Queue of one worker's shadows; used from one event loop."""

    def __init__(
        self,
        admission: Admission,
        windows: WindowClient,
        instruments: Instruments,
        *,
        max_images: int,
        max_bytes: int,
    ) -> None:
        """`max_images`, `max_bytes`: of the images that wait."""
        self._admission = admission
        self._windows = windows
        self._counter = instruments.shadows
        self._max_images = max_images
        self._max_bytes = max_bytes
        self._waiting: deque[tuple[Deployment, AnsweredImage]] = deque()
        self._bytes = 0
        self._filled = asyncio.Event()
        self._thread = ThreadPool(1, "shadow", max_delay=0.0, initializer=_lower_priority)
        self._task = asyncio.create_task(self._run())

    def offer(self, deployments: Sequence[Deployment], image: AnsweredImage) -> None:
        """Queue the image for each shadow, or shed it; never waits."""
        for deployment in deployments:
            full = len(self._waiting) >= self._max_images or self._bytes + image.size > self._max_bytes
            if full:
                self._counter.labels(deployment.label, "shed").inc()
                continue
            self._waiting.append((deployment, image))
            self._bytes += image.size
            self._filled.set()

    @property
    def lost(self) -> int:
        """Number of threads that were given up and still compute"""
        return self._thread.lost

    def give_up_overdue(self, limit: float) -> list[GivenUp]:
        """Give up an image that takes more than `limit` seconds; a new thread goes on with the others."""
        return self._thread.give_up_overdue(limit, ComputeTimeout)

    async def close(self, limit: float = 3600.0) -> None:
        """Shed the images that wait, and let the one in progress end, within `limit` seconds."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        for deployment, _ in self._waiting:
            self._counter.labels(deployment.label, "shed").inc()
        self._waiting.clear()
        await asyncio.to_thread(self._thread.close, limit)

    async def _run(self) -> None:
        while True:
            await self._filled.wait()
            while self._waiting:
                while self._admission.running >= self._admission.slots:
                    await asyncio.sleep(_POLL)
                deployment, image = self._waiting.popleft()
                self._bytes -= image.size
                await self._compute(deployment, image)
                # These names must not keep a removed bundle in memory.
                del deployment, image
            self._filled.clear()

    async def _compute(self, deployment: Deployment, image: AnsweredImage) -> None:
        work = partial(decide_image, deployment, image.read, float("inf"), Stopwatch(), "image")
        result: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()
        self._thread.put([Task(work, partial(_settle, result), deployment.label)], lambda seconds: None)
        try:
            decision = await result
        except Exception:
            # No answer depends on it: the champion's has been sent.
            logger.exception("shadow_failed", bundle=deployment.label, request_id=image.request_id)
            self._counter.labels(deployment.label, "failed").inc()
            return
        self._counter.labels(deployment.label, decision.decision).inc()
        self._windows.record_prediction(
            prediction_event(
                decision,
                request_id=shadow_id(image.request_id, deployment),
                bundle=deployment.label,
                at=time.time(),
                unit_id=image.unit_id,
            )
        )


def _settle(result: asyncio.Future[Decision], decision: Decision, error: BaseException | None) -> None:
    """Deliver an outcome, if it is still awaited."""
    if result.done():
        return
    if error is None:
        result.set_result(decision)
    else:
        result.set_exception(error)


def _lower_priority() -> None:
    # On Linux this is the priority of the thread; elsewhere it would be that of the whole process.
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST_PRIORITY)
