"""The service's way to the rolling windows: events out, snapshots in, and whether the store answers."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

from monitoring.delivery.delivery_round import RecorderOptions
from monitoring.delivery.event_lines import kind_of
from monitoring.delivery.event_log import LogBounds
from monitoring.delivery.recorder import Recorder
from monitoring.events import Event, FeedbackEvent, PredictionEvent
from monitoring.metrics.instruments import Instruments
from monitoring.store.contract import EventOutcome, StoreUnavailable
from monitoring.windows.rolling import RollingWindows
from monitoring.windows.snapshot import RollingSnapshot
from service.problems import RequestError, refused
from service.settings import Settings

StoreState = Literal["up", "down", "rebuilding", "off"]
LogState = Literal["ok", "failing", "off"]

_BUNDLES_SHOWN = 8
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]|^\.+")
"""What a folder is not named with."""

NO_STORE = "off"
"""Value of `Settings.redis_url` for a service without a store."""


class Monitor:
    """One store connection pool and one recorder; `start` before use, `close` at the end."""

    def __init__(self, settings: Settings, model: str, instruments: Instruments) -> None:
        self._instruments = instruments
        self._windows: RollingWindows | None = None
        self._recorder: Recorder | None = None
        self._stop_timeout = settings.stop_timeout
        self._shown: deque[str] = deque(maxlen=_BUNDLES_SHOWN)
        if settings.redis_url is None or settings.redis_url == NO_STORE:
            return
        self._windows = RollingWindows.at(
            settings.redis_url,
            settings.model or model,
            timeout=settings.redis_timeout,
            prediction_ttl=settings.prediction_ttl,
            parked_ttl=settings.parked_ttl,
        )
        self._recorder = Recorder(
            self._windows,
            _Fates(instruments),
            logs=_log_folder(settings, settings.model or model),
            bounds=LogBounds(settings.event_log_bytes, settings.event_log_days * 86_400),
            options=RecorderOptions(capacity=settings.events_kept),
        )

    @property
    def state(self) -> StoreState:
        """`down` also before the first answer."""
        if self._recorder is None:
            return "off"
        if not self._recorder.connected:
            return "down"
        return "rebuilding" if self._recorder.rebuilding else "up"

    @property
    def log_state(self) -> LogState:
        """`failing` while events cannot be written to the disk."""
        if self._recorder is None or self._recorder.log_works is None:
            return "off"
        return "ok" if self._recorder.log_works else "failing"

    @property
    def degraded(self) -> bool:
        """Whether something is wrong that does not keep the service from answering."""
        return self.state in ("down", "rebuilding") or self.log_state == "failing"

    @property
    def waiting(self) -> int:
        """Events not delivered yet."""
        return 0 if self._recorder is None else self._recorder.waiting

    def start(self) -> None:
        if self._recorder is not None:
            self._recorder.start()

    def close(self) -> None:
        """Deliver what is waiting, in a bounded time."""
        if self._recorder is not None:
            self._recorder.close(self._stop_timeout / 2)
        if self._windows is not None:
            self._windows.close()

    def record_prediction(self, event: PredictionEvent) -> None:
        """Never waits and never fails: an event too many is dropped and counted."""
        if self._recorder is not None:
            self._recorder.record(event)

    def record_feedback(self, event: FeedbackEvent) -> None:
        """Raises RequestError (503) where the label cannot be kept: what was accepted is not lost."""
        if self._recorder is None:
            raise _unavailable("this service runs without a store, so labels cannot be kept")
        if not self._recorder.record(event):
            raise _unavailable(
                "neither the store nor the event log takes labels, and no more can be held; "
                "send this one again later"
            )

    def record_shadow_feedback(self, event: FeedbackEvent) -> None:
        """The same for a bundle in the shadow: never fails, for its sake no label is refused."""
        if self._recorder is not None:
            self._recorder.record(event)

    def rolling(self, bundle: str) -> RollingSnapshot:
        """All windows of a bundle; waits for the store. Raises RequestError (503)."""
        if self._windows is None:
            raise _unavailable("this service runs without a store, so there are no rolling metrics")
        try:
            return self._windows.snapshot(bundle)
        except StoreUnavailable as error:
            raise _unavailable(f"the store of the rolling metrics does not answer: {error}") from error

    def scrape(self, bundles: Sequence[str]) -> None:
        """Bring the gauges of the windows up to date; waits for the store.

        Those of the bundles before these too: their labels may still come.
        """
        for bundle in bundles:
            if bundle not in self._shown:
                self._shown.append(bundle)
        try:
            if self._windows is not None:
                for shown in tuple(self._shown):
                    self._instruments.show_rolling(self._windows.snapshot(shown))
        except StoreUnavailable:
            self._instruments.redis_up.set(0)
        else:
            self._instruments.redis_up.set(self._windows is not None)


class _Fates:
    """Counts what became of the events."""

    def __init__(self, instruments: Instruments) -> None:
        self._delivered = instruments.events_delivered
        self._dropped = instruments.events_dropped
        self._unlogged = instruments.events_unlogged
        for kind in ("prediction", "feedback"):
            self._dropped.labels(kind)
            self._unlogged.labels(kind)

    def delivered(self, event: Event, outcome: EventOutcome) -> None:
        self._delivered.labels(kind_of(event), outcome).inc()

    def dropped(self, event: Event) -> None:
        self._dropped.labels(kind_of(event)).inc()

    def unlogged(self, event: Event) -> None:
        self._unlogged.labels(kind_of(event)).inc()


def _log_folder(settings: Settings, model: str) -> Path | None:
    """Where this model's events are kept; None where they are not."""
    return settings.data_dir / "events" / _UNSAFE.sub("_", model) if settings.event_log else None


def _unavailable(why: str) -> RequestError:
    return refused("store-unavailable", 503, why, headers={"Retry-After": "5"})
