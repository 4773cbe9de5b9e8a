"""Heartbeat: a sign of life to any URL, which stops where the evaluation of the alerts has stopped.

What is missing is noticed by the other end, so it proves the whole path: evaluation, process and network.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Literal, get_args

import structlog

from monitoring.alerts.notifiers.contract import Delivery
from monitoring.alerts.notifiers.http import deliver
from monitoring.alerts.notifiers.secrets import Secret, redacted

logger = structlog.get_logger("demur.alerts")

Beat = Literal["delivered", "refused", "unknown", "withheld"]
"""withheld: no evaluation was completed since the last beat, so none was sent"""
BEATS: Final[tuple[Beat, ...]] = get_args(Beat)


class Heartbeat:
    """Beats to one URL; used from one thread, which calls `beat` at intervals."""

    def __init__(self, url: Secret, timeout: float, last_evaluated: Callable[[], float | None]) -> None:
        """`last_evaluated`: Unix seconds of the last completed evaluation; None before the first."""
        self._url = url
        self._timeout = timeout
        self._last_evaluated = last_evaluated
        self._told: float | None = None
        """The evaluation of the last beat"""
        self._last: Beat | None = None

    def beat(self) -> Beat:
        """Send a beat if an evaluation was completed since the last one; what became of it."""
        evaluated_at = self._last_evaluated()
        if evaluated_at is None or evaluated_at == self._told:
            self._note("withheld", "no evaluation was completed since the last beat")
            return "withheld"
        said = self._send(evaluated_at)
        # One that was lost is not repeated: the next evaluation has a beat of its own.
        self._told = evaluated_at
        self._note(said.outcome, redacted(said.detail, (self._url,)))
        return said.outcome

    def _send(self, evaluated_at: float) -> Delivery:
        moment = datetime.fromtimestamp(evaluated_at, UTC).isoformat(timespec="milliseconds")
        body = json.dumps({"source": "demur", "evaluated_at": moment}).encode()
        headers = {"Content-Type": "application/json", "X-Demur-Evaluated-At": moment}
        return deliver(self._url.reveal(), body, headers, self._timeout)

    def _note(self, outcome: Beat, detail: str) -> None:
        if outcome != self._last:
            # Each change is said once: beats come every minute.
            log = logger.info if outcome == "delivered" else logger.warning
            log("alert_heartbeat", outcome=outcome, detail=detail)
        self._last = outcome
