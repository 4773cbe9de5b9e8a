"""Trial: the common parameters of all parts of the serving benchmark."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from demur.profile.load import requests_for
from harness.figures import Measured


@dataclass(frozen=True, slots=True)
class Trial:
    """One model and the parameters of its measurement."""

    model: str
    bundle: Path
    images: Sequence[bytes]
    measured: Measured
    scratch: Path
    runs: int
    seconds: float
    """Seconds of one load"""
    step: Callable[[str], None]
    """Called with the name of each step."""

    @property
    def requests(self) -> list[bytes]:
        """Each image as a POST /predict."""
        return requests_for(self.images)


def usable_cores() -> list[int]:
    """Cores that this process may use; the server gets the first, the load generator the second."""
    return sorted(os.sched_getaffinity(0))
