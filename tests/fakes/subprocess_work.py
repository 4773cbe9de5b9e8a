"""Functions that a subprocess runs; importable, because the subprocess finds them by name."""

from __future__ import annotations

import os
import time
from collections.abc import Callable


def count_to(last: int, *, say: Callable[[str], None]) -> tuple[int, int]:
    """(sum of 1..last, process id); `say` gets each number as text."""
    for number in range(1, last + 1):
        say(str(number))
    return sum(range(1, last + 1)), os.getpid()


def die(*args: object, **named: object) -> object:
    os._exit(3)


def hang(*args: object, **named: object) -> object:
    time.sleep(3600)
    return None


def say_who_and_hang(*, say: Callable[[str], None]) -> None:
    say(str(os.getpid()))
    time.sleep(3600)


def fail(*args: object, **named: object) -> object:
    raise ValueError("on purpose")
