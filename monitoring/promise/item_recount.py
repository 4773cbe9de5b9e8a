"""An independent recount of the monitors' items, from the events themselves.

Nothing of the scripts is used here, so that a fault of theirs is found: `demur events replay --check` and the
tests compare the store with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import floor
from typing import Self

from monitoring.events import Event, FeedbackEvent, PredictionEvent
from monitoring.promise.items import AuditItem, ItemChanges
from monitoring.windows.unit_windows import ItemTimes, unit_window


@dataclass(frozen=True, slots=True)
class CountedItems:
    """All items of one bundle."""

    audits: Mapping[str, AuditItem]
    """By request id"""
    unaudited: Mapping[int, Mapping[str, int]]
    """Second -> promised part -> number of unaudited items, none of them 0"""
    decided: Mapping[int, tuple[int, int]]
    """Second -> (items over all decided frames, answered ones among them), none of them (0, 0)"""

    @classmethod
    def held(cls, changes: ItemChanges) -> Self:
        """The items of a complete look at the store."""
        audits = {item.request_id: item for item in changes.audits}
        return cls.without_zeros(audits, changes.unaudited, changes.decided)

    @classmethod
    def without_zeros(
        cls,
        audits: Mapping[str, AuditItem],
        unaudited: Mapping[int, Mapping[str, int]],
        decided: Mapping[int, tuple[int, int]],
    ) -> Self:
        """The items of counts that may have fallen to 0."""
        parts = {
            second: {part: number for part, number in each.items() if number}
            for second, each in unaudited.items()
        }
        return cls(
            audits=audits,
            unaudited={second: each for second, each in parts.items() if each},
            decided={second: numbers for second, numbers in decided.items() if any(numbers)},
        )

    def since(self, at: float) -> Self:
        """The items answered from the Unix time `at`, seconds, on."""
        return type(self)(
            audits={name: item for name, item in self.audits.items() if item.at >= at},
            unaudited={second: each for second, each in self.unaudited.items() if second >= at},
            decided={second: numbers for second, numbers in self.decided.items() if second >= at},
        )

    def differences(self, counted: CountedItems) -> list[str]:
        """A sentence for each audit and each second in which the store holds other items than counted."""
        kinds = (
            ("audit", self.audits, counted.audits),
            ("the unaudited items of second", self.unaudited, counted.unaudited),
            ("the decided items of second", self.decided, counted.decided),
        )
        found = []
        for what, held, again in kinds:
            here, there = dict[object, object](held.items()), dict[object, object](again.items())
            for key in sorted({*here, *there}, key=str):
                if here.get(key) != there.get(key):
                    seen = f"{here.get(key)} in the store and {there.get(key)} counted from the events"
                    found.append(f"{what} {key}: {seen}")
        return found


@dataclass(frozen=True, slots=True)
class ItemRecount:
    """Events, from which the items of any bundle are counted again. `add` them in any order."""

    times: ItemTimes
    _frames: dict[str, PredictionEvent] = field(default_factory=dict)
    _labels: dict[str, list[FeedbackEvent]] = field(default_factory=dict)

    def add(self, events: Iterable[Event]) -> None:
        """Take events; of several predictions of one id the first counts."""
        for event in events:
            if isinstance(event, PredictionEvent):
                self._frames.setdefault(event.request_id, event)
            elif isinstance(event, FeedbackEvent):
                self._labels.setdefault(event.request_id, []).append(event)

    def bundles(self) -> list[str]:
        """Every bundle that has decided anything."""
        return sorted({event.bundle for event in self._frames.values()})

    def items(self, bundle: str) -> CountedItems:
        """The items of a bundle."""
        frames = [one for one in self._frames.values() if one.bundle == bundle and one.draw is not None]
        audits: dict[str, AuditItem] = {}
        unaudited: dict[int, dict[str, int]] = {}
        for one in self._smallest([one for one in frames if one.answer is not None]):
            if one.audit and one.audit_probability is not None:
                audits[one.request_id] = self._audit(one, one.audit_probability)
            else:
                of_second = unaudited.setdefault(floor(_kept(one.at)), {})
                of_second[one.part] = of_second.get(one.part, 0) + 1
        decided: dict[int, tuple[int, int]] = {}
        for one in self._smallest(frames):
            second = floor(_kept(one.at))
            number, answered = decided.get(second, (0, 0))
            decided[second] = number + 1, answered + (one.answer is not None)
        return CountedItems(audits, unaudited, decided)

    def _smallest(self, frames: Sequence[PredictionEvent]) -> list[PredictionEvent]:
        """The frame of each unit-window that has the smallest draw."""
        windows: dict[object, list[PredictionEvent]] = {}
        for one in frames:
            alone = one.unit_id is None
            window = one.request_id if alone else unit_window(one.unit_id or "", one.at, self.times.gap)
            windows.setdefault(window, []).append(one)
        return [min(group, key=lambda one: one.draw or 0.0) for group in windows.values()]

    def _audit(self, one: PredictionEvent, probability: float) -> AuditItem:
        made = _kept(one.at)
        in_time = [
            (_kept(label.at), label.label)
            for label in self._labels.get(one.request_id, ())
            if _kept(label.at) <= made + self.times.wait
        ]
        at, label = max(in_time, default=(None, None))
        wrong = None if label is None else label != one.answer
        return AuditItem(one.request_id, one.unit_id, made, probability, wrong, at, one.part)


def _kept(at: float) -> float:
    """A time as the store keeps it, to the microsecond."""
    return round(at, 6)
