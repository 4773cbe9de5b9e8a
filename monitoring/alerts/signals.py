"""Signals: the figures that rules may watch, by name, and one reading of one of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Final, Literal, Self

from monitoring.formats import known

Unit = Literal["alarm", "share", "seconds", "count", "e-value", "correlation"]
"""`alarm`: 1 while something is so, 0 while it is not; `share`: 0 to 1; `correlation`: -1 to 1"""

Labels = tuple[tuple[str, str], ...]
"""Names and values, in the order of the names"""

_RANGES: Final[Mapping[Unit, tuple[float, float]]] = MappingProxyType(
    {
        "alarm": (0.0, 1.0),
        "share": (0.0, 1.0),
        "seconds": (0.0, math.inf),
        "count": (0.0, math.inf),
        "e-value": (0.0, math.inf),
        "correlation": (-1.0, 1.0),
    }
)


@dataclass(frozen=True, slots=True)
class Reading:
    """One value of a named signal at one moment."""

    signal: str
    """A name in `SIGNALS`"""
    labels: Labels
    """Bundle, part, window, experiment, arm, service: what the value is of"""
    value: float | None
    """None: there is no data, which is neither a pass nor an alarm"""
    low: float | None
    high: float | None
    """Ends of the 95 % interval; None for a signal without one"""
    n: int | None
    """Number of cases behind the value"""
    since: float | None
    """Unix time, seconds, since which it is so"""
    at: float
    """Unix time, seconds, of the reading"""
    text: str
    """A sentence with the figures, for people"""
    over: bool = False
    """Whether what it is of is in service no more, which ends its alerts"""

    def label(self, name: str) -> str | None:
        """The value of one label; None if the reading has no such label."""
        return next((value for key, value in self.labels if key == name), None)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "labels": dict(self.labels)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`. Raises KeyError, TypeError or ValueError for other values."""
        return cls(**{**known(cls, values), "labels": labels_of(values["labels"])})


@dataclass(frozen=True, slots=True)
class SignalKind:
    """What a signal is."""

    unit: Unit
    about: str
    """What the value means, in one clause"""
    source: str
    """Where it comes from, in one clause"""
    labels: tuple[str, ...]
    """Names of the labels that its readings have"""
    runbook: str
    """Name of the page in docs/runbooks/ for an alarm of it"""
    has_interval: bool = False
    """Whether its readings have a 95 % interval"""

    @property
    def range(self) -> tuple[float, float]:
        """The smallest and the largest value that it can have."""
        return _RANGES[self.unit]


def labels_of(values: Mapping[str, str]) -> Labels:
    """Labels of a mapping; labels with an empty value are left out."""
    return tuple(sorted((name, value) for name, value in values.items() if value))


SIGNALS: Final[Mapping[str, SignalKind]] = MappingProxyType(
    {
        "promise_broken": SignalKind(
            "alarm",
            "1 from the moment a promise is broken until a person resets it",
            "the audits of the answers",
            ("bundle", "part"),
            "promise-broken",
        ),
        "promise_worse": SignalKind(
            "alarm",
            "1 from the moment the risk is above that of the bundle's own beginning, until a reset",
            "the audits of the answers",
            ("bundle", "part"),
            "promise-worse",
        ),
        "promise_coverage": SignalKind(
            "alarm",
            "1 from the moment fewer images are answered than the certificate proves, until a reset",
            "the decisions of the bundle",
            ("bundle", "part"),
            "promise-coverage",
        ),
        "promise_risk": SignalKind(
            "share",
            "share of wrong answers; its interval is valid at every look",
            "the audits of the answers",
            ("bundle",),
            "promise-worse",
            has_interval=True,
        ),
        "drift": SignalKind(
            "alarm",
            "1 while the last window of images has moved away from its reference",
            "the images that were drawn for the drift signals",
            ("bundle", "service"),
            "drift",
        ),
        "expected_risk": SignalKind(
            "share",
            "share of wrong answers by the model's own probabilities",
            "the images that were drawn for the drift signals",
            ("bundle", "service"),
            "drift",
            has_interval=True,
        ),
        "accuracy": SignalKind(
            "share",
            "accuracy of the last labelled predictions",
            "the rolling windows",
            ("bundle", "window"),
            "accuracy",
            has_interval=True,
        ),
        "mcc": SignalKind(
            "correlation",
            "Matthews correlation of the last labelled predictions",
            "the rolling windows",
            ("bundle", "window"),
            "accuracy",
            has_interval=True,
        ),
        "coverage": SignalKind(
            "share",
            "share of the last predictions that were answered",
            "the rolling windows",
            ("bundle", "window"),
            "promise-coverage",
            has_interval=True,
        ),
        "label_coverage": SignalKind(
            "share",
            "share labelled of the latest predictions",
            "the rolling windows",
            ("bundle",),
            "labels-missing",
        ),
        "audits_unlabelled": SignalKind(
            "share",
            "share of the audits whose label never came",
            "the audits of the answers",
            ("bundle",),
            "labels-missing",
            has_interval=True,
        ),
        "store_away": SignalKind(
            "alarm",
            "1 while the store of the windows does not answer",
            "the delivery of the events",
            ("service",),
            "store-away",
        ),
        "event_log_failing": SignalKind(
            "alarm",
            "1 while events cannot be written to the log on disk",
            "the delivery of the events",
            ("service",),
            "event-log-failing",
        ),
        "events_waiting": SignalKind(
            "count",
            "events that the store does not have yet",
            "the delivery of the events",
            ("service",),
            "events-waiting",
        ),
        "error_share": SignalKind(
            "share",
            "share of the requests for a prediction that failed with a 5xx status, in the last five minutes",
            "the requests of all workers",
            ("service",),
            "errors",
            has_interval=True,
        ),
        "latency": SignalKind(
            "seconds",
            "time within which 99 % of the predictions were answered, in the last five minutes",
            "the requests of all workers",
            ("service",),
            "latency",
        ),
        "sample_ratio": SignalKind(
            "e-value",
            "evidence that the units of an experiment are not dealt in the designed shares",
            "the units of the experiment",
            ("experiment",),
            "sample-ratio-mismatch",
        ),
        "experiment_withdrawn": SignalKind(
            "alarm",
            "1 from the moment a guardrail has withdrawn an arm of an experiment, until it is stopped",
            "the guardrails of the experiment",
            ("experiment", "arm"),
            "experiment-withdrawn",
        ),
        "promotion_rolled_back": SignalKind(
            "alarm",
            "1 from the moment a promotion was rolled back until the next one begins, for a day at most",
            "the fleet's record in the registry",
            ("fleet",),
            "promotion-rolled-back",
        ),
        "alerts_without_store": SignalKind(
            "alarm",
            "1 while the alert engine goes on from memory and disk, because its store does not answer",
            "the alert engine",
            ("service",),
            "store-away",
        ),
        "signal_silent": SignalKind(
            "seconds",
            "time for which a signal that a rule watches has had no data",
            "the alert engine",
            ("rule", "of"),
            "signal-silent",
        ),
        "rules_refused": SignalKind(
            "alarm",
            "1 while the rules file has faults, so that the rules before its last change are in force",
            "the alert engine",
            ("service",),
            "rules-refused",
        ),
        "messages_undelivered": SignalKind(
            "seconds",
            "age of the oldest message that a channel has not taken",
            "the alert engine",
            ("channel",),
            "messages-undelivered",
        ),
    }
)
"""Every signal. A name is never given another meaning."""
