"""Monitor of one bundle: items in, readings out; and the base from which it goes on after a restart.

The values are a function of the set of events, the settings and the time: whatever order the events came in,
from however many workers. The process stops before the first audit that still waits for its label, so that
slow labels cannot make it look better or worse. What is older than the wait and a margin for late deliveries
is final: it is folded into the base, which outlives the event log and the store.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Self

from calibration.sequential import IntervalState
from monitoring.formats import known
from monitoring.promise.chunk import SECONDS
from monitoring.promise.counts import IntervalWatch, Tally, decided_of, tally_of
from monitoring.promise.fold import Fold
from monitoring.promise.items import NO_PART, ItemChanges
from monitoring.promise.reading import Reading, SignalReading
from monitoring.promise.terms import PromiseTerms, WatchOptions
from monitoring.promise.timeline import Timeline
from monitoring.promise.watches import Watched, WorseWatch, coverage_watch, risk_watch

MARGIN: Final = 43_200.0
"""Seconds beyond the wait for which a label may be on its way: the store was away, or a worker had died. The
store keeps items for longer, so that nothing is lost between it and the base."""


@dataclass(frozen=True, slots=True)
class Base:
    """State of a monitor at one second; what lies before it is final."""

    second: int
    since: float | None
    tally: Tally
    broken: Mapping[str, Watched]
    """By part; empty for a promise in expectation"""
    worse: Mapping[str, Mapping[str, Any]]
    """By part, as `WorseWatch.settle` gives it"""
    coverage: Watched | None
    least: float
    """Smallest audit probability for which the intervals hold"""
    intervals: tuple[IntervalState, IntervalState]
    """Missing labels counted as wrong, and as right"""
    held_at: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` is the inverse."""
        return {
            "second": self.second,
            "since": self.since,
            "tally": asdict(self.tally),
            "broken": {part: watched.to_dict() for part, watched in self.broken.items()},
            "worse": {part: dict(values) for part, values in self.worse.items()},
            "coverage": None if self.coverage is None else self.coverage.to_dict(),
            "least": self.least,
            "intervals": [asdict(state) for state in self.intervals],
            "held_at": self.held_at,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Raises KeyError, TypeError or ValueError for other values."""
        wrong, right = (
            IntervalState(int(one["images"]), tuple(one["log_more"]), tuple(one["log_fewer"]))
            for one in values["intervals"]
        )
        return cls(
            second=int(values["second"]),
            since=values["since"],
            tally=Tally(**known(Tally, values["tally"])),
            broken={part: Watched.from_dict(one) for part, one in values["broken"].items()},
            worse=dict(values["worse"]),
            coverage=None if values["coverage"] is None else Watched.from_dict(values["coverage"]),
            least=float(values["least"]),
            intervals=(wrong, right),
            held_at=values["held_at"],
        )


class BundleMonitor:
    """The monitor of one bundle since `begin`; used from one thread."""

    def __init__(
        self, terms: PromiseTerms, options: WatchOptions, *, begin: int = 0, base: Base | None = None
    ) -> None:
        """`begin`: second of Unix time before which nothing counts; `base`: goes on from there."""
        self.terms, self.options = terms, options
        self._timeline = Timeline(begin if base is None else max(begin, base.second))
        self._since = None if base is None else base.since
        self._held_at = None if base is None else base.held_at
        counted = base.tally if base else Tally()
        self._tally: Fold[Tally, Tally] = Fold("tally", counted, tally_of, Tally.plus)
        self._decided: Fold[Tally, Tally] = Fold("decided", counted, decided_of, Tally.plus, decisions=True)
        self._coverage = (
            None
            if terms.coverage is None or not terms.answers
            else coverage_watch(terms.coverage, base.coverage if base else None)
        )
        watched = terms.parts if terms.answers and terms.alpha is not None and options.share > 0.0 else ()
        alpha, share = terms.alpha or 0.5, options.share
        broken = base.broken if base else {}
        worse = base.worse if base else {}
        self._broken = {
            part: risk_watch(alpha, share, part, broken.get(part))
            for part in watched
            if terms.standing == "promised"
        }
        self._worse = {
            part: WorseWatch(alpha, share, part, options.baseline_risk, worse.get(part)) for part in watched
        }
        self._least = min(1.0, (share or 1.0) * terms.least_weight)
        if base is not None and base.least <= self._least:
            self._least = base.least
        self._intervals = (
            IntervalWatch(share or 1.0, self._least, missing_wrong=True),
            IntervalWatch(share or 1.0, self._least, missing_wrong=False),
        )
        if base is not None and base.least == self._least:
            for interval, state in zip(self._intervals, base.intervals, strict=True):
                interval.restore(state)

    def apply(self, changes: ItemChanges) -> None:
        """Enter what the store has sent."""
        if self._held_at is None:  # Behind it nothing counts any more.
            self._timeline.apply(changes)

    def read(self, now: float, expiry: float | None = None) -> Reading:
        """The monitor at Unix time `now`, seconds; `expiry`: the time by which audits expire, None: `now`."""
        expiry = now if expiry is None else expiry
        self._forget_changed()
        closed = self._closed(now)
        until = self._frontier(expiry, closed)
        tally, decided = (
            self._tally.before(self._timeline, until),
            self._decided.before(self._timeline, closed),
        )
        missing_wrong, missing_right = self._intervals
        first = self._timeline.first
        since = self._since
        if since is None and first is not None:
            since = float(max(first, self._timeline.begin))
        return Reading(
            bundle=self.terms.bundle,
            since=since,
            images=tally.images,
            audits=tally.audits,
            missing=tally.missing,
            waiting=self._timeline.unlabelled.count(expiry - self.options.wait),
            risk=missing_wrong.before(self._timeline, until).interval,
            risk_of_labelled=(
                _scaled(missing_right.before(self._timeline, until).interval, tally)
                if tally.missing
                else None
            ),
            decided=decided.decided,
            answered=decided.answered,
            signals=(*self._risk_signals(until), *self._coverage_signal(closed)),
            with_units=self._timeline.with_units,
            held_at=self._held(expiry),
        )

    def settle(self, expiry: float) -> Base | None:
        """Fold what is final into a new base and forget its items; None if nothing new is final.

        `expiry`: Unix time by which audits expire.
        """
        self._forget_changed()
        second = int(expiry - self.options.wait - MARGIN) // SECONDS * SECONDS
        held = self._held(expiry)
        if held is not None:
            second = min(second, int(held))
        first = self._timeline.first
        if first is None or second <= max(first, self._timeline.begin):
            return None
        timeline = self._timeline
        counted, decided = self._tally.before(timeline, second), self._decided.before(timeline, second)
        tally = replace(counted, decided=decided.decided, answered=decided.answered)
        self._tally.start_at(tally, second)
        self._decided.start_at(tally, second)
        broken = {part: watch.before(timeline, second) for part, watch in self._broken.items()}
        for part, watch in self._broken.items():
            watch.start_at(broken[part], second)
        worse = {part: one.settle(timeline, second) for part, one in self._worse.items()}
        coverage = None
        if self._coverage is not None:
            coverage = self._coverage.before(timeline, second)
            self._coverage.start_at(coverage, second)
        wrong, right = (one.settle(timeline, second) for one in self._intervals)
        if self._since is None:
            self._since = float(first)
        if held is not None and second == int(held):
            self._held_at = held
        timeline.drop_before(second)
        return Base(
            second, self._since, tally, broken, worse, coverage, self._least, (wrong, right), self._held_at
        )

    def _risk_signals(self, until: int) -> Iterator[SignalReading]:
        threshold, alpha = self.terms.threshold, self.terms.alpha
        for part, watch in self._broken.items():
            watched = watch.before(self._timeline, until)
            assert alpha is not None  # noqa: S101 - only then there is a watch
            value = watch.value(watched)
            yield SignalReading("broken", part, value, watched.peak, threshold("broken"), alpha)
        for part, worse in self._worse.items():
            tested, later = worse.before(self._timeline, until)
            if tested is not None and later is not None:
                yield SignalReading("worse", part, worse.value(later), later.peak, threshold("worse"), tested)

    def _coverage_signal(self, until: int) -> Iterator[SignalReading]:
        bound = self.terms.coverage
        if self._coverage is not None and bound is not None:
            watched = self._coverage.before(self._timeline, until)
            value, threshold = self._coverage.value(watched), self.terms.threshold("coverage")
            yield SignalReading("coverage", NO_PART, value, watched.peak, threshold, bound)

    def _closed(self, now: float) -> int:
        """The second before which no item changes by itself."""
        # The item of a unit may be exchanged until its window has ended.
        until = int(now - self.options.gap) if self._timeline.with_units else int(now) + 1
        return until if self._held_at is None else min(until, int(self._held_at))

    def _frontier(self, expiry: float, closed: int) -> int:
        """The second before which every audit has its label, or has waited for it long enough."""
        hold = self.options.missing == "hold"
        waiting = self._timeline.unlabelled.first(0.0 if hold else expiry - self.options.wait)
        return closed if waiting is None else min(closed, int(waiting))

    def _held(self, expiry: float) -> float | None:
        if self._held_at is not None or self.options.missing != "hold":
            return self._held_at
        first = self._timeline.unlabelled.first()
        return first if first is not None and first < expiry - self.options.wait else None

    def _forget_changed(self) -> None:
        answered, decided = self._timeline.take_changed()
        if answered is not None:
            self._tally.forget_from(answered)
            for broken in self._broken.values():
                broken.forget_from(answered)
            for worse in self._worse.values():
                worse.forget_from(answered)
            for interval in self._intervals:
                interval.forget_from(answered)
        if decided is not None:
            self._decided.forget_from(decided)
            if self._coverage is not None:
                self._coverage.forget_from(decided)


def _scaled(interval: tuple[float, float], tally: Tally) -> tuple[float, float]:
    """The interval of the risk from that in which missing labels count as right, if as many labels of wrong
    answers are missing as of right ones."""
    returned = 1.0 - tally.missing / tally.audits
    low, high = interval
    return (min(1.0, low / returned), min(1.0, high / returned)) if returned else (0.0, 1.0)
