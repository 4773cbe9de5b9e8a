"""Heartbeats of a worker: a thread that sends a sign of life while the evaluation of the alerts goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable

from monitoring.alerts.heartbeat import Heartbeat
from monitoring.alerts.rules import AlertRules
from monitoring.metrics.instruments import Instruments


class Heartbeats:
    """Of no effect where the rules name no heartbeat; `start` before use, `close` at the end."""

    def __init__(
        self, rules: AlertRules, last_evaluated: Callable[[], float | None], instruments: Instruments
    ) -> None:
        """`last_evaluated`: Unix time of the last evaluation by this worker; None while another does it."""
        self._config, self._instruments = rules.heartbeat, instruments
        self._last_evaluated = last_evaluated
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="alert-heartbeat", daemon=True)

    def start(self) -> None:
        """Begin."""
        if self._config is not None:
            self._thread.start()

    def close(self) -> None:
        """End; a beat that is under way is not waited for."""
        self._stopping.set()

    def _run(self) -> None:
        assert self._config is not None  # noqa: S101 - only then was it started
        heartbeat = Heartbeat(self._config.url, self._config.timeout, self._last_evaluated)
        while not self._stopping.is_set():
            # A worker that stands by has nothing to say, which is no fault.
            if self._last_evaluated() is not None:
                self._instruments.alert_heartbeats.labels(heartbeat.beat()).inc()
                self._stopping.wait(self._config.every)
            else:
                self._stopping.wait(min(1.0, self._config.every))
