"""Keeper: where an engine keeps its state, the store and the disk, and what each of them says."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final
from uuid import uuid4

import structlog

from monitoring.alerts.alert import Act
from monitoring.alerts.disk import AlertFolder
from monitoring.alerts.engine_state import EngineState
from monitoring.alerts.signals import Reading
from monitoring.alerts.state import Standing, StoredState
from monitoring.store.contract import StoreUnavailable

_KEEP_EVERY: Final = 10.0
"""Seconds between two states that differ in nothing but durations"""

logger = structlog.get_logger("demur.alerts")


class StateKeeper:
    """The store and the folder of one engine; used from one thread. Faults are logged, and never raised."""

    def __init__(self, folder: AlertFolder, store: StoredState | None) -> None:
        self._folder, self._store = folder, store
        self.fence = 0
        """Fencing number under which this engine leads, or has led"""
        self._away_since: float | None = None
        self._kept: tuple[object, float] | None = None
        """What was kept last, and when"""

    @property
    def has_store(self) -> bool:
        """Whether there is a store, away or not."""
        return self._store is not None

    @property
    def away(self) -> float | None:
        """Seconds for which the store has not answered; None while it does, or without one."""
        return None if self._away_since is None else time.monotonic() - self._away_since

    def may_work(self) -> bool:
        """Whether no other process with this data folder works."""
        try:
            return self._folder.try_lead()
        except OSError as error:
            # Of two evils a message twice is the smaller; with a store its lease prevents even that.
            logger.error("alert_folder_not_locked", where=str(self._folder.path), why=error.strerror)
            return True

    def held(self) -> EngineState:
        """The state on the disk."""
        return self._folder.read()

    def acts(self) -> tuple[Act, ...]:
        """What people have done by way of the disk."""
        return self._folder.acts()

    def standing(self, readings: Sequence[Reading]) -> Standing | None:
        """What the store says; None without it."""
        if self._store is None:
            return None
        try:
            standing = self._store.follow(readings, self.fence)
        except StoreUnavailable as error:
            if self._away_since is None:
                self._away_since = time.monotonic()
                logger.error("alerts_without_store", why=str(error))
            return None
        if self.away is not None:
            logger.info("alerts_with_store_again", after=round(self.away, 1))
            self._away_since = None
        if standing.fence is not None and standing.fence != self.fence:
            # Another engine may have written since, or the store has lost its memory.
            self.fence, self._kept = standing.fence, None
        return standing

    def keep(self, state: EngineState, acts: Sequence[Act], *, in_store: bool) -> bool:
        """Keep a state of which these acts are a part, if it says anything new. False: another engine leads
        since, and this state counts nothing. `in_store`: whether this engine leads the store's."""
        essence, now = (essence_of(state), in_store), time.monotonic()
        if self._kept is not None and self._kept[0] == essence and now - self._kept[1] < _KEEP_EVERY:
            return True
        if in_store and self._store is not None:
            try:
                if not self._store.keep(state, self.fence, [act.id for act in acts]):
                    return False
            except StoreUnavailable as error:
                logger.error("alert_state_not_kept", where="store", why=str(error))
        if self.mirror(state):
            self._folder.forget(tuple(acts))
        self._kept = essence, now
        return True

    def mirror(self, state: EngineState) -> bool:
        """Keep a state on the disk alone; whether it could be kept."""
        try:
            self._folder.keep(state)
        except OSError as error:
            logger.error("alert_state_not_kept", where=str(self._folder.path), why=error.strerror)
            return False
        return True

    def hand_over(self, service: str, state: EngineState | None) -> bool:
        """Give the engine that leads what people have done here and, after a time alone, this state. Whether
        the store has all of it."""
        if self._store is None:
            return False
        try:
            if state is not None:
                document = state.to_json().decode()
                name = f"join-{uuid4().hex}"
                self._store.leave(Act(name, "join", "", service, "", time.time(), document=document))
            for act in self._folder.acts():
                self._store.leave(act)
                self._folder.forget((act,))
        except StoreUnavailable:
            return False
        return True

    def close(self, *, leads: bool) -> None:
        """Let another engine lead at once."""
        if self._store is not None:
            if leads:
                with suppress(StoreUnavailable):
                    self._store.release()
            self._store.close()
        self._folder.close()


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
