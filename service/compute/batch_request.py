"""Batch request: the images of one request, as many at a time as keep the cores busy.

If a batch request fails as a whole, its waiting images leave the queue before the failure is raised, so that
nothing is computed for an answer that will not be sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from service.compute.admission import Lane
from service.compute.predictor import Prediction, Predictor
from service.errors import RequestError
from service.http.bodies import ImageReader
from service.lineup.deployment import Deployment

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """The images of one request; their results come in the same order."""

    predictor: Predictor
    deployment: Deployment
    readers: Sequence[ImageReader]
    deadline: float
    """As of `time.perf_counter`"""
    field: str
    """A problem document names its image `field[index]`."""

    async def decide_all(self) -> list[Prediction]:
        """Decide every image. Raises the first RequestError of an image."""
        return await self._run(self._decide)

    async def decide_each(self) -> list[Prediction | RequestError]:
        """Decide every image; an image that cannot be decided yields its error in place."""
        return await self._run(self._decide_or_error)

    async def _decide(self, index: int) -> Prediction:
        return await self.predictor.predict(
            self.deployment,
            self.readers[index],
            self.deadline,
            Lane.BATCH,
            field=f"{self.field}[{index}]",
            bounded=False,
        )

    async def _decide_or_error(self, index: int) -> Prediction | RequestError:
        try:
            return await self._decide(index)
        except RequestError as error:
            return error

    async def _run(self, decide: Callable[[int], Awaitable[_Result]]) -> list[_Result]:
        places = asyncio.Semaphore(self.predictor.concurrency(self.deployment))

        async def one(index: int) -> _Result:
            async with places:
                return await decide(index)

        jobs = [asyncio.create_task(one(index)) for index in range(len(self.readers))]
        try:
            return await asyncio.gather(*jobs)
        except BaseException:
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)
            raise
