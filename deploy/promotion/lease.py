"""Lease of a promotion: its promoter gives signs of life, and another takes over only when they have stopped.

The record is the truth: it names the holder and a term that every takeover raises. A promoter of an earlier
term is overtaken at its next record, however long it was asleep. The signs of life are a hint about when to
take over; how old one is is measured by the steady clock of who waits, so no clock setting matters.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from secrets import token_hex
from types import TracebackType
from typing import Any, Final, Self

import structlog

from bundle.registry import keys
from bundle.registry.errors import RegistryDamaged, RegistryError
from bundle.registry.location import Location, Missing
from bundle.registry.records import from_bytes, to_bytes
from deploy.errors import PromoterAlive

logger = structlog.get_logger("demur.promotion")

_MOST_BYTES: Final = 2**16
_BEATS: Final = 4.0
"""Signs of life within one lease"""
_LOOKS: Final = 20.0
"""Looks at the sign of life within one lease"""


def new_holder() -> str:
    """A name of this promoter that no other has: host, process, and a random part."""
    return f"{socket.gethostname()[:80]}:{os.getpid()}:{token_hex(3)}"


def sign_of_life(location: Location, fleet: str, term: int) -> Any:
    """The last sign of life of a term; None: there is none that can be read. Raises RegistryUnavailable."""
    try:
        values = from_bytes(location.read(_key(fleet), _MOST_BYTES), "the sign of life")
    except (Missing, RegistryDamaged):
        return None
    return values if isinstance(values, dict) and values.get("term") == term else None


def wait_for_silence(
    look: Callable[[], Any],
    lease: float,
    steady: Callable[[], float],
    sleep: Callable[[float], None],
) -> None:
    """Return when the sign of life that `look` gives has not changed for `lease` seconds. Raises
    PromoterAlive if it changes."""
    last, since = look(), steady()
    while steady() - since < lease:
        sleep(lease / _LOOKS)
        if look() != last:
            raise PromoterAlive(
                "the promoter of the running promotion gives signs of life, so nothing was taken over; let "
                "it go on, or end the promotion with `demur promotion abort`"
            )


class Heartbeat:
    """Signs of life while it is entered, from a thread of its own."""

    def __init__(self, location: Location, fleet: str, holder: str, term: int, lease: float) -> None:
        """`lease`: seconds without a sign after which another promoter may take over."""
        self._location, self._fleet = location, fleet
        self._holder, self._term, self._lease = holder, term, lease
        self._number = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._beat()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._thread.join(self._lease)

    def _run(self) -> None:
        while not self._stopping.wait(self._lease / _BEATS):
            self._beat()

    def _beat(self) -> None:
        self._number += 1
        values = {"holder": self._holder, "term": self._term, "beat": self._number}
        try:
            self._location.put(_key(self._fleet), to_bytes(values))
        except RegistryError as error:
            # The next one may get through; if none does, another promoter takes over, and this one is told.
            logger.warning("promoter_unheard", fleet=self._fleet, why=str(error))


def _key(fleet: str) -> str:
    return f"{keys.fleet_prefix(fleet)}/promoter.json"
