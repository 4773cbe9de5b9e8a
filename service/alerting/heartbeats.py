"""Heartbeats of a worker: a thread that sends a sign of life while the evaluation of the alerts goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from monitoring.alerts.heartbeat import Heartbeat
from monitoring.alerts.rules import Heartbeat as HeartbeatRule
from monitoring.metrics.instruments import Instruments

_LOOK: Final = 1.0
"""Seconds between two looks for something to say"""


class Heartbeats:
    """Of no effect while the rules name no heartbeat; `start` before use, `close` at the end."""

    def __init__(
        self,
        rule: Callable[[], HeartbeatRule | None],
        last_evaluated: Callable[[], float | None],
        instruments: Instruments,
    ) -> None:
        """`rule`: of the rules of now; `last_evaluated`: Unix time of the last evaluation by this worker, or
        None while another one evaluates."""
        self._rule, self._instruments = rule, instruments
        self._last_evaluated = last_evaluated
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="alert-heartbeat", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End; a beat that is under way is not waited for."""
        self._stopping.set()

    def _run(self) -> None:
        of: HeartbeatRule | None = None
        heartbeat: Heartbeat | None = None
        pause = 0.0
        while not self._stopping.wait(pause):
            rule, pause = self._rule(), _LOOK
            if rule != of or heartbeat is None:
                of = rule
                heartbeat = None if rule is None else Heartbeat(rule.url, rule.timeout, self._last_evaluated)
            # A worker that stands by has nothing to say, which is no fault.
            if rule is not None and heartbeat is not None and self._last_evaluated() is not None:
                self._instruments.alert_heartbeats.labels(heartbeat.beat()).inc()
                pause = rule.every
