"""Quotas: images and labels per second of one client, over all workers together.

A client is an X-Api-Key or, without one, an address. The keys are not checked here: they tell clients
apart that come through one proxy. Labels that come with a token are counted by the token's name, so that no
stranger uses up the quota of a known sender.

One time is stored per client: when everything that it has requested would be due at its rate (the generic
cell rate algorithm, ITU-T I.371, which admits the same requests as a token bucket). The times lie in memory
that the workers share, in two cells per client; other clients may fall into the same cells. The earlier time
counts, as in a count-min sketch with conservative update (Estan and Varghese, SIGCOMM 2002). So the memory
is bounded whatever names are made up, and a client waits for others only if both its cells are shared.
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

from service.errors import QuotaExceeded
from service.settings import Settings

API_KEY = "X-Api-Key"
CELLS_PER_CLIENT = 16
"""At full occupancy about one client in seventy shares both of its cells."""
_ROUNDING = 1e-9
"""Seconds"""


class Quotas:
    """Quotas in shared memory, passed to the workers as they are spawned. There is no lock: two workers that
    admit the same client within a microsecond may count one image instead of two.
    """

    def __init__(self, rate: float, burst: int, clients: int, clock: Callable[[], float] = monotonic) -> None:
        """`rate`: images per second; `burst`: images at once; `clients`: number of clients to tell apart;
        `clock`: seconds, the same in every process.
        """
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._count = clients * CELLS_PER_CLIENT
        self._due: MutableSequence[float] = get_context("spawn").RawArray("d", self._count)
        # Keyed, so that no name can be computed that falls into another client's cells.
        self._secret = os.urandom(16)

    @classmethod
    def of(cls, settings: Settings) -> Self | None:
        """None without a quota in the settings."""
        if settings.quota_rate is None:
            return None
        return cls(settings.quota_rate, settings.quota_burst, settings.quota_clients)

    def admit(self, client: bytes) -> None:
        """Count one image. Raises QuotaExceeded, with the time to wait."""
        cells, now = self._cells(client), self._clock()
        due = self._due_at(cells)
        wait = due - now - (self._burst - 1) / self._rate
        if wait > _ROUNDING:
            raise QuotaExceeded(
                f"this client may ask for {self._rate:g} images a second, {self._burst} at once",
                field=API_KEY,
                limit=self._rate,
                retry_after=max(1, math.ceil(wait)),
            )
        self._postpone(cells, max(due, now) + 1 / self._rate)

    def charge(self, client: bytes, images: int) -> None:
        """Count images of a request that has been admitted, even beyond the quota."""
        cells = self._cells(client)
        self._postpone(cells, max(self._due_at(cells), self._clock()) + images / self._rate)

    def _cells(self, client: bytes) -> tuple[int, int]:
        digest = blake2b(client, digest_size=16, key=self._secret).digest()
        return (
            int.from_bytes(digest[:8]) % self._count,
            int.from_bytes(digest[8:]) % self._count,
        )

    def _due_at(self, cells: tuple[int, int]) -> float:
        return min(self._due[cell] for cell in cells)

    def _postpone(self, cells: tuple[int, int], due: float) -> None:
        for cell in cells:
            self._due[cell] = max(self._due[cell], due)


def client_of(request: Request, sender: str | None = None) -> bytes:
    """Identity of the client, or of the sender whose token the request carries; of a key only the digest is
    kept."""
    if sender is not None:
        # No key holds a zero byte, so none can stand for a sender.
        return sha256(b"\0" + sender.encode()).digest()
    key = request.headers.get(API_KEY)
    if key is not None:
        return sha256(key.encode()).digest()
    return b"" if request.client is None else request.client.host.encode()
