"""Watch: a thread that follows the items of the bundles that serve, and keeps the latch.

Every worker watches by itself and comes to the same values, so that a worker that dies takes nothing with it.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Protocol

import structlog

from monitoring.promise.archive import Archive
from monitoring.promise.expiry_clock import ExpiryClock
from monitoring.promise.items import ItemReader
from monitoring.promise.latch import Alarm, BundleLatch, Latch
from monitoring.promise.monitor import BundleMonitor
from monitoring.promise.reading import Reading
from monitoring.promise.sentence import monitor_sentence
from monitoring.promise.terms import PromiseTerms, WatchOptions, WatchPolicy
from monitoring.store.contract import StoreUnavailable

logger = structlog.get_logger("demur.promise")

INTERVAL: Final = 1.0
"""Seconds between two looks"""
_KEEP_EVERY: Final = 300.0
"""Seconds between two bases of a bundle"""
_SAY_EVERY: Final = 3600.0
"""Seconds between two lines of the log with the sentence"""


@dataclass(frozen=True, slots=True)
class MonitorView:
    """What is shown of the monitor of one bundle."""

    terms: PromiseTerms
    reading: Reading | None
    """None before the store has answered"""
    latch: BundleLatch
    sentence: str
    suspended: bool


class WatchObserver(Protocol):
    """What the watch reports to; called on its thread."""

    def show(self, view: MonitorView) -> None:
        """A look at a bundle."""

    def broken(self, bundle: str) -> None:
        """A bundle is suspended: it may be exchanged. Called once per bundle and beginning."""


@dataclass(slots=True)
class _Followed:
    """The monitor of one bundle, and how far its items were read."""

    monitor: BundleMonitor
    begin: float
    sequence: int | None = None
    kept_at: float = field(default=-math.inf)
    said_at: float = field(default=-math.inf)
    reading: Reading | None = None


class PromiseWatch:
    """The monitors of one worker; `start` before use, `close` at the end."""

    def __init__(
        self,
        reader: ItemReader | None,
        archive: Archive,
        serving: Callable[[], Sequence[PromiseTerms]],
        observer: WatchObserver,
        options: WatchOptions,
        policy: WatchPolicy,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`reader`: None without a store; `serving`: terms of the bundles that answer now; `clock`: Unix
        time, seconds; `monotonic`: seconds that no correction of the clock changes."""
        self._reader, self._archive = reader, archive
        self._serving, self._observer = serving, observer
        self._options, self._policy, self._clock = options, policy, clock
        self._expiry = ExpiryClock(options.wait, monotonic)
        self._expire_at = clock()
        self._latch = Latch()
        self._followed: dict[str, _Followed] = {}
        self._reported: dict[str, float] = {}
        self._views: dict[str, MonitorView] = {}
        self.suspended: frozenset[str] = frozenset()
        """Bundles that must answer nothing, `name:version`"""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="promise", daemon=True)

    def start(self) -> None:
        """Read the latch, so that a suspended bundle answers not even the first request, and begin."""
        self._take(self._archive.latch())
        self._thread.start()

    def close(self, timeout: float = 5.0) -> None:
        """End the thread, and close the reader."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout)
        if self._reader is not None:
            self._reader.close()

    def view(self, terms: PromiseTerms) -> MonitorView:
        """The latest look at a bundle."""
        view = self._views.get(terms.bundle)
        return view if view is not None and view.terms == terms else self._view(terms, None)

    def latch_of(self, bundle: str) -> BundleLatch:
        """What is kept of a bundle, `name:version`, whether it serves or not."""
        return self._latch.of(bundle)

    def look(self) -> None:
        """One look at all bundles that serve."""
        self._take(self._archive.keep_in_step(self._latch))
        self._expire_at = self._expiry.at(self._clock())
        serving = list(self._serving())
        for gone in self._followed.keys() - {terms.bundle for terms in serving}:
            del self._followed[gone]
        for terms in serving:
            reading = self._follow(terms) if terms.answers else None
            if reading is not None:
                self._note_alarms(terms, reading)
            view = self._views[terms.bundle] = self._view(terms, reading)
            self._observer.show(view)
            self._report(view)
            self._say(view)

    def _follow(self, terms: PromiseTerms) -> Reading | None:
        followed = self._followed_for(terms)
        if self._reader is None:
            return None
        try:
            changes = self._reader.changes(terms.bundle, followed.sequence)
        except StoreUnavailable:
            return followed.reading
        followed.monitor.apply(changes)
        followed.sequence = changes.sequence
        now = self._clock()
        followed.reading = followed.monitor.read(now, self._expire_at)
        if time.monotonic() - followed.kept_at >= _KEEP_EVERY:
            followed.kept_at = time.monotonic()
            self._keep(terms.bundle, followed)
        return followed.reading

    def _followed_for(self, terms: PromiseTerms) -> _Followed:
        begin = self._latch.of(terms.bundle).begin
        followed = self._followed.get(terms.bundle)
        if followed is None or followed.begin != begin or followed.monitor.terms != terms:
            base = self._archive.base(terms.bundle, begin)
            monitor = BundleMonitor(terms, self._options, begin=math.ceil(begin), base=base)
            followed = self._followed[terms.bundle] = _Followed(monitor, begin)
        return followed

    def _keep(self, bundle: str, followed: _Followed) -> None:
        base = followed.monitor.settle(self._expire_at)
        if base is None:
            return
        try:
            self._archive.keep(bundle, base, followed.begin)
        except OSError as error:
            logger.error("promise_state_not_kept", bundle=bundle, error=str(error))

    def _note_alarms(self, terms: PromiseTerms, reading: Reading) -> None:
        begin, held = self._followed[terms.bundle].begin, self._latch.of(terms.bundle).alarms
        for one in reading.signals:
            if one.alarm and f"{one.signal} {one.part}" not in held:
                alarm = Alarm(one.signal, one.part, self._clock(), one.peak, self._policy.trusted)
                self._take(self._latch.alarmed(terms.bundle, alarm, begin))
                log = logger.error if one.signal == "broken" else logger.warning
                log(
                    f"promise_{one.signal}",
                    bundle=terms.bundle,
                    part=one.part or None,
                    e_value=one.peak,
                    alarm_at=one.threshold,
                    tested=one.tested,
                    audits=reading.audits,
                    risk=list(reading.risk),
                    acts=self._policy.acts and self._policy.trusted and one.signal == "broken",
                )
                with suppress(OSError):  # The latch of this process holds, and is written again at each look.
                    self._archive.change_latch(self._latch.merged)

    def _take(self, latch: Latch) -> None:
        """Hold to a latch from now on, before anything else is done."""
        self._latch = self._latch.merged(latch)
        if self._policy.acts:
            self.suspended = frozenset(bundle for bundle, one in self._latch.bundles.items() if one.suspends)

    def _say(self, view: MonitorView) -> None:
        """Log the sentence now and then, once there is something to say."""
        followed = self._followed.get(view.terms.bundle)
        if followed is None or view.reading is None or not view.reading.audits:
            return
        if time.monotonic() - followed.said_at >= _SAY_EVERY:
            followed.said_at = time.monotonic()
            logger.info("promise", bundle=view.terms.bundle, note=view.sentence)

    def _report(self, view: MonitorView) -> None:
        bundle, begin = view.terms.bundle, view.latch.begin
        if view.suspended and self._reported.get(bundle) != begin:
            self._reported[bundle] = begin
            self._observer.broken(bundle)

    def _view(self, terms: PromiseTerms, reading: Reading | None) -> MonitorView:
        latch, suspended = self._latch.of(terms.bundle), terms.bundle in self.suspended
        sentence = monitor_sentence(
            terms,
            self._options,
            reading,
            latch,
            open_labels=self._policy.open_labels,
            suspended=suspended,
        )
        return MonitorView(terms, reading, latch, sentence, suspended)

    def _run(self) -> None:
        while True:
            try:
                self.look()
            except Exception:
                # The next look may succeed; predictions go on either way.
                logger.exception("promise_look_failed")
            if self._stopping.wait(INTERVAL):
                return
