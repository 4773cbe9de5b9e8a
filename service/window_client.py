"""Window client: the service's access to the rolling windows. Events out, snapshots and state in."""

from __future__ import annotations

import asyncio
import math
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Final, Literal, Protocol

import structlog

from monitoring.delivery.delivery_round import RecorderOptions
from monitoring.delivery.event_lines import kind_of
from monitoring.delivery.event_log import LogBounds
from monitoring.delivery.recorder import Recorder
from monitoring.events import Event, FailureEvent, FeedbackEvent, PredictionEvent
from monitoring.metrics.instruments import Instruments
from monitoring.promise.stored_items import StoredItems
from monitoring.store import contract
from monitoring.windows.rolling import RollingWindows
from monitoring.windows.snapshot import TOTAL, RollingSnapshot
from service.errors import StoreUnavailable
from service.settings import NO_STORE, Settings

StoreState = Literal["up", "down", "rebuilding", "off"]
LogState = Literal["ok", "failing", "off"]

_BUNDLES_SHOWN = 8
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]|^\.+")
"""Characters that the name of a folder does not get."""

SCRAPE_WAIT: Final = 0.1
_SETTLE_WAIT: Final = 3.0
"""Longer than a store that has stopped answering keeps the thread that writes the log."""

logger = structlog.get_logger("demur.windows")


class WindowClient(Protocol):
    """`start` before use, `close` at the end."""

    @property
    def state(self) -> StoreState:
        """`down` also before the first reply of the store."""

    @property
    def log_state(self) -> LogState:
        """`failing` while events cannot be written to the disk."""

    @property
    def degraded(self) -> bool:
        """Whether there is a fault that does not keep the service from answering."""

    @property
    def waiting(self) -> int:
        """Number of events not delivered yet."""

    def start(self) -> None: ...

    def close(self) -> None:
        """Deliver the waiting events, in a bounded time."""

    def record_prediction(self, event: PredictionEvent | FailureEvent) -> None:
        """Never waits and never fails: an event beyond the buffer is dropped and counted."""

    def record_feedback(self, events: Sequence[FeedbackEvent]) -> int:
        """Keep labels in their order; how many are kept. The others must be refused (`label_not_kept`),
        because an accepted label must not be lost. Never waits. Raises StoreUnavailable without a store."""

    async def settle(self) -> None:
        """Wait until all that was recorded is in the log or in the store, so that the death of this worker
        loses none of it; not if neither can take it now, and `_SETTLE_WAIT` seconds at most."""

    def rolling(self, scopes: Sequence[str], classes: int) -> list[RollingSnapshot]:
        """All windows of some bundles, or of `TOTAL`, at one moment; waits for the store. Raises
        StoreUnavailable."""

    def bundles(self) -> list[str]:
        """Every bundle that has served, the latest at the end; waits for the store. Raises
        StoreUnavailable."""

    def scrape(self, bundles: Mapping[str, bool], classes: int) -> None:
        """Update the gauges of the windows of these bundles and of earlier ones, whose labels may still
        come; `bundles` says which of them earn the reward of their task, `classes` how many classes they
        know. Waits for the store for `SCRAPE_WAIT` seconds at most; the next scrape shows a later reply."""


class StoreClient:
    """One store connection pool and one recorder."""

    def __init__(self, settings: Settings, redis_url: str, model: str, instruments: Instruments) -> None:
        self._instruments = instruments
        self._stop_timeout = settings.stop_timeout
        self._shown: deque[tuple[str, bool]] = deque(maxlen=_BUNDLES_SHOWN)
        self._reader = ThreadPoolExecutor(1, "windows")
        self._refresh: Future[None] | None = None
        self._windows = RollingWindows.at(
            redis_url,
            settings.model or model,
            sizes=settings.windows,
            timeout=settings.redis_timeout,
            prediction_ttl=settings.prediction_ttl,
            parked_ttl=settings.parked_ttl,
            items=settings.item_times(),
        )
        self._items = StoredItems.at(
            redis_url,
            settings.model or model,
            settings.item_times(),
            sizes=settings.windows,
            timeout=settings.redis_timeout,
        )
        self._recorder = Recorder(
            self._windows,
            _EventCounters(instruments),
            logs=log_folder(settings, settings.model or model),
            bounds=LogBounds(settings.event_log_bytes, settings.event_log_days * 86_400),
            options=RecorderOptions(capacity=settings.events_kept),
        )

    @property
    def state(self) -> StoreState:
        if not self._recorder.connected:
            return "down"
        return "rebuilding" if self._recorder.rebuilding else "up"

    @property
    def log_state(self) -> LogState:
        if self._recorder.log_works is None:
            return "off"
        return "ok" if self._recorder.log_works else "failing"

    @property
    def degraded(self) -> bool:
        return self.state != "up" or self.log_state == "failing"

    @property
    def waiting(self) -> int:
        return self._recorder.waiting

    def start(self) -> None:
        self._recorder.start()
        self._reader.submit(self._discard_unused)

    def close(self) -> None:
        self._recorder.close(self._stop_timeout / 2)
        self._reader.shutdown(wait=False, cancel_futures=True)
        self._windows.close()
        self._items.close()

    def record_prediction(self, event: PredictionEvent | FailureEvent) -> None:
        self._recorder.record(event)

    def record_feedback(self, events: Sequence[FeedbackEvent]) -> int:
        return self._recorder.record_all(events)

    async def settle(self) -> None:
        if self._recorder.log_works or self._recorder.connected:
            await asyncio.wait([asyncio.wrap_future(self._recorder.settled())], timeout=_SETTLE_WAIT)

    def rolling(self, scopes: Sequence[str], classes: int) -> list[RollingSnapshot]:
        with _refused():
            return self._windows.snapshots(scopes, classes)

    def bundles(self) -> list[str]:
        with _refused():
            return self._windows.bundles()

    def scrape(self, bundles: Mapping[str, bool], classes: int) -> None:
        # The same source as /health: reads may succeed while the store refuses writes.
        self._instruments.redis_up.set(self.state != "down")
        for bundle in bundles.items():
            if bundle not in self._shown:
                self._shown.append(bundle)
        if self._refresh is None or self._refresh.done():
            self._refresh = self._reader.submit(self._show_windows, tuple(self._shown), classes)
        wait([self._refresh], SCRAPE_WAIT)

    def _discard_unused(self) -> None:
        # Windows of an earlier setting take memory; if the store is away, the next start tries again.
        with suppress(contract.StoreUnavailable):
            for sizes in self._windows.discard_unused():
                logger.info("windows_discarded", sizes=sizes)

    def _show_windows(self, bundles: Sequence[tuple[str, bool]], classes: int) -> None:
        # A store that does not answer leaves the gauges as they are; the recorder notices it.
        rewards = {**dict(bundles), TOTAL: any(reward for _, reward in bundles)}
        with suppress(contract.StoreUnavailable):
            for snapshot in self._windows.snapshots([*rewards], classes):
                self._instruments.show_rolling(snapshot, with_reward=rewards[snapshot.bundle])
            for bundle, _ in bundles:
                self._instruments.show_audits(bundle, asdict(self._items.counts(bundle)))


class NoStore:
    """Client of a service without a store: predictions are not recorded, labels and windows are refused."""

    state: StoreState = "off"
    log_state: LogState = "off"
    degraded = True
    waiting = 0

    def __init__(self, instruments: Instruments) -> None:
        self._instruments = instruments

    def start(self) -> None:
        pass

    def close(self) -> None:
        pass

    def record_prediction(self, event: PredictionEvent | FailureEvent) -> None:
        pass

    def record_feedback(self, events: Sequence[FeedbackEvent]) -> int:
        raise StoreUnavailable("this service runs without a store, so labels cannot be kept")

    async def settle(self) -> None:
        pass

    def rolling(self, scopes: Sequence[str], classes: int) -> list[RollingSnapshot]:
        raise StoreUnavailable("this service runs without a store, so there are no rolling metrics")

    def bundles(self) -> list[str]:
        raise StoreUnavailable("this service runs without a store, so there are no rolling metrics")

    def scrape(self, bundles: Mapping[str, bool], classes: int) -> None:
        # Neither up nor down: an alert on 0 would fire for ever.
        self._instruments.redis_up.set(math.nan)


def label_not_kept() -> StoreUnavailable:
    """The error of a label for which there was no room."""
    return StoreUnavailable(
        "neither the store nor the event log takes labels, and no more can be held; send this one again later"
    )


def window_client(settings: Settings, model: str, instruments: Instruments) -> WindowClient:
    """Client of the settings' store. `model`: name of the windows if the settings give none."""
    if settings.redis_url is None or settings.redis_url == NO_STORE:
        return NoStore(instruments)
    return StoreClient(settings, settings.redis_url, model, instruments)


class _EventCounters:
    """Observer of a recorder that counts the outcome of each event."""

    def __init__(self, instruments: Instruments) -> None:
        self._delivered = instruments.events_delivered
        self._dropped = instruments.events_dropped
        self._unlogged = instruments.events_unlogged
        for kind in ("prediction", "feedback"):
            self._dropped.labels(kind)
            self._unlogged.labels(kind)

    def delivered(self, event: Event, outcome: contract.EventOutcome) -> None:
        self._delivered.labels(kind_of(event), outcome).inc()

    def dropped(self, event: Event) -> None:
        self._dropped.labels(kind_of(event)).inc()

    def unlogged(self, event: Event) -> None:
        self._unlogged.labels(kind_of(event)).inc()


@contextmanager
def _refused() -> Iterator[None]:
    """The store's error as one of the service."""
    try:
        yield
    except contract.StoreUnavailable as error:
        raise StoreUnavailable(f"the store of the rolling metrics does not answer: {error}") from error


def log_folder(settings: Settings, model: str) -> Path | None:
    """Folder of the model's events; None without an event log."""
    return settings.data_dir / "events" / _UNSAFE.sub("_", model) if settings.event_log else None
