"""Bundles in the shadow: they compute what others answer, and only their own windows see it.

A shadow never slows an answer: it begins only while a core is free, on a thread of the lowest priority,
after the answer has been worked out; and it is the first to be given up, counted, when there is much to
do.
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
from service.window_client import Monitor

_LOOK_AGAIN: Final = 0.01
"""Seconds between two looks at whether a core is free."""
_LOWEST_PRIORITY: Final = 19

logger = structlog.get_logger("demur.shadow")


@dataclass(frozen=True, slots=True)
class ShadowImage:
    """An image that has been answered."""

    read: ImageReader
    size: int
    """Bytes that it keeps in memory, about."""
    request_id: str
    unit_id: str | None


def shadow_id(request_id: str, deployment: Deployment) -> str:
    """The id of a shadow's prediction; no client can name it, since `~` is in no id of theirs."""
    return f"{request_id}~{deployment.version}"


class Shadows:
    """The shadows' queue of one worker; used from one event loop."""

    def __init__(
        self,
        admission: Admission,
        monitor: Monitor,
        instruments: Instruments,
        *,
        most_images: int,
        most_bytes: int,
    ) -> None:
        self._admission = admission
        self._monitor = monitor
        self._counter = instruments.shadows
        self._most_images = most_images
        self._most_bytes = most_bytes
        self._waiting: deque[tuple[Deployment, ShadowImage]] = deque()
        self._bytes = 0
        self._filled = asyncio.Event()
        self._pool = ThreadPoolExecutor(1, "shadow", initializer=_take_lowest_priority)
        self._task = asyncio.create_task(self._run())

    def offer(self, deployments: Sequence[Deployment], image: ShadowImage) -> None:
        """Let each of them compute the image some time, or shed it; never waits."""
        for deployment in deployments:
            full = len(self._waiting) >= self._most_images or self._bytes + image.size > self._most_bytes
            if full:
                self._counter.labels(deployment.label, "shed").inc()
                continue
            self._waiting.append((deployment, image))
            self._bytes += image.size
            self._filled.set()

    async def close(self) -> None:
        """Shed what waits, and let the one that is being computed end."""
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
                    await asyncio.sleep(_LOOK_AGAIN)
                deployment, image = self._waiting.popleft()
                self._bytes -= image.size
                await self._compute(deployment, image)
                # A bundle that is taken away meanwhile must not be kept in memory by this name.
                del deployment, image
            self._filled.clear()

    async def _compute(self, deployment: Deployment, image: ShadowImage) -> None:
        loop = asyncio.get_running_loop()
        job = loop.run_in_executor(
            self._pool, decide_image, deployment, image.read, float("inf"), Stopwatch(), "image"
        )
        try:
            decision: Decision = await _to_its_end(job)
        except Exception:
            # Nobody waits for it; the champion's answer has been given.
            logger.exception("shadow_failed", bundle=deployment.label, request_id=image.request_id)
            self._counter.labels(deployment.label, "failed").inc()
            return
        self._counter.labels(deployment.label, decision.decision).inc()
        self._monitor.record_prediction(
            prediction_event(
                decision,
                request_id=shadow_id(image.request_id, deployment),
                bundle=deployment.label,
                at=time.time(),
                unit_id=image.unit_id,
            )
        )


async def _to_its_end(job: asyncio.Future[Decision]) -> Decision:
    """The job's result. A thread cannot be stopped: its core is taken until it is done, even where
    nobody waits for the result any more."""
    try:
        return await asyncio.shield(job)
    except asyncio.CancelledError:
        await asyncio.wait([job])
        raise


def _take_lowest_priority() -> None:
    # On Linux this is the thread's own; elsewhere it would be the whole process's.
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST_PRIORITY)
