"""Journal: the alerts as people see them, and what they do with them, from any process of a service.

A person never writes the state. What is done is kept on the disk and in the store, and the engine that leads
makes it a part of the state; an engine that is away finds it when it comes back.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final
from uuid import uuid4

import structlog

from bundle.verify import read_manifest
from monitoring.alerts.alert import Act, ActKind, Alert
from monitoring.alerts.disk import AlertFolder
from monitoring.alerts.dispatch import line_of
from monitoring.alerts.engine_state import EngineState
from monitoring.alerts.silence import Silence
from monitoring.alerts.state import StoredState
from monitoring.alerts.watched_rules import WatchedRules
from monitoring.store import contract
from service.alerting.engine import alert_folder, rules_of_settings, stored_state
from service.errors import StoreUnavailable
from service.settings import Settings

logger = structlog.get_logger("demur.alerts")

_PATIENCE: Final = 8.0
"""Seconds to wait for an engine to take up what was done: four of its rounds"""
_LOOK: Final = 0.1


class AlertJournal:
    """The alerts of a service, for its private port."""

    def __init__(
        self,
        rules: WatchedRules,
        folder: AlertFolder,
        store: StoredState | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._rules = rules
        self._folder, self._store, self._clock = folder, store, clock

    def close(self) -> None:
        """Close the connections to the store."""
        if self._store is not None:
            self._store.close()

    def state(self) -> EngineState:
        """What the disk and the store know."""
        self._rules.look()
        held = self._folder.read()
        if self._store is not None:
            try:
                stored = self._store.read()
            except contract.StoreUnavailable:
                stored = None
            held = held if stored is None else held.merged(stored)
        return held

    def act(self, kind: ActKind, subject: str, name: str, reason: str) -> EngineState | None:
        """Do something with an alert or a silence; the state in which it is done, or None if no engine has
        taken it up in time. Raises StoreUnavailable."""
        return self._done(Act(_id(), kind, subject, name, reason, self._clock()))

    def silence(self, matchers: dict[str, str], until: float, name: str, reason: str) -> Silence:
        """Silence the alerts that match. Raises StoreUnavailable."""
        act = Act(_id(), "silence", "", name, reason, self._clock())
        silence = Silence(act.id, tuple(sorted(matchers.items())), act.at, until, name, reason)
        self._done(replace(act, subject=silence.id, document=json.dumps(silence.to_dict())))
        return silence

    def body(self, alert: Alert, state: EngineState) -> dict[str, Any]:
        """An alert as plain values."""
        line = line_of(alert, self._rules.now)
        in_force = [one for one in state.silences.values() if one.holds(self._clock())]
        return {
            "fingerprint": alert.fingerprint,
            "rule": alert.rule,
            "severity": line.severity,
            "state": alert.state,
            "labels": dict(alert.labels),
            "opened": alert.opened,
            "fired_at": alert.fired_at,
            "resolved_at": alert.resolved_at,
            **{name: getattr(line, name) for name in ("value", "low", "high", "n", "since", "text")},
            "action": line.action,
            "runbook": line.runbook,
            "silenced_by": [one.id for one in in_force if one.matches(alert)],
            "told": [receiver.who for receiver in alert.told],
            "acts": [
                {"kind": act.kind, "name": act.name, "reason": act.reason, "at": act.at} for act in alert.acts
            ],
        }

    def _done(self, act: Act) -> EngineState | None:
        self._leave(act)
        logger.warning(
            "alert_act", kind=act.kind, subject=act.subject, name=act.name, reason=act.reason, id=act.id
        )
        due = time.monotonic() + _PATIENCE
        while time.monotonic() < due:
            state = self.state()
            if act.id in state.applied:
                return state
            time.sleep(_LOOK)
        return None

    def _leave(self, act: Act) -> None:
        """Keep an act where it can be kept: in both places, and at least in one."""
        whys = []
        try:
            self._folder.leave(act)
        except OSError as error:
            whys.append(f"the data folder: {error.strerror or error}")
        if self._store is not None:
            try:
                self._store.leave(act)
            except contract.StoreUnavailable as error:
                whys.append(f"the store: {error}")
        if len(whys) == 1 + (self._store is not None):
            raise StoreUnavailable(f"nothing keeps what was done: {'; '.join(whys)}")


def journal_of(settings: Settings) -> AlertJournal:
    """The journal of a service with these settings. Raises RulesUnreadable."""
    rules = WatchedRules(settings.alerts, rules_of_settings(settings))
    folder = AlertFolder(alert_folder(settings))
    model = settings.model or read_manifest(settings.bundle).name
    return AlertJournal(rules, folder, stored_state(settings, model, "private port"))


def _id() -> str:
    return uuid4().hex[:12]
