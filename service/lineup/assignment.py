"""Which bundle answers a request while an experiment runs.

A unit (a camera, a user) falls on the same point of [0, 1) every time, by a hash, on every worker and
after every restart; each challenger has an interval of its share's length, and the champion the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256


def arm_of(shares: Sequence[float], experiment: str, salt: str, unit: str) -> int | None:
    """Index of the share that `unit` falls to; None: to the champion.

    `shares`: at most 1 in sum. SHA-256 of SALT:EXPERIMENT:UNIT decides; another salt or another name
    deals the units anew.
    """
    digest = sha256(f"{salt}:{experiment}:{unit}".encode()).digest()
    point = int.from_bytes(digest[:8]) / 2**64
    for index, share in enumerate(shares):
        if point < share:
            return index
        point -= share
    return None
