"""Clients that record the outcome of every request: predictions, and the labels that follow them."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter
from types import TracebackType
from typing import Self

import uvloop

from harness.connection import KeepAlive, post_head

_TRY_AGAIN = 0.02
_PATIENCE = 60.0


@dataclass(slots=True)
class Tally:
    """Outcomes of the requests."""

    answered: int = 0
    """Predictions answered with 200"""
    labelled: int = 0
    """Labels answered with 202"""
    refused: Counter[int] = field(default_factory=Counter)
    """Other answers, by status"""
    dropped: Counter[str] = field(default_factory=Counter)
    """Connections that were made and broke before the answer, by error"""
    unreachable: int = 0
    """Connections that were never made, so that no request was accepted"""
    bundles: Counter[str] = field(default_factory=Counter)
    """Answers, by bundle"""
    latencies: list[tuple[float, float]] = field(default_factory=list)
    """(`perf_counter` at the answer, milliseconds)"""

    @property
    def lost(self) -> int:
        """Number of requests that were accepted and not answered."""
        return sum(self.dropped.values())


class Clients:
    """A context manager: inside, `clients` clients send requests without pause, each after its last answer.

    They continue through a stop and restart of the server. Runs on a thread of its own.
    """

    def __init__(
        self,
        address: tuple[str, int],
        images: Sequence[bytes],
        clients: int,
        *,
        feedback: bool = False,
        name: str = "clients",
    ) -> None:
        """`feedback`: a label follows each answer. `name` begins every request id."""
        self.tally = Tally()
        self._address = address
        self._images = images
        self._clients = clients
        self._feedback = feedback
        self._name = name
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=lambda: uvloop.run(self._run()), name="clients")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()

    def leave(self) -> None:
        """Wait for the last answer of every client, and end."""
        self._leaving.set()
        self._thread.join(_PATIENCE)

    async def _run(self) -> None:
        await asyncio.gather(*(self._client(number) for number in range(self._clients)))

    async def _client(self, number: int) -> None:
        connection: KeepAlive | None = None
        labels: deque[str] = deque()
        turn = number
        while not self._leaving.is_set() or labels:
            if connection is None:
                try:
                    connection = await KeepAlive.open(self._address)
                except OSError:
                    self.tally.unreachable += 1
                    if self._leaving.is_set():
                        return
                    await asyncio.sleep(_TRY_AGAIN)
                    continue
            try:
                if labels:
                    last = await self._label(connection, labels.popleft(), turn % 2)
                else:
                    turn += 1
                    request_id = f"{self._name}-{number}-{turn}"
                    last, answered = await self._predict(connection, request_id, turn)
                    if answered and self._feedback:
                        labels.append(request_id)
            except OSError as error:
                self.tally.dropped[type(error).__name__] += 1
                last = True
            if last:
                connection.close()
                connection = None
        if connection is not None:
            connection.close()

    async def _predict(self, connection: KeepAlive, request_id: str, turn: int) -> tuple[bool, bool]:
        """(whether the connection ends, whether there was an answer)"""
        image = self._images[turn % len(self._images)]
        began = perf_counter()
        head = post_head("/predict", "image/jpeg", len(image), {"X-Request-Id": request_id})
        answer = await connection.ask(head, image)
        if answer.status != 200:
            self.tally.refused[answer.status] += 1
            return answer.closes, False
        self.tally.answered += 1
        now = perf_counter()
        self.tally.latencies.append((now, 1e3 * (now - began)))
        bundle = json.loads(answer.body).get("bundle")
        if bundle is not None:
            self.tally.bundles[bundle["name"]] += 1
        return answer.closes, True

    async def _label(self, connection: KeepAlive, request_id: str, label: int) -> bool:
        body = json.dumps({"request_id": request_id, "label": label}).encode()
        head = post_head("/feedback", "application/json", len(body), {"X-Request-Id": f"{request_id}-f"})
        answer = await connection.ask(head, body)
        if answer.status == 202:
            self.tally.labelled += 1
        else:
            self.tally.refused[answer.status] += 1
        return answer.closes
