"""Wake-up of a fleet: a message after each change of the registry, so that no service waits for a second.

A message may be lost, and says nothing by itself: whoever is woken asks the registry, and asks it once a
second anyway.
"""

from __future__ import annotations

import time
from typing import Any, Final, Self

import redis

from monitoring.fleet.names import fleet_prefix
from monitoring.store.connection import connect, translated_errors
from monitoring.store.shared_document import require_url

_PAUSE: Final = 0.05
"""Seconds between two looks where the client returns before its time"""


class FleetWake:
    """The channel of one fleet; used from one thread. Every call raises StoreUnavailable."""

    def __init__(self, url: str, fleet: str, timeout: float = 1.0) -> None:
        """`url`: redis://, rediss:// or unix://; `timeout`: seconds per command. Raises StoreUnavailable for
        an address that cannot be used, and ValueError for a name with braces."""
        require_url(url)
        self._channel = f"{fleet_prefix(fleet)}changed"
        self._client: redis.Redis = connect(url, timeout=timeout)
        self._listener: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections to the store."""
        self._drop()
        self._client.close()

    def publish(self) -> None:
        """Tell every service that the registry has changed."""
        with translated_errors():
            self._client.publish(self._channel, b"")

    def listen(self) -> None:
        """Subscribe, unless that is done: `wait` hears what is published from now on."""
        if self._listener is None:
            listener = self._client.pubsub()  # type: ignore[no-untyped-call]  # as redis-py declares it
            with translated_errors():
                listener.subscribe(self._channel)
                reply = listener.get_message(timeout=1.0)
            if reply is not None:
                self._listener = listener

    def wait(self, timeout: float) -> bool:
        """Wait for a message, `timeout` seconds at most; whether one came. After an error the next call
        subscribes again."""
        due = time.monotonic() + timeout
        try:
            self.listen()
            while self._listener is not None and (left := due - time.monotonic()) > 0:
                with translated_errors():
                    message = self._listener.get_message(timeout=left)
                if message is not None and message["type"] == "message":
                    return True
                if message is None and due - time.monotonic() > _PAUSE:
                    time.sleep(_PAUSE)
        except BaseException:
            self._drop()
            raise
        return False

    def _drop(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
