"""How much one client may ask for: so many images or labels a second, whichever worker is asked.

A client is whoever sends the same X-Api-Key, or else the same address. The keys are not checked here:
they tell clients apart that come through one proxy.

Of each client one time is known: when everything that it has asked for would be due at its rate (the
generic cell rate algorithm, ITU-T I.371; it admits what a bucket of tokens would). The times lie in memory
that the workers share, in two cells a client that others may fall into too; the earlier one counts, as in
a count-min sketch with conservative update (Estan and Varghese, SIGCOMM 2002). So the memory is bounded
whatever names are made up, and a client waits for others only where both its cells are theirs as well.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, MutableSequence
from hashlib import blake2b, sha256
from multiprocessing import get_context
from time import monotonic
from typing import Self

from starlette.requests import Request

from service.problems import refused
from service.settings import Settings

API_KEY = "X-Api-Key"
CELLS_A_CLIENT = 16
"""With as many clients as are to be told apart, one in some seventy shares both cells."""
_ROUNDING = 1e-9
"""Seconds"""


class Quotas:
    """One for all workers: it goes to those that are spawned. It takes no lock: two that admit the same
    client within a microsecond may count one image where there were two.
    """

    def __init__(self, rate: float, burst: int, clients: int, clock: Callable[[], float] = monotonic) -> None:
        """`rate`: images a second; `burst`: images at once; `clients`: how many to tell apart;
        `clock`: the same in every process.
        """
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._count = clients * CELLS_A_CLIENT
        self._due: MutableSequence[float] = get_context("spawn").RawArray("d", self._count)
        # So that nobody can work out a name that falls into another client's cells.
        self._secret = os.urandom(16)

    @classmethod
    def of(cls, settings: Settings) -> Self | None:
        """None where no quota is set."""
        if settings.quota_rate is None:
            return None
        return cls(settings.quota_rate, settings.quota_burst, settings.quota_clients)

    def admit(self, client: bytes) -> None:
        """Count one image. Raises RequestError (429) where it is one too many, with the time to wait."""
        cells, now = self._cells(client), self._clock()
        due = self._due_at(cells)
        wait = due - now - (self._burst - 1) / self._rate
        if wait > _ROUNDING:
            raise refused(
                "quota-exceeded",
                429,
                f"this client may ask for {self._rate:g} images a second, {self._burst} at once",
                field=API_KEY,
                limit=self._rate,
                headers={"Retry-After": str(max(1, math.ceil(wait)))},
            )
        self._put_off(cells, max(due, now) + 1 / self._rate)

    def charge(self, client: bytes, images: int) -> None:
        """Count images of a request that has been admitted, also where they are too many."""
        cells = self._cells(client)
        self._put_off(cells, max(self._due_at(cells), self._clock()) + images / self._rate)

    def _cells(self, client: bytes) -> tuple[int, int]:
        digest = blake2b(client, digest_size=16, key=self._secret).digest()
        return (
            int.from_bytes(digest[:8]) % self._count,
            int.from_bytes(digest[8:]) % self._count,
        )

    def _due_at(self, cells: tuple[int, int]) -> float:
        return min(self._due[cell] for cell in cells)

    def _put_off(self, cells: tuple[int, int], due: float) -> None:
        for cell in cells:
            self._due[cell] = max(self._due[cell], due)


def client_of(request: Request) -> bytes:
    """Who asks; of a key only its digest is kept."""
    key = request.headers.get(API_KEY)
    if key is not None:
        return sha256(key.encode()).digest()
    return b"" if request.client is None else request.client.host.encode()
