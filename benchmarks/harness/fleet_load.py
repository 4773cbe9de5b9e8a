"""Load on the services of a fleet that checks each answer against what its bundle says of the image.

An answer is *mixed* if decision, label, stage and probability are not those that the bundle it names gives,
computed without a service, or if that bundle is none of the fleet's. A service *turns back* if it answers
with the bundle that was left a request which began after it had answered another with the bundle of now.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, Final, Self

import uvloop

from bundle.loader import load_bundle
from harness.connection import KeepAlive, post_head

Address = tuple[str, int]
_TRY_AGAIN: Final = 0.02
_PATIENCE: Final = 60.0
_PER_CONNECTION: Final = 50
"""Requests of one connection, so that every worker of a service gets some"""
_ROUNDING: Final = 1e-4
"""Largest difference of a probability between two computations of one image in float32"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a bundle says of one image."""

    decision: str
    label: int | None
    stage: str | None
    probability: float

    @classmethod
    def of_body(cls, body: Mapping[str, Any]) -> Self:
        """Of an answer of /predict."""
        return cls(body["decision"], body["label"], body["stage"], body["probability"])

    def agrees(self, other: Answer) -> bool:
        """Whether both are answers of one bundle to one image."""
        equal = (self.decision, self.label, self.stage) == (other.decision, other.label, other.stage)
        return equal and abs(self.probability - other.probability) <= _ROUNDING


def answers_of(bundle: Path, images: Sequence[bytes]) -> list[Answer]:
    """What a bundle says of each image, computed without a service."""
    return [
        Answer(one.decision, one.label, one.stage, one.probabilities[1])
        for one in load_bundle(bundle).runner.decide(images)
    ]


@dataclass(frozen=True, slots=True)
class Seen:
    """One answered prediction."""

    service: int
    began: float
    """`perf_counter` before the request was sent"""
    ended: float
    version: str


@dataclass(slots=True)
class FleetTally:
    """What the clients of a fleet have seen."""

    seen: list[Seen] = field(default_factory=list)
    mixed: list[str] = field(default_factory=list)
    """Answers that no bundle of the fleet gives, in words"""
    dropped: Counter[str] = field(default_factory=Counter)
    """Connections that were made and broke before the answer, by error"""
    refused: Counter[int] = field(default_factory=Counter)
    """Answers with another status than 200, of predictions and labels"""
    unreachable: int = 0
    """Connections that were never made, so that no request was accepted"""
    labelled: int = 0
    """Labels that were taken"""

    @property
    def lost(self) -> int:
        """Predictions that were accepted and got no answer, or a refusal."""
        return sum(self.dropped.values()) + sum(self.refused.values())

    def versions(self, since: float = 0.0) -> Counter[str]:
        """Answers by version, of the requests that began at `since` or later."""
        return Counter(one.version for one in self.seen if one.began >= since)

    def last(self, version: str) -> float | None:
        """When the last answer of a version came."""
        return max((one.ended for one in self.seen if one.version == version), default=None)

    def turned_back(self, left: str, now: str, since: float) -> int:
        """Answers of `left` to requests that began after the same service had answered with `now`."""
        first: dict[int, float] = {}
        for one in self.seen:
            if one.version == now and one.began >= since:
                first[one.service] = min(one.ended, first.get(one.service, one.ended))
        return sum(
            one.version == left and one.began > first.get(one.service, float("inf")) for one in self.seen
        )


class FleetLoad:
    """A context manager: inside, clients of each service send one request after another, through restarts."""

    def __init__(
        self,
        services: Sequence[Address],
        images: Sequence[bytes],
        bundles: Iterable[tuple[str, Path]],
        *,
        clients: int = 2,
        pause: float = 0.0,
        units: int = 10_000,
        truths: Sequence[int] | None = None,
    ) -> None:
        """`bundles`: version and folder of each bundle that may answer. `clients`: per service, and `pause`
        the seconds between two requests of one. `units`: different ones, in turn. `truths`: the class of
        each image; then a label follows each answer that asks for one."""
        self.tally = FleetTally()
        self._services = services
        self._images = images
        self._reference = {version: answers_of(folder, images) for version, folder in bundles}
        self._clients = clients
        self._pause = pause
        self._units = units
        self._truths = truths
        self._turn = 0
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=lambda: uvloop.run(self._run()), name="fleet-load")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for the last answer of every client, and end."""
        self._leaving.set()
        self._thread.join(_PATIENCE)

    def admit(self, version: str, folder: Path) -> None:
        """A further bundle may answer."""
        self._reference[version] = answers_of(folder, self._images)

    async def _run(self) -> None:
        await asyncio.gather(
            *(self._client(number) for number in range(len(self._services)) for _ in range(self._clients))
        )

    async def _client(self, service: int) -> None:
        while not self._leaving.is_set():
            try:
                connection = await KeepAlive.open(self._services[service])
            except OSError:
                self.tally.unreachable += 1
                await asyncio.sleep(_TRY_AGAIN)
                continue
            try:
                await self._converse(connection, service)
            except OSError as error:
                self.tally.dropped[type(error).__name__] += 1
            finally:
                connection.close()

    async def _converse(self, connection: KeepAlive, service: int) -> None:
        for _ in range(_PER_CONNECTION):
            if self._leaving.is_set() or await self._predict(connection, service):
                return
            if self._pause:
                await asyncio.sleep(self._pause)

    async def _predict(self, connection: KeepAlive, service: int) -> bool:
        """Whether the connection ends."""
        turn, self._turn = self._turn, self._turn + 1
        number = turn % len(self._images)
        image, unit = self._images[number], {"X-Unit-Id": f"u{turn % self._units}"}
        head = post_head("/predict", "image/jpeg", len(image), unit)
        began = perf_counter()
        answer = await connection.ask(head, image)
        if answer.status != 200:
            self.tally.refused[answer.status] += 1
            return answer.closes
        body = json.loads(answer.body)
        self._check(body, number, Seen(service, began, perf_counter(), body["bundle"]["version"]))
        if self._truths is not None and body["audit"] and not answer.closes:
            return await self._label(connection, body["request_id"], self._truths[number])
        return answer.closes

    def _check(self, body: Mapping[str, Any], number: int, seen: Seen) -> None:
        self.tally.seen.append(seen)
        found, reference = Answer.of_body(body), self._reference.get(seen.version)
        if reference is None:
            self.tally.mixed.append(f"{seen.version} is no bundle of the fleet")
        elif not found.agrees(reference[number]):
            self.tally.mixed.append(f"{seen.version} says {found} of image {number}, not {reference[number]}")

    async def _label(self, connection: KeepAlive, request_id: str, label: int) -> bool:
        content = json.dumps({"request_id": request_id, "label": label}).encode()
        answer = await connection.ask(post_head("/feedback", "application/json", len(content)), content)
        if answer.status == 202:
            self.tally.labelled += 1
        else:
            self.tally.refused[answer.status] += 1
        return answer.closes
