"""From bytes to a decision: waits for a core, then decodes and runs the cascade on one thread.

One image is one job, from its bytes to its decision. On a CPU batching gains nothing, and a single hop
between threads costs less than several.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import perf_counter
from typing import Final, TypeVar

from bundle.decode import ImageError
from calibration.decision import STAGE_NAMES, Decision, decide_stage, to_decision
from monitoring.instruments import Instruments
from service.admission import Admission, Lane, deadline_passed
from service.deployment import Deployment
from service.problems import RequestError, problem_of_image

STEPS: Final = ("queue", "read", "decode", "stage_a", "stage_b")
_STAGE_STEPS: Final = ("stage_a", "stage_b")

_Result = TypeVar("_Result")


@dataclass(slots=True)
class Stopwatch:
    """Seconds by step."""

    seconds: dict[str, float] = field(default_factory=dict)
    _mark: float = field(default_factory=perf_counter)
    _began: float = field(default_factory=perf_counter)

    def lap(self, step: str) -> None:
        """The time since the last lap was spent on `step`."""
        now = perf_counter()
        self.seconds[step] = now - self._mark
        self._mark = now

    def milliseconds(self) -> dict[str, float]:
        """By step, and in `total`."""
        timing = {step: round(1e3 * spent, 3) for step, spent in self.seconds.items()}
        timing["total"] = round(1e3 * (perf_counter() - self._began), 3)
        return timing


@dataclass(frozen=True, slots=True)
class Prediction:
    """A decided image."""

    decision: Decision
    watch: Stopwatch


class Predictor:
    """Runs jobs on as many threads as there are cores for it."""

    def __init__(self, cores: int, queue_limit: int, instruments: Instruments) -> None:
        self.admission = Admission(cores, queue_limit)
        self._pool = ThreadPoolExecutor(cores, thread_name_prefix="predict")
        self._observe = {step: instruments.inference_duration.labels(step).observe for step in STEPS}

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
        """Decide one image. `read` yields its bytes and runs on the worker thread.

        `deadline` as of `time.perf_counter`; `field` names the image in a problem. Raises RequestError.
        """
        watch = Stopwatch()
        async with self.admission.slot(lane, deadline, bounded=bounded):
            watch.lap("queue")
            loop = asyncio.get_running_loop()
            job = loop.run_in_executor(self._pool, decide_image, deployment, read, deadline, watch, field)
            decision = await to_its_end(job)
        for step, spent in watch.seconds.items():
            self._observe[step](spent)
        return Prediction(decision, watch)

    async def read(self, read: Callable[[], _Result], deadline: float) -> _Result:
        """Take a batch's body apart on a worker thread, in the batches' lane. Raises RequestError."""
        async with self.admission.slot(Lane.BATCH, deadline):
            loop = asyncio.get_running_loop()
            return await to_its_end(loop.run_in_executor(self._pool, read))

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


async def to_its_end(job: asyncio.Future[_Result]) -> _Result:
    """The job's result. A thread cannot be stopped: its core is taken until it is done, even where
    nobody waits for the result any more."""
    try:
        return await asyncio.shield(job)
    except asyncio.CancelledError:
        await asyncio.wait([job])
        raise


def decide_image(
    deployment: Deployment, read: Callable[[], bytes], deadline: float, watch: Stopwatch, field: str
) -> Decision:
    """Decide one image on this thread; raises RequestError as `Predictor.predict` does."""
    _in_time(deadline)
    encoded = read()
    watch.lap("read")
    try:
        pixels = deployment.runner.pixels(encoded)
    except ImageError as error:
        raise RequestError(problem_of_image(error, field)) from error
    watch.lap("decode")
    last = len(deployment.point.stages) - 1
    for index, rule in enumerate(deployment.point.stages):
        _in_time(deadline)
        outcome = decide_stage(deployment.runner.score(index, [pixels]), rule)
        watch.lap(_STAGE_STEPS[index])
        if outcome.answered[0] or index == last:
            break
    return to_decision(outcome, 0, STAGE_NAMES[index])


def _in_time(deadline: float) -> None:
    if perf_counter() > deadline:
        raise deadline_passed()
