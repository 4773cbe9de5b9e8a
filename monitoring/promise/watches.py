"""Watches: each signal of a bundle as a fold over its timeline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache, partial
from typing import Any

from calibration.sequential import (
    AuditSums,
    DetectorState,
    EDetector,
    coverage_detector,
    worse_detector,
)
from calibration.sequential import baseline as baselines
from monitoring.formats import known
from monitoring.promise.chunk import SECONDS, Chunk
from monitoring.promise.fold import Fold
from monitoring.promise.timeline import Timeline


@dataclass(frozen=True, slots=True)
class Passage:
    """What a chunk does to a detector."""

    end: DetectorState
    looks: tuple[DetectorState, ...]
    """After each second in which an error was found, which alone can raise the value"""


@dataclass(frozen=True, slots=True)
class Watched:
    """A detector after some chunks."""

    state: DetectorState
    peak: float = 0.0
    """Largest value at any look"""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        state = {"products": list(self.state.products), "restarts": list(self.state.restarts)}
        return {"state": state, "peak": self.peak}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Watched:
        """The inverse of `to_dict`."""
        state = values["state"]
        return cls(DetectorState(tuple(state["products"]), tuple(state["restarts"])), float(values["peak"]))


Pass = Callable[[EDetector, Chunk, int | None], tuple[DetectorState, ...]]
"""Updates a detector by a chunk, up to a second, and gives the states at which it is looked at"""


class DetectorWatch:
    """One detector over the timeline."""

    def __init__(
        self,
        key: str,
        detector: EDetector,
        update: Pass,
        start: Watched | None = None,
        *,
        first: int = 0,
        decisions: bool = False,
    ) -> None:
        """`decisions`: `update` reads the decided items, and no answered one."""
        self._detector = detector
        self._update = update
        self._fresh = detector.state
        self._fold: Fold[Watched, Passage] = Fold(
            key,
            start or Watched(self._fresh),
            self._compute,
            self._step,
            first=first,
            decisions=decisions,
        )
        self.forget_from = self._fold.forget_from
        self.before = self._fold.before
        self.start_at = self._fold.start_at

    def value(self, watched: Watched) -> float:
        """E of a state of this watch."""
        return self._detector.value_of(watched.state)

    def _compute(self, chunk: Chunk, until: int | None) -> Passage:
        self._detector.state = self._fresh
        looks = self._update(self._detector, chunk, until)
        return Passage(self._detector.state, looks)

    def _step(self, before: Watched, passage: Passage) -> Watched:
        # Once for each chunk behind a corrected label: a million audits lie in 20,000 chunks.
        state, value_of = before.state, self._detector.value_of
        end = state.then(passage.end)
        peak = max(before.peak, value_of(end))
        for look in passage.looks:
            peak = max(peak, value_of(state.then(look)))
        return Watched(end, peak)


def risk_watch(alpha: float, share: float, part: str, start: Watched | None) -> DetectorWatch:
    """*Broken*: is the risk of the answers in `part` above alpha?"""
    return DetectorWatch(f"broken {part}", EDetector(alpha, share=share), partial(_pass_items, part), start)


def coverage_watch(coverage: float, start: Watched | None) -> DetectorWatch:
    """Are fewer images answered than the certificate proves?"""
    return DetectorWatch("coverage", coverage_detector(coverage), _pass_decisions, start, decisions=True)


@dataclass(frozen=True, slots=True)
class Baseline:
    """Audits of the beginning of a bundle."""

    sums: AuditSums = field(default_factory=AuditSums)
    ends: int | None = None
    """Index of the chunk with which the baseline is complete, and frozen; None: it is not yet"""


class WorseWatch:
    """*Worse*: is the risk of the answers in `part` above that of the bundle's own beginning?

    The baseline ends with the chunk in which it has its 5,000 audits; the detector begins with the next one.
    Before that, it tests against `given`, if there is one.
    """

    def __init__(
        self,
        alpha: float,
        share: float,
        part: str,
        given: float | None,
        start: Mapping[str, Any] | None = None,
    ) -> None:
        self._alpha, self._share, self._part, self._given = alpha, share, part, given
        self._key = f"worse {part}"
        before = Baseline() if start is None else _baseline_from(start["baseline"])
        self._baseline: Fold[Baseline, tuple[int, AuditSums]] = Fold(
            f"baseline {part}", before, self._sums, _add_to_baseline
        )
        self._tested: float | None = None
        self._detector: DetectorWatch | None = None
        if start is not None and start["tested"] is not None:
            self._test(float(start["tested"]), 0, Watched.from_dict(start["watched"]))

    def forget_from(self, index: int) -> None:
        """Compute the chunks from `index` on again."""
        self._baseline.forget_from(index)
        if self._detector is not None:
            self._detector.forget_from(index)

    def before(self, timeline: Timeline, until: int) -> tuple[float | None, Watched | None]:
        """(risk that is tested against, the detector) at the second `until`; None while there is none."""
        baseline = self._baseline.before(timeline, until // SECONDS * SECONDS)
        if baseline.ends is not None:
            risk: float | None = min(self._alpha, _upper_bound(baseline.sums))
            first = baseline.ends + 1
        else:
            risk, first = None if self._given is None else min(self._alpha, self._given), 0
        if risk is None:
            self._tested = self._detector = None
            return None, None
        if self._detector is None or risk != self._tested:
            # What was computed for another risk holds no more.
            timeline.forget_computed(self._key)
            self._test(risk, first, None)
        assert self._detector is not None  # noqa: S101 - set by `_test`
        return risk, self._detector.before(timeline, until)

    def value(self, watched: Watched) -> float:
        """E of a state of this watch."""
        assert self._detector is not None  # noqa: S101 - it gave the state
        return self._detector.value(watched)

    def settle(self, timeline: Timeline, second: int) -> dict[str, Any]:
        """Begin at `second`; the values from which a new watch goes on there."""
        tested, watched = self.before(timeline, second)
        baseline = self._baseline.before(timeline, second // SECONDS * SECONDS)
        self._baseline.start_at(baseline, second)
        if self._detector is not None and watched is not None:
            self._detector.start_at(watched, second)
        return {
            "baseline": asdict(baseline),
            "tested": tested,
            "watched": None if watched is None else watched.to_dict(),
        }

    def _test(self, risk: float, first: int, start: Watched | None) -> None:
        self._tested = risk
        detector = worse_detector(risk, self._alpha, share=self._share)
        self._detector = DetectorWatch(
            self._key, detector, partial(_pass_items, self._part), start, first=first
        )

    def _sums(self, chunk: Chunk, until: int | None) -> tuple[int, AuditSums]:
        return chunk.index, chunk.evidence(self._part, until).sums


def _pass_items(part: str, detector: EDetector, chunk: Chunk, until: int | None) -> tuple[DetectorState, ...]:
    evidence = chunk.evidence(part, until)
    looks = []
    for second in evidence.seconds:
        for wrong in second.audits:
            detector.repeat(wrong.before)
            detector.update(True, True, wrong.probability)
        detector.repeat(second.after)
        looks.append(detector.state)
    detector.repeat(evidence.after)
    return tuple(looks)


def _pass_decisions(detector: EDetector, chunk: Chunk, until: int | None) -> tuple[DetectorState, ...]:
    for abstentions, answers in chunk.decisions(until):
        # In this order R is the smallest that any order within the second gives.
        detector.repeat(abstentions, True, True)
        detector.repeat(answers, False, True)
    return ()


def _add_to_baseline(before: Baseline, chunk: tuple[int, AuditSums]) -> Baseline:
    if before.ends is not None:
        return before
    index, more = chunk
    sums = before.sums + more
    return Baseline(sums, index if sums.audits >= baselines.AUDITS else None)


@lru_cache(maxsize=64)
def _upper_bound(sums: AuditSums) -> float:
    """The bound of a frozen baseline, which each look asks for."""
    return sums.upper_bound()


def _baseline_from(values: Mapping[str, Any]) -> Baseline:
    return Baseline(AuditSums(**known(AuditSums, values["sums"])), values["ends"])
