"""What every part of the serving benchmark is told."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from demur.profile.load import requests_for
from harness.figures import Measured


@dataclass(frozen=True, slots=True)
class Trial:
    """One model and how it is measured."""

    model: str
    bundle: Path
    images: Sequence[bytes]
    measured: Measured
    scratch: Path
    runs: int
    seconds: float
    """Of one load"""
    step: Callable[[str], None]
    """Told what begins."""

    @property
    def requests(self) -> list[bytes]:
        """Each image as a POST /predict."""
        return requests_for(self.images)


def usable_cores() -> list[int]:
    """The cores that this process may use; the server gets the first, the load generator the second."""
    return sorted(os.sched_getaffinity(0))
