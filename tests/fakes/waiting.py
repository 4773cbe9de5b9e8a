"""Wait for an event on another thread or in another process."""

from __future__ import annotations

import time
from collections.abc import Callable


def eventually(condition: Callable[[], bool], timeout: float = 150.0) -> None:
    """Wait until `condition` holds; AssertionError after `timeout` seconds.

    The limit ends a test that hangs, and says nothing about speed: machines of tests may be slow and busy.
    """
    give_up, pause = time.monotonic() + timeout, 0.005
    while not condition():
        assert time.monotonic() < give_up, "it did not happen in time"
        time.sleep(pause)
        # A condition may ask a service: one that takes long is not asked all the time.
        pause = min(1.5 * pause, 0.05)
