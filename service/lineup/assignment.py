"""Assignment of units to bundles in an experiment.

A hash places a unit (a camera, a user) at the same point of [0, 1) every time, on every worker and after
every restart; each challenger has an interval as long as its share, and the champion has the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256


def arm_of(shares: Sequence[float], experiment: str, salt: str, unit: str) -> int | None:
    """Index of the share whose interval holds `unit`; None: the champion's.

    `shares`: at most 1 in sum. SHA-256 of SALT:EXPERIMENT:UNIT decides; another salt or another experiment
    assigns the units independently.
    """
    digest = sha256(f"{salt}:{experiment}:{unit}".encode()).digest()
    point = int.from_bytes(digest[:8]) / 2**64
    for index, share in enumerate(shares):
        if point < share:
            return index
        point -= share
    return None
