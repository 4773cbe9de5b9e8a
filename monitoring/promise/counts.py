"""Counts of the items, and the interval of their risk, beside the signals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calibration.sequential import IntervalState, RiskInterval
from monitoring.promise.chunk import SECONDS, Chunk
from monitoring.promise.timeline import Timeline


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of answered items."""

    images: int = 0
    audits: int = 0
    missing: int = 0
    """Audits whose label never came"""
    errors: int = 0
    """Audits with a label that was wrong"""
    decided: int = 0
    """Items of the coverage"""
    answered: int = 0

    def plus(self, other: Tally) -> Tally:
        return Tally(
            self.images + other.images,
            self.audits + other.audits,
            self.missing + other.missing,
            self.errors + other.errors,
            self.decided + other.decided,
            self.answered + other.answered,
        )


def tally_of(chunk: Chunk, until: int | None) -> Tally:
    """The counts of the answered items of a chunk, up to a second."""
    evidence = chunk.evidence(None, until)
    errors = evidence.sums.errors - evidence.missing
    return Tally(evidence.images, evidence.sums.audits, evidence.missing, errors)


def decided_of(chunk: Chunk, until: int | None) -> Tally:
    """The counts of the decided items of a chunk, up to a second."""
    tally = Tally()
    for abstentions, answers in chunk.decisions(until):
        tally = tally.plus(Tally(decided=abstentions + answers, answered=answers))
    return tally


_Found = tuple[int, tuple[float, ...]] | None
"""Answered items, and the audit probabilities of the errors among them; None where an item has a probability
that is too small for the interval"""


class IntervalWatch:
    """Interval of the risk over all items, with the missing labels counted as wrong, or as right.

    It holds for audit probabilities of at least `least`. If an item has a smaller one, because the share of
    audits was smaller then, the interval begins anew behind its chunk.
    """

    def __init__(self, share: float, least: float, *, missing_wrong: bool) -> None:
        self._share, self._least = share, least
        self._missing_wrong = missing_wrong
        self._key = f"found {missing_wrong} {least!r}"
        self._base = self._new()
        self._settled = self._new()
        """Sums of the base and of the chunks up to `_upto`, so that most looks count the last chunks alone"""
        self._upto = 0

    def restore(self, state: IntervalState | None) -> None:
        """Go on from a state of an interval with the same `least`."""
        if state is not None:
            self._base.state = state
        self._restart()

    def forget_from(self, index: int) -> None:
        """Count the chunks from `index` on again."""
        if index < self._upto:
            self._restart()

    def before(self, timeline: Timeline, until: int) -> RiskInterval:
        """The interval at the second `until`."""
        if until < self._upto * SECONDS:
            self._restart()
        whole = [self._found_in(chunk) for chunk in timeline.chunks(self._upto, until)]
        if whole:
            self._settled = self._with(self._settled, whole)
        self._upto = max(self._upto, until // SECONDS)
        open_chunk = timeline.open_chunk(until)
        if open_chunk is None:
            return self._settled
        return self._with(self._settled, [self._count(open_chunk, until)])

    def settle(self, timeline: Timeline, second: int) -> IntervalState:
        """Begin at `second`; the state from which a new interval goes on there."""
        self._base = self.before(timeline, second)
        self._restart()
        return self._base.state

    def _restart(self) -> None:
        self._settled = self._new()
        self._settled.state = self._base.state
        self._upto = 0

    def _new(self) -> RiskInterval:
        return RiskInterval(share=self._share, least_probability=self._least)

    def _found_in(self, chunk: Chunk) -> _Found:
        if self._key not in chunk.computed:
            chunk.computed[self._key] = self._count(chunk, None)
        found: _Found = chunk.computed[self._key]
        return found

    def _count(self, chunk: Chunk, until: int | None) -> _Found:
        evidence = chunk.evidence(None, until)
        if evidence.least < self._least * (1.0 - 1e-9):
            return None
        wrong = (one for one in evidence.wrong if self._missing_wrong or not one.missing)
        return evidence.images, tuple(one.probability for one in wrong)

    def _with(self, interval: RiskInterval, chunks: Sequence[_Found]) -> RiskInterval:
        """An interval that goes on with these chunks, all at once."""
        breaks = [place for place, one in enumerate(chunks) if one is None]
        following = [one for one in chunks[breaks[-1] + 1 if breaks else 0 :] if one is not None]
        later = self._new()
        if not breaks:
            later.state = interval.state
        probabilities = [one for _, found in following for one in found]
        later.add(sum(images for images, _ in following), np.array(probabilities, dtype=np.float64))
        return later
