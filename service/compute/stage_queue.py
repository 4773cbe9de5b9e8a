"""Micro-batches of one stage: the images that wait for it are computed together.

Who waits comes from decoding or from the stage before, of any request, so what stage A leaves joins
stage B's batches. A batch begins when it is full, or when nobody who could still join it is on the way,
or after `LONGEST_GATHERING`: a lone image never waits for company. It takes a core before images that are
not decoded yet, since it ends what has begun.

The queue is bounded, has the two lanes of `service.compute.admission`, and drops who waits past the deadline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Final

from bundle.images.decode import PixelArray
from bundle.runner import CascadeStage, compute_stage
from calibration.scores import StageOutputs
from service.compute.admission import Admission, Lane, Lanes, Waiter, deadline_passed

_Outcome = StageOutputs | Exception
"""Of one image; outputs of n = 1"""

LONGEST_GATHERING: Final = 0.002
"""Seconds that an image waits for others at most, while a core would be free for it."""


@dataclass(frozen=True, slots=True)
class StageResult:
    """A stage's outputs for one image."""

    outputs: StageOutputs
    """n = 1"""
    waited: float
    """Seconds in the queue"""


@dataclass(slots=True, eq=False)
class _Place(Waiter[StageResult]):
    pixels: PixelArray = field(kw_only=True)
    deadline: float = field(kw_only=True)
    since: float = field(default_factory=perf_counter)


class StageQueue:
    """The queue in front of one stage of one bundle; used from one event loop."""

    def __init__(
        self,
        name: str,
        stage: CascadeStage,
        size: int,
        admission: Admission,
        *,
        limit: int,
        on_the_way: Callable[[], int],
        observe: Callable[[float], None],
    ) -> None:
        """`size`: images a batch, at most. `limit`: images that may wait. `on_the_way`: how many images
        may still come from earlier steps. `observe` is told the size of each batch."""
        if size < 1:
            raise ValueError(f"size is {size}; a batch has at least 1 image")
        self._name = name
        self._stage = stage
        self._size = size
        self._admission = admission
        self._limit = limit
        self._on_the_way = on_the_way
        self._observe = observe
        self._lanes: Lanes[_Place] = Lanes()
        self._waiting = 0
        self._computing = 0
        self._calls = 0
        """Batches that have been called for and have not got a core yet"""
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """Images in the queue"""
        return self._waiting

    @property
    def present(self) -> int:
        """Images in the queue or being computed"""
        return self._waiting + self._computing

    def score(
        self, pixels: PixelArray, deadline: float, lane: Lane = Lane.SINGLE, *, bounded: bool = True
    ) -> asyncio.Future[StageResult]:
        """The stage's outputs for one image; RequestError (504) where the deadline passes before it is
        computed. `deadline` as of `time.perf_counter`.

        Raises RequestError (503) at once where the queue is full, unless it is not `bounded`.
        """
        if bounded and self._waiting >= self._limit:
            raise self._admission.full(f"images for stage {self._name}", self._waiting, self._limit)
        loop = asyncio.get_running_loop()
        place = _Place(loop.create_future(), pixels=pixels, deadline=deadline)
        if place.since > deadline:
            raise deadline_passed()
        place.timer = loop.call_later(deadline - place.since, self._expire, place)
        self._lanes.put(lane, place)
        self._waiting += 1
        self._call_if_due()
        return place.result

    def _call_if_due(self) -> None:
        """Call for a batch, or wait a little for those who are on the way.

        Whoever waits is called for, or the timer runs: batches that have been called for have room for
        all the others.
        """
        not_called_for = self._waiting - self._calls * self._size
        if not_called_for <= 0:
            return
        if not_called_for >= self._size or not self._on_the_way():
            self._call()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LONGEST_GATHERING, self._gathered_enough)

    def _gathered_enough(self) -> None:
        self._timer = None
        if self._waiting > self._calls * self._size:
            self._call()

    def _call(self) -> None:
        self._calls += 1
        self._admission.run_begun(self._gather)

    def _gather(self) -> tuple[Callable[[], list[_Outcome]], Callable[..., None]] | None:
        """The next batch, now that a core is free; None where nobody is left."""
        self._calls -= 1
        places: list[_Place] = []
        now = perf_counter()
        while len(places) < self._size and (place := self._lanes.take()) is not None:
            if place.begin():
                self._waiting -= 1
                if place.deadline < now:
                    place.fail(deadline_passed())
                else:
                    places.append(place)
            elif place.result.cancelled():
                self._waiting -= 1
        if not places:
            return None
        self._computing += len(places)
        self._observe(len(places))
        work = partial(_compute_each, self._stage, [place.pixels for place in places])
        return work, partial(self._scatter, places, now)

    def _scatter(
        self,
        places: Sequence[_Place],
        began: float,
        outcomes: Sequence[_Outcome] | None,
        error: BaseException | None,
    ) -> None:
        """`outcomes` is None where there is an `error`: the thread was told to stop."""
        self._computing -= len(places)
        for row, place in enumerate(places):
            outcome = error if outcomes is None else outcomes[row]
            if isinstance(outcome, StageOutputs):
                place.settle(StageResult(outcome, began - place.since))
            elif outcome is not None:
                place.fail(outcome)

    def _expire(self, place: _Place) -> None:
        if not place.result.done():
            self._waiting -= 1
            place.fail(deadline_passed())


def _compute_each(stage: CascadeStage, images: Sequence[PixelArray]) -> list[_Outcome]:
    """Each image's outputs, or its error. Where they cannot be computed together, each is tried alone, so
    that the one that is at fault fails, and its company does not."""
    try:
        outputs = compute_stage(stage, images)
    except Exception as error:
        if len(images) == 1:
            return [error]
        return [outcome for image in images for outcome in _compute_each(stage, [image])]
    return [outputs.take(slice(row, row + 1)) for row in range(len(images))]
