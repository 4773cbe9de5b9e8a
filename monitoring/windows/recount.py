"""An independent recount of the rolling windows, from the events themselves.

Nothing of the scripts or of the figures from counts is used here: events are kept as they are, sorted, and
each figure is computed from the labels of a window, so that a fault of either is found.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from calibration.scores import BoolArray, IntArray
from monitoring.events import SHADOW_MARK, Event, FeedbackEvent, PredictionEvent
from monitoring.windows.latest_labels import LatestLabels
from monitoring.windows.snapshot import TOTAL, RollingSnapshot, WindowSnapshot

_TOLERANCE: Final = 1e-9


@dataclass(frozen=True, slots=True)
class _Counted:
    """A prediction with the label that holds, if one does."""

    event: PredictionEvent
    label: int | None


@dataclass(slots=True)
class Comparison:
    """Figures of the store beside the same figures counted again."""

    figures: int = 0
    """Number of figures that were counted again."""
    differences: list[str] = field(default_factory=list)
    """A sentence for each that differs."""

    def add(self, where: str, figure: str, held: object, counted: object) -> None:
        """Compare one figure; of two floats up to rounding."""
        self.figures += 1
        same = held == counted
        if isinstance(held, float) and isinstance(counted, float):
            same = math.isclose(held, counted, abs_tol=_TOLERANCE)
        if not same:
            self.differences.append(
                f"{where}: {figure} is {held} in the store and {counted} counted from the events"
            )


@dataclass(slots=True)
class Recount:
    """Events, from which the figures of any window are counted again. `add` them in any order."""

    labels: LatestLabels = field(default_factory=LatestLabels)
    _predictions: dict[str, PredictionEvent] = field(default_factory=dict)

    def add(self, events: Iterable[Event]) -> None:
        """Take events; of several predictions of one id the first counts."""
        for event in events:
            if isinstance(event, PredictionEvent):
                self._predictions.setdefault(event.request_id, event)
            elif isinstance(event, FeedbackEvent):
                self.labels.add([event])

    def scopes(self) -> list[str]:
        """`TOTAL` and every bundle."""
        return [TOTAL, *sorted({event.bundle for event in self._predictions.values()})]

    def compare(self, snapshots: Sequence[RollingSnapshot]) -> Comparison:
        """Count every figure of the snapshots again."""
        by_scope = self._by_scope()
        comparison = Comparison()
        for snapshot in snapshots:
            _compare_scope(comparison, snapshot, by_scope.get(snapshot.bundle, []))
        return comparison

    def _by_scope(self) -> Mapping[str, list[_Counted]]:
        """Scope -> its predictions in the order of the windows."""
        found: dict[str, list[_Counted]] = {}
        for event in sorted(self._predictions.values(), key=_place):
            feedback = self.labels.of(event)
            counted = _Counted(event, None if feedback is None else feedback.label)
            found.setdefault(event.bundle, []).append(counted)
            if SHADOW_MARK not in event.request_id:
                found.setdefault(TOTAL, []).append(counted)
        return found


def _place(event: PredictionEvent) -> tuple[float, str]:
    # The store keeps times to the microsecond, and an id with the colon behind it.
    return round(event.at, 6), f"{event.request_id}:"


def _compare_scope(comparison: Comparison, snapshot: RollingSnapshot, counted: Sequence[_Counted]) -> None:
    where = snapshot.bundle
    labelled = [one for one in counted if one.label is not None]
    comparison.add(where, "predictions", snapshot.predictions, len(counted))
    comparison.add(where, "labelled predictions", snapshot.labelled, len(labelled))
    all_pairs = [(one.event.predicted, one.label) for one in labelled]
    answered = [(one.event.answer, one.label) for one in labelled if one.event.answer is not None]
    for name, series, pairs in (
        ("all", snapshot.all, all_pairs),
        ("answered", snapshot.answered, answered),
    ):
        for size, window in series.windows.items():
            last = np.array(pairs[-size:], dtype=np.int64).reshape(-1, 2)
            _compare_window(comparison, f"{where}, window {size}, {name}", window, last)
    for size, decided in snapshot.decided.items():
        last_decided = [one.event for one in counted[-size:]]
        place = f"{where}, window {size}, decided"
        answers = [event.answer is not None for event in last_decided]
        passed_on = [event.stage == "B" for event in last_decided]
        comparison.add(place, "number", decided.n, len(last_decided))
        comparison.add(place, "coverage", decided.coverage.value, _mean(answers))
        comparison.add(place, "stage B", decided.stage_b.value, _mean(passed_on))


def _compare_window(comparison: Comparison, where: str, window: WindowSnapshot, pairs: IntArray) -> None:
    """`pairs` [n, 2]: predicted and label."""
    predicted, label = pairs.T
    found, times = np.unique(pairs, axis=0, return_counts=True)
    cells = {(int(p), int(y)): int(n) for (p, y), n in zip(found, times, strict=True)}
    comparison.add(where, "number", window.n, len(pairs))
    comparison.add(where, "counts", dict(window.cells), cells)
    comparison.add(where, "accuracy", window.accuracy.value, _mean(predicted == label))
    comparison.add(where, "Matthews correlation", window.mcc.value, _correlation(predicted, label))
    if len(pairs) and pairs.max() <= 1:
        figures = window.figures
        comparison.add(where, "precision", figures.precision.value, _mean(label[predicted == 1] == 1))
        comparison.add(where, "recall", figures.recall.value, _mean(predicted[label == 1] == 1))
        comparison.add(where, "specificity", figures.specificity.value, _mean(predicted[label == 0] == 0))


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


def _mean(hits: Sequence[bool] | BoolArray) -> float | None:
    return float(np.mean(hits)) if len(hits) else None
