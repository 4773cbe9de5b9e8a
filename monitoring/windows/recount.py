"""An independent recount of the rolling windows, from the events themselves.

Nothing of the scripts or of the figures from counts is used here: events are kept as they are, sorted, and
each figure is computed from the labels of a window, so that a fault of either is found.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from calibration.scores import IntArray
from monitoring.events import SHADOW_MARK, Event, FeedbackEvent, PredictionEvent
from monitoring.windows.snapshot import TOTAL, RollingSnapshot, WindowSnapshot

_TOLERANCE: Final = 1e-9


@dataclass(frozen=True, slots=True)
class _Counted:
    """A prediction with the label that holds, if one does."""

    event: PredictionEvent
    label: int | None


@dataclass(slots=True)
class Recount:
    """Events, from which the figures of any window are counted again. `add` them in any order."""

    prediction_ttl: float = 7 * 86_400.0
    """Seconds after its prediction until which a label counts."""
    parked_ttl: float = 86_400.0
    """Seconds before its prediction from which on a label counts."""
    _predictions: dict[str, PredictionEvent] = field(default_factory=dict)
    _labels: dict[str, list[FeedbackEvent]] = field(default_factory=dict)

    def add(self, events: Iterable[Event]) -> None:
        """Take events; of several predictions of one id the first counts."""
        for event in events:
            if isinstance(event, PredictionEvent):
                self._predictions.setdefault(event.request_id, event)
            else:
                self._labels.setdefault(event.request_id, []).append(event)

    def scopes(self) -> list[str]:
        """`TOTAL` and every bundle."""
        return [TOTAL, *sorted({event.bundle for event in self._predictions.values()})]

    def differences(self, snapshots: Sequence[RollingSnapshot]) -> Iterator[str]:
        """One line for each figure of the snapshots that is not the one counted here."""
        by_scope = self._by_scope()
        for snapshot in snapshots:
            yield from _differences(snapshot, by_scope.get(snapshot.bundle, []))

    def _by_scope(self) -> Mapping[str, list[_Counted]]:
        """Scope -> its predictions in the order of the windows."""
        found: dict[str, list[_Counted]] = {}
        for event in sorted(self._predictions.values(), key=_place):
            counted = _Counted(event, self._label_of(event))
            found.setdefault(event.bundle, []).append(counted)
            if SHADOW_MARK not in event.request_id:
                found.setdefault(TOTAL, []).append(counted)
        return found

    def _label_of(self, event: PredictionEvent) -> int | None:
        """The latest label that is in time; of two of the same time the higher one."""
        in_time = (
            (label.at, label.label)
            for label in self._labels.get(event.request_id, ())
            if -self.parked_ttl <= label.at - event.at <= self.prediction_ttl
        )
        latest = max(in_time, default=None)
        return None if latest is None else latest[1]


def _place(event: PredictionEvent) -> tuple[float, str]:
    # The store keeps times to the microsecond, and an id with the colon behind it.
    return round(event.at, 6), f"{event.request_id}:"


def _differences(snapshot: RollingSnapshot, counted: Sequence[_Counted]) -> Iterator[str]:
    where = snapshot.bundle
    labelled = [one for one in counted if one.label is not None]
    yield from _differs(where, "predictions", snapshot.predictions, len(counted))
    yield from _differs(where, "labelled predictions", snapshot.labelled, len(labelled))
    all_pairs = [(one.event.predicted, one.label) for one in labelled]
    answered = [(one.event.answer, one.label) for one in labelled if one.event.answer is not None]
    for name, series, pairs in (
        ("all", snapshot.all, all_pairs),
        ("answered", snapshot.answered, answered),
    ):
        for size, window in series.windows.items():
            last = np.array(pairs[-size:], dtype=np.int64).reshape(-1, 2)
            yield from _window_differences(f"{where}, window {size}, {name}", window, last)
    for size, decided in snapshot.decided.items():
        last_decided = [one.event for one in counted[-size:]]
        place = f"{where}, window {size}, decided"
        answers = [event.answer is not None for event in last_decided]
        passed_on = [event.stage == "B" for event in last_decided]
        yield from _differs(place, "number", decided.n, len(last_decided))
        yield from _differs(place, "coverage", decided.coverage.value, _mean(answers))
        yield from _differs(place, "stage B", decided.stage_b.value, _mean(passed_on))


def _window_differences(where: str, window: WindowSnapshot, pairs: IntArray) -> Iterator[str]:
    """`pairs` [n, 2]: predicted and label."""
    yield from _differs(where, "number", window.n, len(pairs))
    found, times = np.unique(pairs, axis=0, return_counts=True)
    cells = {(int(p), int(y)): int(n) for (p, y), n in zip(found, times, strict=True)}
    yield from _differs(where, "counts", dict(window.cells), cells)
    predicted, label = pairs.T
    yield from _differs(where, "accuracy", window.accuracy.value, _mean(predicted == label))
    yield from _differs(where, "Matthews correlation", window.mcc.value, _correlation(predicted, label))
    if len(pairs) and pairs.max() <= 1:
        figures = window.figures
        yield from _differs(where, "precision", figures.precision.value, _mean(label[predicted == 1] == 1))
        yield from _differs(where, "recall", figures.recall.value, _mean(predicted[label == 1] == 1))
        yield from _differs(
            where, "specificity", figures.specificity.value, _mean(predicted[label == 0] == 0)
        )


def _correlation(predicted: IntArray, label: IntArray) -> float:
    """Correlation of the indicators of the classes (Gorodkin's R_K; of two classes Pearson's); 0 if one of
    the two is constant."""
    if not len(label):
        return 0.0
    classes = np.unique(np.concatenate([predicted, label]))
    guess = (predicted[:, None] == classes).astype(np.float64)
    truth = (label[:, None] == classes).astype(np.float64)
    guess, truth = guess - guess.mean(axis=0), truth - truth.mean(axis=0)
    spread = (guess**2).sum() * (truth**2).sum()
    return float((guess * truth).sum() / math.sqrt(spread)) if spread > _TOLERANCE else 0.0


def _mean(hits: Sequence[bool] | np.ndarray[tuple[int], np.dtype[np.bool_]]) -> float | None:
    return float(np.mean(hits)) if len(hits) else None


def _differs(where: str, figure: str, held: object, counted: object) -> Iterator[str]:
    same = held == counted
    if isinstance(held, float) and isinstance(counted, float):
        same = math.isclose(held, counted, abs_tol=_TOLERANCE)
    if not same:
        yield f"{where}: {figure} is {held} in the store and {counted} counted from the events"
