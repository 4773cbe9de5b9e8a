"""Outbox of a worker as the engine's sender: it delivers on threads of its own, and knows what is done."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Final

from monitoring.alerts.alert import Receiver
from monitoring.alerts.message import Message
from monitoring.alerts.notifiers.channels import channels_of
from monitoring.alerts.notifiers.contract import Delivery
from monitoring.alerts.outbox import Entry, Outbox
from monitoring.alerts.outbox.delivery_threads import DeliveryThreads
from monitoring.alerts.outbox.told import ToldMessages
from monitoring.alerts.rules import AlertRules
from monitoring.alerts.signals import Reading, labels_of
from monitoring.metrics.instruments import Instruments

_STOP: Final = 2.0
"""Seconds that a stop waits for a message that is being sent"""


class OutboxSender:
    """A `monitoring.alerts.engine.Sender`; `start` before use, `close` at the end."""

    def __init__(
        self, folder: Path, rules: AlertRules, instruments: Instruments, told: ToldMessages | None
    ) -> None:
        """`told`: what the services of one store know of each other's messages; None without a store."""
        self._instruments = instruments
        self._lock = threading.Lock()
        self._open: dict[tuple[str, str], tuple[Message, str]] = {}
        """(id of a message, channel) -> message and receiver, until it is done"""
        self._outbox = Outbox(folder, channels_of(rules.channels), self._tried, told=told)
        self._threads = DeliveryThreads(self._outbox)

    def use(self, rules: AlertRules) -> None:
        """Go on with the channels of other rules; what waits goes by them as well."""
        self._outbox.channels = channels_of(rules.channels)

    def start(self) -> None:
        """Begin to deliver, with what an earlier process has left."""
        self._threads.start()

    def close(self) -> None:
        """End; what was not delivered is delivered by the next process."""
        self._threads.stop(_STOP)

    def add(self, message: Message, receiver: Receiver) -> None:
        """See `Sender`."""
        with self._lock:
            self._open[message.id, receiver.channel] = message, receiver.to
        self._outbox.add(message, receiver.channel, receiver.to)
        self._threads.wake()

    def finished(self) -> frozenset[tuple[str, str]]:
        """See `Sender`; the outbox knows, since another worker may have delivered it, or an earlier one."""
        with self._lock:
            waiting = dict(self._open)
        found = {key for key, (message, to) in waiting.items() if self._outbox.is_done(message, key[1], to)}
        with self._lock:
            for key in found:
                self._open.pop(key, None)
        return frozenset(found)

    def readings(self, now: float) -> list[Reading]:
        """See `Sender`: how long each channel has kept a message waiting."""
        self._instruments.alert_outbox.set(self._outbox.waiting())
        return [
            Reading(
                signal="messages_undelivered",
                labels=labels_of({"channel": channel}),
                value=age,
                low=None,
                high=None,
                n=None,
                since=now - age if age else None,
                at=now,
                text=f"the oldest message for channel {channel} has waited for {age:.0f} s",
            )
            for channel, age in self._outbox.oldest().items()
        ]

    def _tried(self, entry: Entry, said: Delivery) -> None:
        self._instruments.alert_notifications.labels(entry.channel, said.outcome).inc()
