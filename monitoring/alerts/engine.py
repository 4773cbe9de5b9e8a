"""Engine: a thread that looks at the readings, decides what is told, and keeps what it must not forget.

Any number of engines may run. Of those with one data folder a file lock lets one work; of those with one
store a lease lets one evaluate, with the readings of all. The others follow its state, so that each can go on
where it ends. Without the store each goes on by itself from memory and disk, says so, and joins afterwards.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final, Literal, Protocol
from uuid import uuid4

import structlog

from monitoring.alerts.alert import Act, Receiver
from monitoring.alerts.disk import AlertFolder
from monitoring.alerts.dispatch import dispatch
from monitoring.alerts.engine_state import EngineState
from monitoring.alerts.evaluation import LONGEST_STEP, Moment, evaluate
from monitoring.alerts.message import Message
from monitoring.alerts.rules import AlertRules
from monitoring.alerts.signals import Reading, labels_of
from monitoring.alerts.state import LEASE, Standing, StoredState
from monitoring.store.contract import StoreUnavailable

INTERVAL: Final = 2.0
"""Seconds between two evaluations"""
_LATE: Final = 30.0
"""Seconds without a finished round after which the engine counts as stopped"""
_MOST_OUTGOING: Final = 200
"""Messages in the state that are not delivered yet"""
_KEEP_EVERY: Final = 10.0
"""Seconds between two states that differ in nothing but durations"""

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
        rules: AlertRules,
        folder: AlertFolder,
        store: StoredState | None,
        gather: Callable[[EngineState], Sequence[Reading]],
        sender: Sender,
        *,
        service: str,
        observer: EngineObserver | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`gather`: the readings of this process; `service`: its name for people; `clock`: Unix time."""
        self.rules = rules
        self._folder, self._store = folder, store
        self._gather, self._sender, self._observer = gather, sender, observer
        self._service, self._clock = service, clock
        self._state = EngineState()
        self._role: Role = "stands by"
        self._leader = ""
        self._fence = 0
        self._kept: tuple[object, float] | None = None
        self._looked: float | None = None
        self._away_since: float | None = None
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
        if self._store is not None:
            if self._role == "leads":
                with suppress(StoreUnavailable):
                    self._store.release()
            self._store.close()
        self._folder.close()

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
        store = self._store is not None and self._away_since is None
        return EngineStatus(self._role, self._leader, self._state.evaluated_at, store, open_alerts)

    def look(self) -> None:
        """One round: evaluate, or follow the engine that does."""
        now, elapsed = self._clock(), self._elapsed()
        if self._role == "stands by":
            self._state = self._folder.read()
            if not self._may_work():
                return
            self._role = "follows"
        readings = [*self._gather(self._state), *self._sender.readings(now), self._own_reading(now)]
        standing = self._standing(readings)
        if standing is None and self._waits_for_the_store():
            return
        if standing is not None and standing.fence is None:
            self._follow(standing)
            return
        self._lead(standing, readings, Moment(now, elapsed))

    def _may_work(self) -> bool:
        """Whether no other process with this data folder works."""
        try:
            return self._folder.try_lead()
        except OSError as error:
            # Of two evils a message twice is the smaller; with a store its lease prevents even that.
            logger.error("alert_folder_not_locked", where=str(self._folder.path), why=error.strerror)
            return True

    def _elapsed(self) -> float:
        before, self._looked = self._looked, time.monotonic()
        return 0.0 if before is None else min(LONGEST_STEP, self._looked - before)

    def _own_reading(self, now: float) -> Reading:
        away = self._store is not None and self._away_since is not None
        text = (
            "the alerts go on from memory and disk, since their store does not answer"
            if away
            else "the state of the alerts is kept in the store"
        )
        labels = labels_of({"service": self._service})
        return Reading("alerts_without_store", labels, float(away), None, None, None, None, now, text)

    def _standing(self, readings: Sequence[Reading]) -> Standing | None:
        """What the store says; None without it."""
        if self._store is None:
            return None
        try:
            standing = self._store.follow(readings, self._fence)
        except StoreUnavailable as error:
            if self._away_since is None:
                self._away_since = time.monotonic()
                logger.error("alerts_without_store", why=str(error))
            return None
        if self._away_since is not None:
            logger.info("alerts_with_store_again", after=round(time.monotonic() - self._away_since, 1))
            self._away_since = None
        return standing

    def _waits_for_the_store(self) -> bool:
        """Whether the engine that led may lead still: one that followed goes on alone after its lease."""
        if self._role != "follows" or self._store is None or self._away_since is None:
            return False
        return time.monotonic() - self._away_since < LEASE

    def _follow(self, standing: Standing) -> None:
        assert self._store is not None  # noqa: S101 - it gave the standing
        if self._role != "follows":
            self._to_join = self._to_join or self._role == "alone"
            logger.info("alerts_follow", leader=standing.leader)
        self._role, self._leader = "follows", standing.leader
        with suppress(StoreUnavailable):
            if self._to_join:
                document = self._state.to_json().decode()
                name = f"join-{uuid4().hex}"
                self._store.leave(Act(name, "join", "", self._service, "", self._clock(), document=document))
                self._to_join = False
            for act in self._folder.acts():
                self._store.leave(act)
                self._folder.forget((act,))
        if standing.state is not None:
            # What was known here and is not there yet is on its way as an act.
            self._state = standing.state
            self._keep_on_disk(standing.state)

    def _lead(self, standing: Standing | None, readings: Sequence[Reading], moment: Moment) -> None:
        state = self._state
        if standing is not None:
            if standing.state is not None:
                state = state.merged(standing.state)
            readings = _united(readings, standing.others)
        self._note_role(standing)
        acts = (*self._folder.acts(), *(standing.acts if standing is not None else ()))
        state = self._without_finished(state.with_acts(acts, moment.now))
        state = dispatch(evaluate(state, self.rules, readings, moment), self.rules, moment)
        if not self._keep(state, acts):
            return
        self._state = state
        self._send()
        if self._observer is not None:
            self._observer.evaluated(self._state, self.rules)

    def _note_role(self, standing: Standing | None) -> None:
        role: Role = "alone" if standing is None else "leads"
        fence = self._fence if standing is None or standing.fence is None else standing.fence
        if role != self._role or fence != self._fence:
            logger.info("alerts_led_here", kept="disk" if standing is None else "store", fence=fence)
            self._kept = None
        self._role, self._fence, self._leader = role, fence, self._service
        self._to_join = role == "alone" and self._store is not None

    def _keep(self, state: EngineState, acts: Sequence[Act]) -> bool:
        """Keep the state where it can be kept, if it says anything new. False: another engine leads since."""
        essence, now = essence_of(state), time.monotonic()
        if self._kept is not None and self._kept[0] == essence and now - self._kept[1] < _KEEP_EVERY:
            return True
        if self._role == "leads" and self._store is not None:
            try:
                if not self._store.keep(state, self._fence, [act.id for act in acts]):
                    self._role = "follows"
                    return False
            except StoreUnavailable as error:
                logger.error("alert_state_not_kept", where="store", why=str(error))
        if self._keep_on_disk(state):
            self._folder.forget(tuple(acts))
        self._kept = essence, now
        return True

    def _keep_on_disk(self, state: EngineState) -> bool:
        try:
            self._folder.keep(state)
        except OSError as error:
            logger.error("alert_state_not_kept", where=str(self._folder.path), why=error.strerror)
            return False
        return True

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


def essence_of(state: EngineState) -> object:
    """What of a state must be kept at once; the rest are durations, which are kept now and then."""
    alerts = tuple(
        (
            *(one.fingerprint, one.episode, one.state, one.rung, one.told, one.closed),
            *(one.silenced, one.reminders, len(one.acts)),
        )
        for one in state.alerts.values()
    )
    silences = tuple((one.id, one.ended_at) for one in state.silences.values())
    return alerts, silences, state.applied, tuple(state.outgoing)


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
