"""Engine: a thread that looks at the readings, decides what is told, and keeps what it must not forget.

Any number of engines may run. Of those with one data folder a file lock lets one work; of those with one
store a lease lets one evaluate, with the readings of all. The others follow its state, so that each can go on
where it ends. Without the store each goes on by itself from memory and disk, says so, and joins afterwards.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, Protocol

import structlog

from monitoring.alerts.alert import Receiver
from monitoring.alerts.dispatch import dispatch
from monitoring.alerts.engine_state import EngineState
from monitoring.alerts.evaluation import LONGEST_STEP, Moment, evaluate
from monitoring.alerts.keeper import StateKeeper
from monitoring.alerts.message import Message
from monitoring.alerts.rules import AlertRules
from monitoring.alerts.signals import Reading, labels_of
from monitoring.alerts.state import LEASE, Standing

INTERVAL: Final = 2.0
"""Seconds between two evaluations"""
_LATE: Final = 30.0
"""Seconds without a finished round after which the engine counts as stopped"""
_MOST_OUTGOING: Final = 200
"""Messages in the state that are not delivered yet"""

Role = Literal["leads", "follows", "stands by", "alone"]
"""leads: it evaluates, and the store keeps its state; follows: another engine of the store leads; stands by:
another worker of the data folder works; alone: it evaluates, and its state is kept on the disk only"""

logger = structlog.get_logger("demur.alerts")


class Sender(Protocol):
    """Where messages go; they are sent at least once, on other threads."""

    def add(self, message: Message, receiver: Receiver) -> None:
        """Take a message; one that was taken before under the same id is not taken again."""

    def finished(self) -> frozenset[tuple[str, str]]:
        """(id, channel) of messages that were delivered or given up since the last call."""

    def readings(self, now: float) -> Sequence[Reading]:
        """What it knows of its own state."""


class EngineObserver(Protocol):
    """What the engine reports to; called on its thread."""

    def evaluated(self, state: EngineState, rules: AlertRules) -> None:
        """An evaluation is complete, and its state kept as far as it can be."""


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """What the engine says of itself."""

    role: Role
    leader: str
    """Name of the engine that leads"""
    evaluated_at: float | None
    """Unix time of the last evaluation, by whichever engine"""
    store: bool
    """Whether the store keeps the state"""
    open_alerts: int


class AlertEngine:
    """The engine of one process; `start` before use, `close` at the end."""

    def __init__(
        self,
        rules: Callable[[], AlertRules],
        keeper: StateKeeper,
        gather: Callable[[EngineState], Sequence[Reading]],
        sender: Sender,
        *,
        service: str,
        observer: EngineObserver | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`rules`: those of now; `gather`: the readings of this process; `service`: its name for people;
        `clock`: Unix time."""
        self._rules, self._keeper = rules, keeper
        self._gather, self._sender, self._observer = gather, sender, observer
        self._service, self._clock = service, clock
        self._state = EngineState()
        self._role: Role = "stands by"
        self._leader = ""
        self._looked: float | None = None
        self._finished = time.monotonic()
        self._handed: set[str] = set()
        """What of the state's `outgoing` the sender has"""
        self._to_join = False
        """Whether it went on alone, and must hand over what it knows"""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="alerts", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self, timeout: float = 5.0) -> None:
        """End the thread, and let another engine lead at once."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout)
        self._keeper.close(leads=self._role == "leads")

    @property
    def state(self) -> EngineState:
        """The latest state that this engine knows."""
        return self._state

    @property
    def evaluated_here(self) -> float | None:
        """Unix time of the last evaluation by this engine; None while another one does it."""
        return self._state.evaluated_at if self._role in ("leads", "alone") else None

    @property
    def working(self) -> bool:
        """Whether it has just finished a round, or has just begun; otherwise it hangs or fails."""
        return time.monotonic() - self._finished < _LATE

    def status(self) -> EngineStatus:
        """What the engine says of itself."""
        open_alerts = sum(alert.active for alert in self._state.alerts.values())
        store = self._keeper.has_store and self._keeper.away is None
        return EngineStatus(self._role, self._leader, self._state.evaluated_at, store, open_alerts)

    def look(self) -> None:
        """One round: evaluate, or follow the engine that does."""
        now, elapsed, rules = self._clock(), self._elapsed(), self._rules()
        if self._role == "stands by":
            self._state = self._keeper.held()
            if not self._keeper.may_work():
                return
            self._role = "follows"
        readings = [*self._gather(self._state), *self._sender.readings(now), self._own_reading(now)]
        standing = self._keeper.standing(readings)
        if standing is None and self._waits_for_the_store():
            return
        if standing is not None and standing.fence is None:
            self._follow(standing)
            return
        self._lead(standing, readings, rules, Moment(now, elapsed))

    def _elapsed(self) -> float:
        before, self._looked = self._looked, time.monotonic()
        return 0.0 if before is None else min(LONGEST_STEP, self._looked - before)

    def _own_reading(self, now: float) -> Reading:
        away = self._keeper.away is not None
        text = (
            "the alerts go on from memory and disk, since their store does not answer"
            if away
            else "the state of the alerts is kept in the store"
        )
        labels = labels_of({"service": self._service})
        return Reading("alerts_without_store", labels, float(away), None, None, None, None, now, text)

    def _waits_for_the_store(self) -> bool:
        """Whether the engine that led may lead still: one that followed goes on alone after its lease."""
        return self._role == "follows" and self._keeper.away is not None and self._keeper.away < LEASE

    def _follow(self, standing: Standing) -> None:
        if self._role != "follows":
            logger.info("alerts_follow", leader=standing.leader)
        self._role, self._leader = "follows", standing.leader
        if self._keeper.hand_over(self._service, self._state if self._to_join else None):
            self._to_join = False
        if standing.state is not None:
            # What was known here and is not there yet is on its way as an act.
            self._state = standing.state
            self._keeper.mirror(standing.state)

    def _lead(
        self, standing: Standing | None, readings: Sequence[Reading], rules: AlertRules, moment: Moment
    ) -> None:
        state, acts = self._state, self._keeper.acts()
        if standing is not None:
            state = state if standing.state is None else state.merged(standing.state)
            readings = _united(readings, standing.others)
            acts += standing.acts
        self._note_role("alone" if standing is None else "leads")
        state = self._without_finished(state.with_acts(acts, moment.now))
        state = dispatch(evaluate(state, rules, readings, moment), rules, moment)
        if not self._keeper.keep(state, acts, in_store=standing is not None):
            self._role = "follows"
            return
        self._state = state
        self._send()
        if self._observer is not None:
            self._observer.evaluated(self._state, rules)

    def _note_role(self, role: Role) -> None:
        if role != self._role:
            kept = "store" if role == "leads" else "disk"
            logger.info("alerts_led_here", kept=kept, fence=self._keeper.fence)
        self._role, self._leader = role, self._service
        self._to_join = role == "alone" and self._keeper.has_store

    def _send(self) -> None:
        """Hand over what is kept as told. It stays in the state until it is delivered: if this engine ends
        before, the next one sends it, under the same id."""
        for key, one in self._state.outgoing.items():
            if key not in self._handed:
                self._sender.add(one.message, one.receiver)
        self._handed = set(self._state.outgoing)

    def _without_finished(self, state: EngineState) -> EngineState:
        finished = self._sender.finished()
        rest = {
            key: one
            for key, one in state.outgoing.items()
            if (one.message.id, one.receiver.channel) not in finished
        }
        # Of a channel that has failed for days the latest are enough; the outbox has them all.
        return replace(state, outgoing=dict(list(rest.items())[-_MOST_OUTGOING:]))

    def _run(self) -> None:
        while True:
            try:
                self.look()
                self._finished = time.monotonic()
            except Exception:
                # The next round may succeed; the heartbeat says meanwhile that this one has not.
                logger.exception("alert_evaluation_failed")
            if self._stopping.wait(INTERVAL):
                return


def _united(own: Sequence[Reading], others: Sequence[Reading]) -> list[Reading]:
    """One reading per signal and labels: of what is in service somewhere, with data, this engine's own."""
    found: dict[tuple[object, ...], Reading] = {}
    for reading in (*others, *own):
        key = (reading.signal, reading.labels)
        if key not in found or _rank(reading) >= _rank(found[key]):
            found[key] = reading
    return list(found.values())


def _rank(reading: Reading) -> tuple[bool, bool]:
    return not reading.over, reading.value is not None or reading.low is not None
