"""Chunk: the items of a few seconds of one bundle, and what they say about its risk.

The order of the items is a function of the items alone: by the whole second of the answer; within a second
the audited items first, by time and id, then the others.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final

from calibration.sequential import AuditSums
from monitoring.promise.items import AuditItem

SECONDS: Final = 32
"""Length of a chunk"""
_ORDER: Final = attrgetter("at", "request_id")


@dataclass(frozen=True, slots=True)
class WrongAudit:
    """An audit that counts as wrong: also one whose label did not come. Read only behind the wait."""

    before: int
    """Images without an error between the wrong audit before it, in this chunk, and this one"""
    probability: float
    missing: bool
    """Whether it counts as wrong only because its label did not come"""


@dataclass(frozen=True, slots=True)
class WrongSecond:
    """A second with audits that count as wrong."""

    audits: tuple[WrongAudit, ...]
    after: int
    """Images of this second behind the last of them"""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The answered items of a chunk, or of one part of them, in order: all that a monitor of the risk needs.

    Images without an error are alike, audited or not, so they are counts between the errors.
    """

    images: int
    missing: int
    """Audits whose label did not come"""
    least: float
    """Smallest probability of an audit; infinite without one"""
    sums: AuditSums
    """Audits, each with the weight 1 / pi"""
    seconds: tuple[WrongSecond, ...]
    after: int
    """Images behind the last of these seconds"""

    @property
    def wrong(self) -> Iterator[WrongAudit]:
        """The audits that count as wrong."""
        return (one for second in self.seconds for one in second.audits)


class Chunk:
    """The items of `SECONDS` seconds, and what was computed over them."""

    __slots__ = ("_evidence", "audits", "computed", "decided", "index", "of_decisions", "unaudited")

    def __init__(self, index: int) -> None:
        self.index = index
        """Its first second divided by `SECONDS`"""
        self.audits: dict[str, AuditItem] = {}
        self.unaudited: dict[str, array[int]] = {}
        """Part -> number of unaudited items in each second"""
        self.decided: tuple[array[int], array[int]] | None = None
        """Decided items, and answered ones among them, in each second"""
        self.computed: dict[str, Any] = {}
        """What folds made of the answered items, by their key"""
        self.of_decisions: dict[str, Any] = {}
        """What folds made of the decided items, which a label does not change"""
        self._evidence: dict[str | None, tuple[int | None, Evidence]] = {}

    def forget(self) -> None:
        """The answered items have changed: what was computed over them holds no more."""
        self.computed.clear()
        self._evidence.clear()

    def evidence(self, part: str | None, until: int | None = None) -> Evidence:
        """The evidence of the seconds before `until`. `part`: of this part alone; None: of all parts."""
        held = self._evidence.get(part)
        if held is not None and held[0] == until:
            return held[1]
        if part is not None and self._has_only(part):
            evidence = self.evidence(None, until)
        else:
            evidence = _evidence(self._audits(part, until), self._unaudited(part, until))
        self._evidence[part] = until, evidence
        return evidence

    def decisions(self, until: int | None = None) -> Iterator[tuple[int, int]]:
        """(abstentions, answers) of each second before `until` that has any, as items of the coverage."""
        if self.decided is not None:
            last = self._seconds(until)
            for decided, answered in zip(self.decided[0][:last], self.decided[1][:last], strict=True):
                if decided:
                    yield decided - answered, answered

    def _has_only(self, part: str) -> bool:
        return self.unaudited.keys() <= {part} and all(item.part == part for item in self.audits.values())

    def _seconds(self, until: int | None) -> int:
        return SECONDS if until is None else max(0, min(SECONDS, until - self.index * SECONDS))

    def _audits(self, part: str | None, until: int | None) -> list[AuditItem]:
        items = [
            item
            for item in self.audits.values()
            if (part is None or item.part == part) and (until is None or item.at < until)
        ]
        items.sort(key=_ORDER)
        return items

    def _unaudited(self, part: str | None, until: int | None) -> dict[int, int]:
        """Second -> number of unaudited items, of the seconds that have any."""
        last, first = self._seconds(until), self.index * SECONDS
        found: dict[int, int] = {}
        for name, row in self.unaudited.items():
            if part is None or name == part:
                for offset, number in enumerate(row[:last]):
                    if number:
                        found[first + offset] = found.get(first + offset, 0) + number
        return found


def _evidence(items: Sequence[AuditItem], unaudited: Mapping[int, int]) -> Evidence:
    weights = [1.0 / item.probability for item in items]
    wrong = [place for place, item in enumerate(items) if item.wrong is not False]
    images = len(items) + sum(unaudited.values())
    seconds = tuple(_wrong_seconds(items, wrong, unaudited))
    counted = sum(one.after + sum(1 + audit.before for audit in one.audits) for one in seconds)
    return Evidence(
        images,
        sum(items[place].wrong is None for place in wrong),
        min((item.probability for item in items), default=float("inf")),
        AuditSums.of(weights, [weights[place] for place in wrong]),
        seconds,
        images - counted,
    )


def _wrong_seconds(
    items: Sequence[AuditItem], wrong: Sequence[int], unaudited: Mapping[int, int]
) -> Iterator[WrongSecond]:
    """The seconds of the items at the places `wrong`."""
    counted = 0
    """Images up to the latest error or the end of its second"""
    by_second: dict[int, list[int]] = {}
    for place in wrong:
        by_second.setdefault(int(items[place].at // 1), []).append(place)
    for second, places in by_second.items():
        earlier = sum(number for one, number in unaudited.items() if one < second)
        audits = []
        for place in places:
            audits.append(
                WrongAudit(earlier + place - counted, items[place].probability, items[place].wrong is None)
            )
            counted = earlier + place + 1
        end = places[-1] + 1
        while end < len(items) and items[end].at < second + 1:
            end += 1
        after = earlier + unaudited.get(second, 0) + end - counted
        yield WrongSecond(tuple(audits), after)
        counted += after
