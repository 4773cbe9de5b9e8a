"""Several images of one request: as many abreast as keep the cores busy, whatever the request's size.

Where deciding them fails as a whole, nothing of it goes on: the images that wait are let go before the
failure is told, so that nothing is computed for an answer that nobody gets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from service.compute.admission import Lane
from service.compute.predictor import Prediction, Predictor
from service.http.bodies import ImageReader
from service.lineup.deployment import Deployment
from service.problems import RequestError

_Outcome = TypeVar("_Outcome")


@dataclass(frozen=True, slots=True)
class Several:
    """The images of one request; their results come in the same order."""

    predictor: Predictor
    deployment: Deployment
    readers: Sequence[ImageReader]
    deadline: float
    """As of `time.perf_counter`"""
    field: str
    """A problem names its image `field[index]`."""

    async def decide_all(self) -> list[Prediction]:
        """Every image decided, or the RequestError of the first one that has one."""
        return await self._abreast(self._decide)

    async def decide_each(self) -> list[Prediction | RequestError]:
        """The same, but an image that cannot be decided leaves the others as they are."""
        return await self._abreast(self._decide_or_say_why_not)

    async def _decide(self, index: int) -> Prediction:
        return await self.predictor.predict(
            self.deployment,
            self.readers[index],
            self.deadline,
            Lane.BATCH,
            field=f"{self.field}[{index}]",
            bounded=False,
        )

    async def _decide_or_say_why_not(self, index: int) -> Prediction | RequestError:
        try:
            return await self._decide(index)
        except RequestError as error:
            return error

    async def _abreast(self, decide: Callable[[int], Awaitable[_Outcome]]) -> list[_Outcome]:
        places = asyncio.Semaphore(self.predictor.abreast(self.deployment))

        async def one(index: int) -> _Outcome:
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
