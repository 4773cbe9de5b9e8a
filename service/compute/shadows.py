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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import structlog

from calibration.decision import Decision
from monitoring.events import prediction_event
from monitoring.metrics.instruments import Instruments
from service.compute.admission import Admission
from service.compute.predictor import Stopwatch, decide_image
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
        self._pool = ThreadPoolExecutor(1, "shadow", initializer=_lower_priority)
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

    async def close(self) -> None:
        """Shed the images that wait, and let the one in progress end."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        for deployment, _ in self._waiting:
            self._counter.labels(deployment.label, "shed").inc()
        self._waiting.clear()
        await asyncio.to_thread(self._pool.shutdown)

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
        loop = asyncio.get_running_loop()
        job = loop.run_in_executor(
            self._pool, decide_image, deployment, image.read, float("inf"), Stopwatch(), "image"
        )
        try:
            decision: Decision = await _finished(job)
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


async def _finished(job: asyncio.Future[Decision]) -> Decision:
    """The result of the job. On cancellation it waits all the same: a thread cannot be stopped, and uses its
    core until it is done."""
    try:
        return await asyncio.shield(job)
    except asyncio.CancelledError:
        await asyncio.wait([job])
        raise


def _lower_priority() -> None:
    # On Linux this is the priority of the thread; elsewhere it would be that of the whole process.
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST_PRIORITY)
