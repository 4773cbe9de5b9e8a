"""How much one client may ask for: a token bucket a client, a token an image or a label.

A client is whoever sends the same X-Api-Key, or else the same address. The keys are not checked here:
they tell clients apart that come through one proxy. The memory is bounded: a bucket that has filled up
says nothing and is forgotten, and where too many have not, newcomers share one.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from time import monotonic

from starlette.requests import Request

from service.problems import refused

API_KEY = "X-Api-Key"


@dataclass(slots=True)
class _Bucket:
    tokens: float
    """Below zero after a batch: it is paid for by waiting longer."""
    at: float


class Quotas:
    """The buckets of one worker; used from one event loop."""

    def __init__(
        self, rate: float, burst: int, most_clients: int, clock: Callable[[], float] = monotonic
    ) -> None:
        """`rate`: tokens a second; `burst`: tokens of a full bucket."""
        self._rate = rate
        self._burst = burst
        self._most = most_clients
        self._clock = clock
        self._buckets: OrderedDict[bytes, _Bucket] = OrderedDict()
        """The one used longest ago comes first."""
        self._shared = _Bucket(burst, clock())

    def __len__(self) -> int:
        return len(self._buckets)

    def admit(self, client: bytes) -> None:
        """Take one token. Raises RequestError (429) where there is none, with the time to wait."""
        bucket = self._bucket(client)
        if bucket.tokens < 1:
            wait = (1 - bucket.tokens) / self._rate
            raise refused(
                "quota-exceeded",
                429,
                f"this client may ask for {self._rate:g} images a second, {self._burst} at once",
                field=API_KEY,
                limit=self._rate,
                headers={"Retry-After": str(max(1, math.ceil(wait)))},
            )
        bucket.tokens -= 1

    def charge(self, client: bytes, tokens: int) -> None:
        """Take tokens for work that has been admitted, also where there are not so many."""
        self._bucket(client).tokens -= tokens

    def _bucket(self, client: bytes) -> _Bucket:
        now = self._clock()
        bucket = self._buckets.get(client)
        if bucket is None:
            bucket = self._new(client, now)
        else:
            self._buckets.move_to_end(client)
        self._fill(bucket, now)
        return bucket

    def _new(self, client: bytes, now: float) -> _Bucket:
        while self._buckets:
            longest_ago = next(iter(self._buckets.values()))
            self._fill(longest_ago, now)
            if longest_ago.tokens < self._burst:
                break
            self._buckets.popitem(last=False)
        if len(self._buckets) >= self._most:
            return self._shared
        return self._buckets.setdefault(client, _Bucket(self._burst, now))

    def _fill(self, bucket: _Bucket, now: float) -> None:
        bucket.tokens = min(float(self._burst), bucket.tokens + self._rate * (now - bucket.at))
        bucket.at = now


def client_of(request: Request) -> bytes:
    """Who asks; of a key only its digest is kept."""
    key = request.headers.get(API_KEY)
    if key is not None:
        return sha256(key.encode()).digest()
    return b"" if request.client is None else request.client.host.encode()
