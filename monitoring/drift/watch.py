"""Drift watch: closes windows, compares each with its reference, and keeps what it concludes.

At most one comparison per hour, of at least 250 images of different units. The operator's rate of false
alarms per week is divided by the 168 hours of a week, so it holds however the comparisons of a week depend on
each other (Bonferroni); a week with fewer comparisons has fewer false alarms.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from calibration.drift.comparison import LEAST_IMAGES, LEAST_REFERENCE, compare
from calibration.drift.performance import ExpectedPerformance, expected_performance, pooled
from calibration.drift.signals import SignalSample
from monitoring.drift.conclusion import Conclusion
from monitoring.drift.sample_folder import SampleFolder, Window

LOOKS_PER_WEEK: Final = 168
LOOK_EVERY: Final = 3600.0
"""Seconds between two comparisons at least"""
MOST_IMAGES: Final = 500
"""Images of a window, at most"""
_WEEK: Final = 7 * 86_400.0
_SAME_HOUR: Final = 3600.0
"""Distance of the middles of two windows that count as the same hour of the week"""
_CLOCK_ERROR: Final = 86_400.0
"""A last comparison further in the future was made by a wrong clock, and is ignored"""


@dataclass(frozen=True, slots=True)
class DriftPolicy:
    """How the operator wants drift to be judged."""

    false_alarms: float = 0.05
    """False alarms per week, all tests together; .05 is one in twenty weeks"""
    season_weeks: int = 0
    """Earlier weeks whose same hours are compared with; 0: the bundle's reference"""

    @property
    def level(self) -> float:
        """Probability of a false alarm of one comparison."""
        return self.false_alarms / LOOKS_PER_WEEK

    @property
    def most_age(self) -> float:
        """Seconds for which closed windows are kept."""
        return (self.season_weeks + 1) * _WEEK


class DriftWatch:
    """Watch over one bundle. Methods raise OSError if the folder cannot be used."""

    def __init__(self, folder: SampleFolder, reference: SignalSample, policy: DriftPolicy) -> None:
        self.folder = folder
        self._reference = reference
        self._policy = policy

    def latest(self) -> Conclusion | None:
        """The last conclusion of any worker; None before the first."""
        return latest_conclusion(self.folder)

    def due(self, now: float) -> bool:
        """Whether enough time has passed since the last comparison; `now`: Unix time."""
        latest = self.latest()
        return latest is None or not -_CLOCK_ERROR < now - latest.at < LOOK_EVERY

    def look(self, now: float, audited: tuple[float, float] | None = None) -> Conclusion | None:
        """Close the open window and compare it; None if it is not due or holds too few images.

        `audited`: 95 % interval of the risk over all audits, which the conclusion keeps.
        """
        if not self.due(now):
            return None
        before = self.latest()
        window = self.folder.take(LEAST_IMAGES, MOST_IMAGES)
        if window is None:
            return None
        found = replace(self._conclude(window, before, now), audited_risk=audited)
        self.folder.keep(window, found.to_values(), self._policy.most_age)
        return found

    def _conclude(self, window: Window, before: Conclusion | None, now: float) -> Conclusion:
        reference = self._reference if not self._policy.season_weeks else self._season(window)
        n_reference = 0 if reference is None else len(reference)
        expected = _expected(window.sample)
        so_far = None if before is None else before.risk_so_far
        started = Conclusion(
            at=now,
            since=window.since,
            until=window.until,
            images=len(window.sample),
            with_units=window.with_units,
            against="season" if self._policy.season_weeks else "reference",
            n_reference=n_reference,
            false_alarms=self._policy.false_alarms,
            level=self._policy.level,
            expected=expected,
            expected_before=_expected(self._reference),
            risk_so_far=pooled(so_far, expected.risk),
        )
        if reference is None or n_reference < LEAST_REFERENCE:
            what = "earlier weeks hold" if self._policy.season_weeks else "the bundle's reference holds"
            return replace(
                started,
                withheld=f"{what} {n_reference} images to compare with, at least {LEAST_REFERENCE} needed",
            )
        seed = int(window.until) & 0xFFFF_FFFF
        comparison = compare(reference, window.sample, level=self._policy.level, seed=seed)
        return started.with_comparison(comparison, before)

    def _season(self, window: Window) -> SignalSample | None:
        """The images of the same hours of earlier weeks; None if there are none."""
        middle = 0.5 * (window.since + window.until)

        def of_the_season(since: float, until: float) -> bool:
            weeks = (middle - 0.5 * (since + until)) / _WEEK
            earlier = 1 <= round(weeks) <= self._policy.season_weeks
            return earlier and abs(weeks - round(weeks)) * _WEEK <= _SAME_HOUR

        return _joined([earlier.sample for earlier, _ in self.folder.closed(of_the_season)])


def _joined(samples: Sequence[SignalSample]) -> SignalSample | None:
    """All images of several samples, with the signals that all of them have."""
    if not samples:
        return None
    first, *others = samples
    vectors = [one.embedding for one in samples if one.embedding is not None]
    alike = len(vectors) == len(samples) and len({vector.shape[1] for vector in vectors}) == 1
    return SignalSample(
        {
            name: np.concatenate([one.numbers[name] for one in samples])
            for name in first.numbers
            if all(name in one.numbers for one in others)
        },
        {
            name: np.concatenate([one.categories[name] for one in samples])
            for name in first.categories
            if all(name in one.categories for one in others)
        },
        np.concatenate([one.right for one in samples]),
        np.concatenate(vectors) if alike else None,
    )


def _expected(sample: SignalSample) -> ExpectedPerformance:
    return expected_performance(sample.right, sample.answered == 1)


def latest_conclusion(folder: SampleFolder) -> Conclusion | None:
    """The last conclusion of any worker; None before the first, or if it cannot be read."""
    values = folder.latest()
    if values is not None:
        with suppress(ValueError, KeyError, TypeError):
            return Conclusion.from_values(values)
    return None
