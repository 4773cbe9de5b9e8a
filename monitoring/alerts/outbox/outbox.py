"""Outbox: delivery at least once, from several processes, killed at any moment.

A message is on the disk when `add` returns. It is tried until its receiver has it or refuses it for good, or
until it is eight days old. Between the answer of a receiver and the note of it a kill leaves a duplicate with
the same id, and never a loss (docs/adr/0024).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Protocol

import structlog

from monitoring.alerts.message import Message
from monitoring.alerts.notifiers.contract import Delivery
from monitoring.alerts.outbox.entry import Entry, Lane
from monitoring.alerts.outbox.kept import KeptEntries
from monitoring.alerts.outbox.schedule import LONGEST_KEPT, is_too_old, lanes_of, next_of
from monitoring.alerts.outbox.told import ToldMessages

logger = structlog.get_logger("demur.alerts")

MOST_WAITING: Final = 10_000
"""Messages; beyond them the oldest is given up."""
_OWN_TIME: Final = 10.0
"""Seconds for which nobody else tells a message: the lease of an engine is as long"""

Observer = Callable[[Entry, Delivery], None]
"""Called with each try and what became of it, from the thread that tried"""


class Sender(Protocol):
    """A channel, as the outbox needs it."""

    @property
    def receivers(self) -> tuple[str, ...]:
        """Who gets a message that names nobody."""
        ...

    def send(self, message: Message, to: str = "") -> Delivery:
        """See `Notifier`."""
        ...


class Outbox:
    """The messages of one data folder; any number of processes may share it. Used from any thread."""

    def __init__(
        self,
        folder: Path,
        channels: Mapping[str, Sender],
        observer: Observer = lambda entry, said: None,
        *,
        told: ToldMessages | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`folder`: made when it is needed; `told`: what other services have told; `clock`: Unix seconds."""
        self.channels = channels
        """By name; may be replaced at any time, when the rules change"""
        self._kept = KeptEntries(folder)
        self._observer = observer
        self._told = told
        self._clock = clock
        self._delivered_at: dict[Lane, float] = {}
        """When this process has last delivered something"""

    def add(self, message: Message, channel: str, to: str = "") -> None:
        """Take a message; it is on the disk then. Taken before, also by another process, it is one message.

        Without `to` each receiver that the channel names gets it. If the disk does not take it, it is held in
        memory, tried from there, and written as soon as that is possible.
        """
        for receiver in self._receivers(channel, to):
            self._kept.add(Entry(message, channel, receiver, self._clock()))

    def is_done(self, message: Message, channel: str, to: str = "") -> bool:
        """Whether each receiver of a message has it, or it was given up, whichever process saw to it."""
        keys = (Entry(message, channel, receiver, 0.0).key for receiver in self._receivers(channel, to))
        return all(map(self._kept.is_done, keys))

    def entries(self) -> list[Entry]:
        """Everything that waits, of all processes, oldest first."""
        return sorted(self._kept.entries(), key=lambda entry: entry.added)

    def waiting(self) -> int:
        """Number of messages that wait."""
        return len(self._kept.entries())

    def oldest(self) -> dict[str, float]:
        """Channel -> seconds for which its oldest message has waited."""
        now = self._clock()
        ages: dict[str, float] = dict.fromkeys(self.channels, 0.0)
        for entry in self._kept.entries():
            ages[entry.channel] = max(ages.get(entry.channel, 0.0), now - entry.added)
        return ages

    def deliver_due(self, *, failing: bool | None = None) -> int:
        """Try at most one message of each receiver that is due; the number of tries.

        `failing`: only receivers whose message was tried before (True), or only others (False).
        """
        tries = 0
        for lane in lanes_of(self._within_bounds(self._kept.entries())):
            entry = next_of(lane, self._clock(), delivered_at=self._delivered_at.get(lane[0].lane))
            if entry is not None and failing in (None, entry.tries > 0):
                tries += self._try(entry)
        return tries

    def tidy(self) -> None:
        """Write what is only in memory, and forget what was done long ago."""
        self._kept.tidy(LONGEST_KEPT, MOST_WAITING)

    def _receivers(self, channel: str, to: str) -> tuple[str, ...]:
        sender = self.channels.get(channel)
        return (to,) if to or sender is None else sender.receivers

    def _try(self, listed: Entry) -> bool:
        """Whether the entry could be tried; another process may be at it."""
        with self._kept.claimed(listed) as entry:
            if entry is None or entry.tries != listed.tries or self._was_told(entry):
                return False
            said = self._send(entry)
            after = entry.tried(said, self._clock())
            if said.outcome == "delivered" or said.final:
                self._kept.finish(after)
                if self._told is not None:
                    self._told.note(after.key)
            else:
                self._kept.update(after)
        self._note(after, said)
        return True

    def _was_told(self, entry: Entry) -> bool:
        """Whether another service has told a message that this one held while it was away."""
        is_old = self._clock() - entry.added > _OWN_TIME
        if self._told is None or not is_old or not self._told.knows(entry.key):
            return False
        self._kept.finish(entry)
        logger.info("alert_message_told_elsewhere", id=entry.message.id, channel=entry.channel)
        return True

    def _send(self, entry: Entry) -> Delivery:
        sender = self.channels.get(entry.channel)
        if sender is None:
            return Delivery("refused", "the rules file names no such channel any more")
        return sender.send(entry.message, entry.to)

    def _within_bounds(self, entries: list[Entry]) -> list[Entry]:
        """Without the entries that are too old, or too many, which are given up."""
        now = self._clock()
        entries = sorted(entries, key=lambda entry: entry.added)
        surplus = max(len(entries) - MOST_WAITING, 0)
        kept = []
        for place, entry in enumerate(entries):
            if place >= surplus and not is_too_old(entry, now):
                kept.append(entry)
                continue
            why = "too many messages wait" if place < surplus else "it could not be delivered in eight days"
            self._kept.finish(entry)
            self._note(entry, Delivery("refused", f"given up: {why}", final=True))
        return kept

    def _note(self, entry: Entry, said: Delivery) -> None:
        facts = {
            "id": entry.message.id,
            "channel": entry.channel,
            "outcome": said.outcome,
            "tries": entry.tries,
        }
        if said.outcome == "delivered":
            self._delivered_at[entry.lane] = entry.tried_at or 0.0
            logger.info("alert_message_delivered", **facts)
        else:
            log = logger.error if said.final else logger.warning
            log("alert_message_not_delivered", **facts, detail=said.detail, again=not said.final)
        self._observer(entry, said)
