"""Predictor: from the bytes of an image to its decision, through admission, decoding and the cascade.

If batching gains nothing, as on a CPU, an image is one job on one thread, from its bytes to its decision: a
single hop between threads costs less than several. If the stages of a bundle compute batches, decoding is a
job of its own, and each stage has a queue (`service.compute.stage_queue`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Final, TypeVar
from weakref import WeakKeyDictionary

from bundle.images.decode import PixelArray
from bundle.images.errors import ImageError
from bundle.runner import CascadeRunner, compute_stage
from calibration.decision import STAGE_KEYS, STAGE_NAMES, Decision, StageCall, run_cascade, run_to_completion
from calibration.scores import StageOutputs
from monitoring.metrics.instruments import Instruments
from service.compute.admission import Admission, Lane
from service.compute.stage_queue import StageQueue
from service.errors import DeadlinePassed, ImageRefused
from service.lineup.deployment import Deployment

_STAGE_STEPS: Final = tuple(f"stage_{key}" for key in STAGE_KEYS)
STEPS: Final = ("queue", "read", "decode", *_STAGE_STEPS)

_Result = TypeVar("_Result")


@dataclass(slots=True)
class Stopwatch:
    """Seconds per step of one prediction."""

    seconds: dict[str, float] = field(default_factory=dict)
    _mark: float = field(default_factory=perf_counter)
    _began: float = field(init=False)

    def __post_init__(self) -> None:
        self._began = self._mark

    def lap(self, step: str, *, queued: float = 0.0) -> None:
        """Enter the time since the last lap under `step`, `queued` seconds of it under `queue`."""
        now = perf_counter()
        self.seconds[step] = now - self._mark - queued
        if queued:
            self.seconds["queue"] = self.seconds.get("queue", 0.0) + queued
        self._mark = now

    def milliseconds(self) -> dict[str, float]:
        """Milliseconds per step, and in `total`."""
        timing = {step: round(1e3 * spent, 3) for step, spent in self.seconds.items()}
        timing["total"] = round(1e3 * (perf_counter() - self._began), 3)
        return timing


@dataclass(frozen=True, slots=True)
class Prediction:
    """A decided image."""

    decision: Decision
    timing_ms: Mapping[str, float]
    """Milliseconds per step, and in `total` until the decision"""


class Predictor:
    """Decides images on `cores` threads; used from one event loop."""

    def __init__(self, cores: int, queue_limit: int, instruments: Instruments) -> None:
        self.admission = Admission(cores, queue_limit)
        self._queue_limit = queue_limit
        self._observe = {step: instruments.inference_duration.labels(step).observe for step in STEPS}
        self._observe_batch = [instruments.batch_size.labels(name).observe for name in STAGE_NAMES]
        self._queues: WeakKeyDictionary[CascadeRunner, tuple[StageQueue, ...]] = WeakKeyDictionary()
        """Queues of each loaded bundle"""
        self._decoding = 0

    async def predict(
        self,
        deployment: Deployment,
        read: Callable[[], bytes],
        deadline: float,
        lane: Lane = Lane.SINGLE,
        *,
        field: str = "image",
        bounded: bool = True,
    ) -> Prediction:
        """Decide one image. `read` returns its bytes and runs on a thread of the pool.

        `deadline` as of `time.perf_counter`; `field` names the image in a problem document; not `bounded`:
        wait even in a full queue. Raises RequestError.
        """
        watch = Stopwatch()
        if max(deployment.batch_sizes) == 1:
            work = partial(decide_image, deployment, read, deadline, watch, field)
            decision = await self.admission.run(lane, deadline, work, bounded=bounded, owner=deployment.label)
        else:
            decision = await self._decide_in_batches(deployment, read, deadline, lane, watch, field, bounded)
        for step, spent in watch.seconds.items():
            self._observe[step](spent)
        return Prediction(decision, watch.milliseconds())

    def split(self, split: Callable[[], _Result], deadline: float) -> asyncio.Future[_Result]:
        """Split the body of a batch on a thread of the pool, in the batches' lane. Raises RequestError."""
        return self.admission.run(Lane.BATCH, deadline, split, alone=True)

    def concurrency(self, deployment: Deployment) -> int:
        """Number of images of one request that keep all cores busy and the stages' batches full."""
        return self.admission.slots * max(deployment.batch_sizes)

    def waiting_by_stage(self) -> tuple[int, ...]:
        """Number of images in the queues of stages A and B, over all bundles."""
        waiting = [0] * len(STAGE_NAMES)
        for queues in self._queues.values():
            for index, queue in enumerate(queues):
                waiting[index] += queue.waiting
        return tuple(waiting)

    def close(self, limit: float = 3600.0) -> None:
        """Wait for the work that has begun, `limit` seconds at most."""
        self.admission.close(limit)

    async def _decide_in_batches(
        self,
        deployment: Deployment,
        read: Callable[[], bytes],
        deadline: float,
        lane: Lane,
        watch: Stopwatch,
        field: str,
        bounded: bool,
    ) -> Decision:
        queues = self._queues_of(deployment)
        self._decoding += 1
        try:
            work = partial(decode_image, deployment.runner, read, watch, field)
            pixels = await self.admission.run(
                lane, deadline, work, bounded=bounded, alone=True, owner=deployment.label
            )
        finally:
            self._decoding -= 1
        walk = run_cascade(deployment.point, 1)
        call = next(walk)
        while True:
            result = await queues[call.stage].score(pixels, deadline, lane, bounded=bounded)
            watch.lap(_STAGE_STEPS[call.stage], queued=result.waited)
            try:
                call = walk.send(result.outputs)
            except StopIteration as end:
                decisions: list[Decision] = end.value
                return decisions[0]

    def _queues_of(self, deployment: Deployment) -> tuple[StageQueue, ...]:
        queues = self._queues.get(deployment.runner)
        if queues is None:
            made: list[StageQueue] = []
            for index, stage in enumerate(deployment.runner.stages):
                queue = StageQueue(
                    STAGE_NAMES[index],
                    stage,
                    deployment.batch_sizes[index],
                    self.admission,
                    owner=deployment.label,
                    limit=self._queue_limit,
                    upstream=partial(self._upstream, tuple(made)),
                    observe=self._observe_batch[index],
                )
                made.append(queue)
            queues = self._queues[deployment.runner] = tuple(made)
        return queues

    def _upstream(self, earlier: tuple[StageQueue, ...]) -> int:
        return self._decoding + sum(queue.present for queue in earlier)


def decide_image(
    deployment: Deployment, read: Callable[[], bytes], deadline: float, watch: Stopwatch, field: str
) -> Decision:
    """Decide one image on this thread. Raises RequestError as `Predictor.predict` does."""
    runner = deployment.runner
    pixels = decode_image(runner, read, watch, field)

    def compute(call: StageCall) -> StageOutputs:
        if perf_counter() > deadline:
            raise DeadlinePassed
        outputs = compute_stage(runner.stages[call.stage], [pixels])
        watch.lap(_STAGE_STEPS[call.stage])
        return outputs

    (decision,) = run_to_completion(run_cascade(deployment.point, 1), compute)
    return decision


def decode_image(
    runner: CascadeRunner, read: Callable[[], bytes], watch: Stopwatch, field: str
) -> PixelArray:
    """The pixels of one image, at the size that all stages need. Raises RequestError."""
    watch.lap("queue")
    encoded = read()
    watch.lap("read")
    try:
        pixels = runner.pixels(encoded)
    except ImageError as error:
        raise ImageRefused(error, field) from error
    watch.lap("decode")
    return pixels
