"""Snapshots: the rolling windows at one moment, and the figures computed from their counts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np

from calibration.metrics import confusion_mcc, natix_reward, wilson_interval

Cells = Mapping[tuple[int, int], int]
"""(predicted, label) -> count."""


@dataclass(frozen=True, slots=True)
class WindowSnapshot:
    """The last `size` labelled predictions, in the order in which they were predicted."""

    size: int
    cells: Cells
    n: int
    """Labelled predictions in the window; at most `size`."""
    accuracy: float | None
    """None while the window is empty."""
    accuracy_low: float
    accuracy_high: float
    """Wilson 95 % interval; [0, 1] while the window is empty."""
    mcc: float
    """Matthews correlation; 0 if its denominator is zero, and `mcc_reason` then says why."""
    mcc_reason: str | None

    @classmethod
    def of(cls, size: int, cells: Cells) -> WindowSnapshot:
        held = {cell: count for cell, count in cells.items() if count}
        n = sum(held.values())
        right = sum(count for (predicted, label), count in held.items() if predicted == label)
        low, high = wilson_interval(right, n)
        return cls(
            size=size,
            cells=held,
            n=n,
            accuracy=right / n if n else None,
            accuracy_low=low,
            accuracy_high=high,
            mcc=_mcc(held),
            mcc_reason=_why_undefined(held),
        )


@dataclass(frozen=True, slots=True)
class SeriesSnapshot:
    """The windows of one series: `all` predictions with their forced labels, or the `answered` ones."""

    acc: WindowSnapshot
    mcc: WindowSnapshot
    reward: float
    """(0.5 MCC + 0.5 ACC)^3 of the roadwork task, MCC clipped at 0; 0 without a label. It means something for
    bundles of that task alone."""

    @classmethod
    def of(cls, acc: WindowSnapshot, mcc: WindowSnapshot) -> SeriesSnapshot:
        if acc.accuracy is None:
            return cls(acc, mcc, 0.0)
        return cls(acc, mcc, natix_reward(mcc.mcc, acc.accuracy))

    def to_dict(self, *, with_reward: bool = False) -> dict[str, Any]:
        """Plain JSON values."""
        windows = {"acc": _window_dict(self.acc), "mcc": _window_dict(self.mcc)}
        return windows | ({"reward": self.reward} if with_reward else {})


@dataclass(frozen=True, slots=True)
class RollingSnapshot:
    """All windows of one bundle at one moment."""

    bundle: str
    all: SeriesSnapshot
    answered: SeriesSnapshot
    predictions: int
    """Recorded since the bundle first served."""
    labelled: int
    """Predictions among them that are labelled by now."""
    label_coverage: float | None
    """Share labelled of the predictions since the oldest in the larger window; None if it is empty."""
    lags: Sequence[float]
    """Seconds from prediction to first label, for the latest labels, newest first."""

    def label_lag(self, quantile: float) -> float | None:
        """Quantile (nearest rank) of `lags`, seconds; None without a label."""
        if not self.lags:
            return None
        ranked = sorted(self.lags)
        return ranked[min(len(ranked) - 1, max(0, math.ceil(quantile * len(ranked)) - 1))]

    def to_dict(self, *, with_reward: bool = False) -> dict[str, Any]:
        """Plain JSON values, the body of `GET /rolling`. `with_reward`: for bundles of the roadwork task."""
        return {
            "bundle": self.bundle,
            "all": self.all.to_dict(with_reward=with_reward),
            "answered": self.answered.to_dict(with_reward=with_reward),
            "predictions": self.predictions,
            "labelled": self.labelled,
            "label_coverage": self.label_coverage,
            "label_lag_seconds": {"p50": self.label_lag(0.5), "p95": self.label_lag(0.95)},
        }


class WindowReader(Protocol):
    """The windows as their readers see them; `monitoring.windows.rolling.RollingWindows` is one.

    Every method raises `monitoring.store.contract.StoreUnavailable` if the store does not answer.
    """

    def snapshot(self, bundle: str) -> RollingSnapshot:
        """All windows of one bundle at one moment; empty ones for an unknown bundle."""

    def bundles(self) -> list[str]:
        """Bundles that have served, in the order in which they began; the latest at the end."""


def _mcc(cells: Cells) -> float:
    classes = 1 + max((k for cell in cells for k in cell), default=1)
    matrix = np.zeros((classes, classes))
    for (predicted, label), count in cells.items():
        matrix[label, predicted] = count
    return confusion_mcc(matrix)


def _why_undefined(cells: Cells) -> str | None:
    if not cells:
        return "no labelled prediction yet"
    predicted, labels = {p for p, _ in cells}, {y for _, y in cells}
    if len(labels) == 1:
        return f"every label in the window is {labels.pop()}"
    if len(predicted) == 1:
        return f"every prediction in the window is {predicted.pop()}"
    return None


def _window_dict(window: WindowSnapshot) -> dict[str, Any]:
    values = asdict(window)
    values["cells"] = [
        {"predicted": predicted, "label": label, "count": count}
        for (predicted, label), count in sorted(window.cells.items())
    ]
    return values
