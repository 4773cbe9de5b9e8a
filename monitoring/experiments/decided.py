"""Requests of an experiment that may still get a label, or another one; a bounded number of them."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

MOST_REQUESTS: Final = 500_000
"""Requests whose labels are awaited; beyond them the oldest keep the label that they have."""
MOST_PARKED: Final = 100_000
"""Labels that wait for their request, or are of none of this experiment"""
_NO_LABEL: Final = -1
"""Or no answer"""


@dataclass(frozen=True, slots=True)
class Decided:
    """A decided request, as far as its label matters."""

    row: int
    at: float
    predicted: int
    weight: float
    """1 / the probability of its audit; 0: no audit"""
    label: int | None
    label_at: float
    answer: int | None = None
    """The label answered; None for an abstention"""


@dataclass(frozen=True, slots=True)
class LabelTimes:
    """Within which times of its prediction a label counts, as in the windows."""

    prediction_ttl: float = 7 * 86_400.0
    parked_ttl: float = 86_400.0

    def holds(self, predicted_at: float, label_at: float) -> bool:
        return -self.parked_ttl <= label_at - predicted_at <= self.prediction_ttl


class DecidedRequests:
    """A ring of requests by the hash of their ids, and the labels that wait for theirs."""

    def __init__(self, most: int = MOST_REQUESTS, most_parked: int = MOST_PARKED) -> None:
        self._most, self._most_parked = most, most_parked
        self._places: dict[int, int] = {}
        self._next = 0
        self._keys = array("q")
        self._rows, self._labels, self._predicted = array("i"), array("i"), array("i")
        self._answers = array("i")
        self._at, self._label_at, self._weights = array("d"), array("d"), array("d")
        self._parked: dict[int, list[tuple[float, int]]] = {}
        self._shadows: dict[int, list[tuple[int, int, int]]] = {}

    def __contains__(self, key: int) -> bool:
        return key in self._places

    def add(self, key: int, request: Decided) -> list[tuple[float, int]]:
        """Keep a request; the labels that have waited for it, (time, label)."""
        place = self._next
        if place == len(self._keys):
            for column in (self._rows, self._labels, self._predicted, self._answers, self._keys):
                column.append(0)
            for times in (self._at, self._label_at, self._weights):
                times.append(0.0)
        else:
            forgotten = self._keys[place]
            del self._places[forgotten]
            self._shadows.pop(forgotten, None)
        self._next = (place + 1) % self._most
        self._places[key], self._keys[place] = place, key
        self._rows[place], self._predicted[place] = request.row, request.predicted
        self._at[place], self._weights[place] = request.at, request.weight
        self._answers[place] = _NO_LABEL if request.answer is None else request.answer
        self._labels[place], self._label_at[place] = _NO_LABEL, 0.0
        return self._parked.pop(key, [])

    def get(self, key: int) -> Decided | None:
        """A request that is kept."""
        place = self._places.get(key)
        if place is None:
            return None
        label, answer = self._labels[place], self._answers[place]
        return Decided(
            self._rows[place],
            self._at[place],
            self._predicted[place],
            self._weights[place],
            None if label == _NO_LABEL else label,
            self._label_at[place],
            None if answer == _NO_LABEL else answer,
        )

    def relabel(self, key: int, label: int, at: float) -> None:
        """Note the label that holds of a request that is kept."""
        place = self._places[key]
        self._labels[place], self._label_at[place] = label, at

    def park(self, key: int, at: float, label: int) -> None:
        """Keep a label that is before its request, perhaps; the oldest go if there are too many."""
        self._parked.setdefault(key, []).append((at, label))
        if len(self._parked) > self._most_parked:
            del self._parked[next(iter(self._parked))]

    def add_shadow(self, key: int, arm: int, predicted: int, unit: int) -> None:
        """Note what a shadow says to a request that is kept."""
        self._shadows.setdefault(key, []).append((arm, predicted, unit))

    def shadows(self, key: int) -> Iterator[tuple[int, int, int]]:
        """(arm, forced answer, unit) of each shadow that has decided a request."""
        yield from self._shadows.get(key, ())
