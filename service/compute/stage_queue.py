"""Micro-batches of one stage: images that wait for the same stage are computed together.

The images come from decoding or from the stage before, of any request, so the images that stage A leaves
undecided join stage B's batches. A batch begins when it is full, when no image that could still join it is
upstream, or after `MAX_GATHERING`: a lone image never waits for others. It takes a slot before images that
are not decoded yet, because it ends what has begun.

The queue is bounded, has the two lanes of `service.compute.admission`, and drops images past their deadline.
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
from service.compute.admission import Admission, Lane, Lanes, Waiter
from service.compute.threads import Task
from service.errors import ComputeTimeout, DeadlinePassed

_ImageResult = StageOutputs | Exception
"""Result of one image; outputs of n = 1"""

MAX_GATHERING: Final = 0.002
"""Seconds for which an image may wait for others while a slot would be free for it."""


@dataclass(frozen=True, slots=True)
class StageResult:
    """Outputs of a stage for one image."""

    outputs: StageOutputs
    """n = 1"""
    waited: float
    """Seconds in the queue"""


@dataclass(slots=True, eq=False)
class _Entry(Waiter[StageResult]):
    pixels: PixelArray = field(kw_only=True)
    deadline: float = field(kw_only=True)
    since: float = field(default_factory=perf_counter)


class StageQueue:
    """Queue in front of one stage of one bundle; used from one event loop."""

    def __init__(
        self,
        name: str,
        stage: CascadeStage,
        size: int,
        admission: Admission,
        *,
        owner: str,
        limit: int,
        upstream: Callable[[], int],
        observe: Callable[[float], None],
    ) -> None:
        """`size`: maximum number of images per batch. `owner`: label of the bundle. `limit`: images that may
        wait. `upstream`: number of images that may still come from earlier steps. `observe`: called with the
        size of each batch."""
        if size < 1:
            raise ValueError(f"size is {size}; a batch has at least 1 image")
        self._name = name
        self._stage = stage
        self._size = size
        self._admission = admission
        self._owner = owner
        self._limit = limit
        self._upstream = upstream
        self._observe = observe
        self._lanes: Lanes[_Entry] = Lanes()
        self._waiting = 0
        self._computing = 0
        self._requested = 0
        """Batches that have been requested and have no slot yet"""
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """Number of images in the queue"""
        return self._waiting

    @property
    def present(self) -> int:
        """Number of images in the queue or being computed"""
        return self._waiting + self._computing

    def score(
        self, pixels: PixelArray, deadline: float, lane: Lane = Lane.SINGLE, *, bounded: bool = True
    ) -> asyncio.Future[StageResult]:
        """Future of the stage's outputs for one image; DeadlinePassed if the deadline comes first.

        `deadline` as of `time.perf_counter`. Raises QueueFull at once, unless it is not `bounded`.
        """
        if bounded and self._waiting >= self._limit:
            raise self._admission.full(f"images for stage {self._name}", self._waiting, self._limit)
        loop = asyncio.get_running_loop()
        entry = _Entry(loop.create_future(), pixels=pixels, deadline=deadline)
        if entry.since > deadline:
            raise DeadlinePassed
        entry.timer = loop.call_later(deadline - entry.since, self._expire, entry)
        self._lanes.put(lane, entry)
        self._waiting += 1
        self._request_if_due()
        return entry.result

    def _request_if_due(self) -> None:
        """Request a batch, or start the timer for the images that are upstream.

        Every waiting image is either in a requested batch or covered by the timer.
        """
        without_batch = self._waiting - self._requested * self._size
        if without_batch <= 0:
            return
        if without_batch >= self._size or not self._upstream():
            self._request()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(MAX_GATHERING, self._gathering_over)

    def _gathering_over(self) -> None:
        self._timer = None
        if self._waiting > self._requested * self._size:
            self._request()

    def _request(self) -> None:
        self._requested += 1
        self._admission.run_next(self._gather)

    def _gather(self) -> Task | None:
        """The next batch, when a slot is free; None if no image is left."""
        self._requested -= 1
        entries: list[_Entry] = []
        now = perf_counter()
        while len(entries) < self._size and (entry := self._lanes.take()) is not None:
            if entry.begin():
                self._waiting -= 1
                if entry.deadline < now:
                    entry.set_exception(DeadlinePassed())
                else:
                    entries.append(entry)
            elif entry.result.cancelled():
                self._waiting -= 1
        if not entries:
            return None
        self._computing += len(entries)
        self._observe(len(entries))
        return self._task(entries, now)

    def _task(self, entries: Sequence[_Entry], now: float) -> Task:
        work = partial(_compute_each, self._stage, [entry.pixels for entry in entries])
        return Task(work, partial(self._scatter, entries, now), self._owner, len(entries))

    def _scatter(
        self,
        entries: Sequence[_Entry],
        began: float,
        outcomes: Sequence[_ImageResult] | None,
        error: BaseException | None,
    ) -> None:
        """`outcomes` is None with an `error`, which is none of an image (a MemoryError, for example)."""
        if isinstance(error, ComputeTimeout) and len(entries) > 1:
            # One of them keeps the model at work; the others are decided.
            for entry in entries:
                self._admission.run_next(partial(self._task, [entry], began))
            return
        self._computing -= len(entries)
        for row, entry in enumerate(entries):
            outcome = error if outcomes is None else outcomes[row]
            if isinstance(outcome, StageOutputs):
                entry.set_result(StageResult(outcome, began - entry.since))
            elif outcome is not None:
                entry.set_exception(outcome)

    def _expire(self, entry: _Entry) -> None:
        if not entry.result.done():
            self._waiting -= 1
            entry.set_exception(DeadlinePassed())


def _compute_each(stage: CascadeStage, images: Sequence[PixelArray]) -> list[_ImageResult]:
    """Outputs or error of each image. If the batch fails, each image is computed alone, so that only the
    image at fault fails."""
    try:
        outputs = compute_stage(stage, images)
    except Exception as error:
        if len(images) == 1:
            return [error]
        return [outcome for image in images for outcome in _compute_each(stage, [image])]
    return [outputs.take(slice(row, row + 1)) for row in range(len(images))]
