"""Messages that were told, as all services of one store know them.

A service that is killed keeps on its disk what it had not noted. Another one goes on with it meanwhile, so
the first asks here, when it returns, before it tells anything old.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock
from typing import Final, Protocol

import structlog

from monitoring.delivery.backoff import Backoff
from monitoring.store.contract import StoreUnavailable

logger = structlog.get_logger("demur.alerts")

MOST_KEYS: Final = 5000
"""Messages that are remembered; an older one may come twice"""
_FRESH: Final = 2.0
"""Seconds for which what was read is believed"""


class Document(Protocol):
    """Bytes that several processes change, each change as a whole."""

    def read(self) -> bytes | None:
        """The bytes. Raises StoreUnavailable."""
        ...

    def change(self, change: Callable[[bytes | None], bytes | None]) -> None:
        """Replace them. Raises StoreUnavailable."""
        ...


class ToldMessages:
    """Keys of entries that are done. Without the store it knows nothing and holds nobody up; used from any
    thread."""

    def __init__(self, document: Document, clock: Callable[[], float] = time.monotonic) -> None:
        self._document = document
        self._clock = clock
        self._lock = Lock()
        self._away = Backoff(1.0, 60.0)
        self._unsaid: dict[str, None] = {}
        """Keys that the store has not been told of"""
        self._known: frozenset[str] = frozenset()
        self._read_at = float("-inf")

    def note(self, key: str) -> None:
        """Let all services know that an entry is done; as soon as the store answers, if it does not now."""
        with self._lock:
            self._unsaid[key] = None
            self._exchange(self._say)

    def knows(self, key: str) -> bool:
        """Whether a service has said that an entry is done."""
        with self._lock:
            if self._unsaid:
                self._exchange(self._say)
            if self._clock() - self._read_at >= _FRESH:
                self._exchange(self._read)
            return key in self._known or key in self._unsaid

    def _exchange(self, ask: Callable[[], None]) -> None:
        if not self._away.is_over(self._clock()):
            return
        try:
            ask()
        except StoreUnavailable as error:
            self._away.failed(self._clock())
            logger.warning("alert_messages_not_shared", why=str(error))
        else:
            self._away.reset()

    def _say(self) -> None:
        self._document.change(self._with_unsaid)
        self._unsaid.clear()
        self._read_at = float("-inf")

    def _read(self) -> None:
        self._known = frozenset(_keys(self._document.read()))
        self._read_at = self._clock()

    def _with_unsaid(self, held: bytes | None) -> bytes:
        keys = [*(key for key in _keys(held) if key not in self._unsaid), *self._unsaid][-MOST_KEYS:]
        return "\n".join(keys).encode()


def _keys(held: bytes | None) -> list[str]:
    return [] if held is None else held.decode("ascii", "ignore").split()
