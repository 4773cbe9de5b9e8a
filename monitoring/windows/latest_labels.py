"""The label of each prediction that holds, from the events themselves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from monitoring.events import FeedbackEvent, PredictionEvent


@dataclass(slots=True)
class LatestLabels:
    """Labels, added in any order; of several for one prediction the latest that is in time holds."""

    prediction_ttl: float = 7 * 86_400.0
    """Seconds after its prediction until which a label counts."""
    parked_ttl: float = 86_400.0
    """Seconds before its prediction from which on a label counts."""
    _labels: dict[str, list[FeedbackEvent]] = field(default_factory=dict)

    def add(self, events: Iterable[FeedbackEvent]) -> None:
        """Take labels."""
        for event in events:
            self._labels.setdefault(event.request_id, []).append(event)

    def of(self, prediction: PredictionEvent) -> FeedbackEvent | None:
        """The label that holds, if there is one; of two of the same time the higher one."""
        in_time = (
            event
            for event in self._labels.get(prediction.request_id, ())
            if -self.parked_ttl <= event.at - prediction.at <= self.prediction_ttl
        )
        return max(in_time, key=lambda event: (event.at, event.label), default=None)
