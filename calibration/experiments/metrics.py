"""Metrics of an experiment: each a smooth function of the shares of a few kinds of request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

import numpy as np

from calibration.experiments.arms import ArmTable
from calibration.metrics.classification import confusion_mcc
from calibration.metrics.intervals import mcc_and_gradient
from calibration.metrics.reward import natix_reward
from calibration.scores import FloatArray

_FIRST_KIND: Final = ((0,),)
_ERRORS_AND_CLASSES: Final = ((1, 2), (2, 3), (1, 3))

Counts = tuple[FloatArray, FloatArray]
"""(kinds [n, k]: what each row has of each kind, the sum being its weight; number [n] of its requests)"""


Reads = Literal["requests", "labels", "audits"]
"""What a metric is made of: all requests, those with a label, or the answers that were audited"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One figure of an arm, as a function of its shares [k] of requests of each kind, 1 in sum."""

    name: str
    reads: Reads
    counts: Callable[[ArmTable], Counts]
    value: Callable[[FloatArray], float]
    gradient: Callable[[FloatArray], FloatArray | None]
    """[k], by the shares; None where the figure is not defined"""
    higher_is_better: bool = True
    margin: float
    """Smallest difference that matters, if nobody says another one: an interval within it means none"""
    farthest: float = 1.0
    """Largest difference that there can be"""
    events: tuple[tuple[int, ...], ...]
    """Groups of kinds of which there must be some, inside of the group and outside of it, before a normal
    distribution is a fair approximation; the first one is the figure itself, or what it depends on most"""

    @property
    def is_share(self) -> bool:
        """Whether it is the share of the first of two kinds."""
        return self.events == _FIRST_KIND


def share(
    name: str,
    reads: Reads,
    counts: Callable[[ArmTable], Counts],
    *,
    higher_is_better: bool = True,
    margin: float = 0.02,
) -> Metric:
    """A metric that is the share of the first of two kinds."""
    first = np.array([1.0, 0.0])
    return Metric(
        name=name,
        reads=reads,
        counts=counts,
        value=lambda shares: float(shares[0]),
        gradient=lambda _: first,
        higher_is_better=higher_is_better,
        margin=margin,
        events=_FIRST_KIND,
    )


def mcc_value(shares: FloatArray) -> float:
    """Matthews correlation at shares [4]: label 0 answered 0, 0 answered 1, 1 answered 0, 1 answered 1."""
    return confusion_mcc(shares.reshape(2, 2))


def mcc_gradient(shares: FloatArray) -> FloatArray | None:
    """Its gradient [4]; None if labels or answers are of one class only."""
    cells = shares.reshape(2, 2)
    if min(cells.sum(axis=0).min(), cells.sum(axis=1).min()) <= 0.0:
        return None
    return mcc_and_gradient(cells)[1].ravel()


def reward_value(shares: FloatArray) -> float:
    """Reward of the reference task, `natix_reward`, at the MCC and the accuracy of all requests of an arm."""
    return natix_reward(mcc_value(shares), float(shares[0] + shares[3]))


def reward_gradient(shares: FloatArray) -> FloatArray | None:
    """Its gradient [4]; None if labels or answers are of one class only."""
    slope = mcc_gradient(shares)
    if slope is None:
        return None
    correlation, accuracy = mcc_value(shares), float(shares[0] + shares[3])
    mean = 0.5 * max(0.0, correlation) + 0.5 * accuracy
    inner = 0.5 * np.eye(2).ravel() + 0.5 * slope * (correlation > 0.0)
    return np.asarray(3.0 * mean**2 * inner, dtype=np.float64)


def _two_kinds(hits: FloatArray, of: FloatArray, number: FloatArray) -> Counts:
    return np.stack([hits, of - hits], axis=1), number


def _accuracy(table: ArmTable) -> Counts:
    labelled = table.labelled.astype(np.float64)
    return _two_kinds(table.right.astype(np.float64), labelled, labelled)


def _risk(table: ArmTable) -> Counts:
    return _two_kinds(table.audited_wrong, table.audited, table.audits.astype(np.float64))


def _coverage(table: ArmTable) -> Counts:
    requests = table.requests.astype(np.float64)
    return _two_kinds(table.answered.astype(np.float64), requests, requests)


def _confusion(table: ArmTable) -> Counts:
    cells = table.confusion.reshape(len(table), 4).astype(np.float64)
    return cells, np.asarray(cells.sum(axis=1))


def _of_confusion(
    name: str,
    value: Callable[[FloatArray], float],
    gradient: Callable[[FloatArray], FloatArray | None],
    margin: float,
    farthest: float,
) -> Metric:
    return Metric(
        name=name,
        reads="labels",
        counts=_confusion,
        value=value,
        gradient=gradient,
        margin=margin,
        farthest=farthest,
        events=_ERRORS_AND_CLASSES,
    )


METRICS: Final[Mapping[str, Metric]] = MappingProxyType(
    {
        metric.name: metric
        for metric in (
            share("accuracy", "labels", _accuracy),
            share("risk", "audits", _risk, higher_is_better=False, margin=0.005),
            share("coverage", "requests", _coverage),
            _of_confusion("mcc", mcc_value, mcc_gradient, 0.04, 2.0),
            _of_confusion("reward", reward_value, reward_gradient, 0.05, 1.0),
        )
    }
)
"""By name. Risk is the share of wrong answers among the answered, from audits alone: other labels may have
been chosen for what the answer was. The others that need labels read every label."""


def metric_of(name: str) -> Metric:
    """The metric of this name. Raises ValueError with the known names."""
    try:
        return METRICS[name]
    except KeyError:
        raise ValueError(f"metric is {name!r}; it must be one of {', '.join(METRICS)}") from None
