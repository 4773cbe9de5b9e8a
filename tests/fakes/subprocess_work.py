"""Work for another process, which has to find it by its name."""

from __future__ import annotations

import os
import time
from collections.abc import Callable


def count_to(last: int, *, say: Callable[[str], None]) -> tuple[int, int]:
    """Says each number; the sum of them, and the process."""
    for number in range(1, last + 1):
        say(str(number))
    return sum(range(1, last + 1)), os.getpid()


def die(*args: object, **named: object) -> object:
    os._exit(3)


def hang(*args: object, **named: object) -> object:
    time.sleep(60)
    return None


def fail(*args: object, **named: object) -> object:
    raise ValueError("on purpose")
