"""Alert engine of a worker, over the signals of its service, with its outbox, heartbeat and metrics."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import structlog

from monitoring.alerts.disk import AlertFolder
from monitoring.alerts.engine import AlertEngine
from monitoring.alerts.engine_state import EngineState
from monitoring.alerts.keeper import StateKeeper
from monitoring.alerts.outbox.told import ToldMessages
from monitoring.alerts.rule_file import built_in_rules, read_rules
from monitoring.alerts.rules import AlertRules
from monitoring.alerts.signals import Reading, labels_of
from monitoring.alerts.state import StoredState
from monitoring.alerts.watched_rules import WatchedRules
from monitoring.metrics.instruments import Instruments
from monitoring.store.shared_document import SharedDocument
from service.alerting.heartbeats import Heartbeats
from service.alerting.outbox_sender import OutboxSender
from service.settings import NO_STORE, Settings

logger = structlog.get_logger("demur.alerts")


def rules_of_settings(settings: Settings) -> AlertRules:
    """The rules of the file in the settings, or the built-in ones. Raises RulesUnreadable."""
    return built_in_rules() if settings.alerts is None else read_rules(settings.alerts)


def alert_folder(settings: Settings) -> Path:
    """Where alerts are kept on the disk."""
    return settings.data_dir / "alerts"


def service_name(settings: Settings) -> str:
    """Name of a service for people: its machine, and its port or the name of its data folder."""
    return f"{socket.gethostname()}:{settings.port or settings.data_dir.name}"


def stored_state(settings: Settings, model: str, engine: str) -> StoredState | None:
    """The state in the settings' store; None without one."""
    if settings.redis_url in (None, NO_STORE):
        return None
    return StoredState.at(settings.redis_url, settings.model or model, engine, timeout=settings.redis_timeout)


def told_messages(settings: Settings, model: str) -> ToldMessages | None:
    """What the services of the settings' store have told; None without a store."""
    if settings.redis_url in (None, NO_STORE):
        return None
    key, timeout = f"demur:{{{settings.model or model}}}:alerts:told", settings.redis_timeout
    return ToldMessages(SharedDocument(settings.redis_url, key, timeout=timeout, patience=2 * timeout))


class Alerting:
    """The alert engine of one worker; `start` before use, `close` at the end."""

    def __init__(
        self,
        settings: Settings,
        model: str,
        rules: AlertRules,
        gather: Callable[[EngineState], Sequence[Reading]],
        instruments: Instruments,
    ) -> None:
        """`model`: name of the windows if the settings give none; `gather`: the readings of this worker."""
        folder, service = alert_folder(settings), service_name(settings)
        self._rules = WatchedRules(settings.alerts, rules)
        self._sender = OutboxSender(folder / "outbox", rules, instruments, told_messages(settings, model))
        store = stored_state(settings, model, f"{service}/{uuid4().hex[:8]}")
        own = labels_of({"service": service})
        self.engine = AlertEngine(
            self._rules_of_now,
            StateKeeper(AlertFolder(folder), store),
            lambda state: [*gather(state), self._rules.reading(own, time.time())],
            self._sender,
            service=service,
            observer=_Observer(instruments),
        )
        self._heartbeats = Heartbeats(
            lambda: self._rules.now.heartbeat, lambda: self.engine.evaluated_here, instruments
        )

    def start(self) -> None:
        """Begin to evaluate and to deliver."""
        self._sender.start()
        self.engine.start()
        self._heartbeats.start()

    def body(self) -> dict[str, Any]:
        """The engine of this worker as plain values, for /health."""
        said = self.engine.status()
        return {
            "role": said.role,
            "leader": said.leader,
            "evaluated_at": said.evaluated_at,
            "store": said.store,
            "open": said.open_alerts,
            "working": self.engine.working,
        }

    def _rules_of_now(self) -> AlertRules:
        """The rules for a round of the engine; those of a changed file are taken by the outbox too."""
        found = self._rules.look()
        if found == "taken":
            self._sender.use(self._rules.now)
            logger.info("alert_rules_taken", file=str(self._rules.path), rules=len(self._rules.now.rules))
        elif found == "refused":
            note = "the rules before it stay in force; it is read again once it changes"
            logger.error("alert_rules_refused", why=self._rules.why, note=note)
        return self._rules.now

    def close(self) -> None:
        """End both; what was not delivered is delivered by the next process."""
        self._heartbeats.close()
        self.engine.close()
        self._sender.close()


class _Observer:
    """Sets the gauges after each evaluation."""

    def __init__(self, instruments: Instruments) -> None:
        self._instruments = instruments

    def evaluated(self, state: EngineState, rules: AlertRules) -> None:
        severities = {rule.name: rule.severity for rule in rules.rules}
        counts: dict[tuple[str, str, str], int] = {}
        for alert in state.alerts.values():
            if alert.resolved_at is None:
                key = (alert.rule, severities.get(alert.rule, "warning"), alert.state)
                counts[key] = counts.get(key, 0) + 1
        self._instruments.show_alerts(counts, state.evaluated_at)
