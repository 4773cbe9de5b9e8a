"""Snapshots: the rolling windows at one moment, and the figures computed from their counts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from calibration.metrics import natix_reward
from calibration.metrics.reward import ACCURACY_WINDOW, MCC_WINDOW
from monitoring.windows.figures import Cells, ClassFigures, Figure, share_figure

TOTAL: Final = "total"
"""The scope of all bundles of a model; a bundle's own scope is its label, `name:version`."""
REWARD_SIZES: Final = (ACCURACY_WINDOW, MCC_WINDOW)
"""Sizes that every store of windows holds, because the reward needs them."""


@dataclass(frozen=True, slots=True)
class WindowSnapshot:
    """The last `size` labelled predictions of a series, in the order in which they were predicted."""

    size: int
    cells: Cells
    """(predicted, label) -> count above 0."""
    n: int
    """Labelled predictions in the window; at most `size`."""
    figures: ClassFigures

    @classmethod
    def of(cls, size: int, cells: Cells, classes: int = 2) -> WindowSnapshot:
        """`classes`: number of classes that the bundle knows."""
        return cls(size, cells, sum(cells.values()), ClassFigures.of(cells, classes))

    @property
    def accuracy(self) -> Figure:
        return self.figures.accuracy

    @property
    def mcc(self) -> Figure:
        """Matthews correlation; 0 if its denominator is zero."""
        return self.figures.mcc

    def cell_list(self) -> list[dict[str, int]]:
        """The counts as plain JSON values."""
        return [
            {"predicted": predicted, "label": label, "count": count}
            for (predicted, label), count in sorted(self.cells.items())
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"n": self.n, **self.figures.to_dict(), "cells": self.cell_list()}


@dataclass(frozen=True, slots=True)
class DecidedWindow:
    """The last `size` predictions, labelled or not."""

    size: int
    n: int
    coverage: Figure
    """Share answered."""
    stage_b: Figure
    """Share that stage A passed on to stage B."""

    @classmethod
    def of(cls, size: int, counts: Mapping[tuple[bool, str], int]) -> DecidedWindow:
        """`counts`: (answered, last stage) -> number of predictions."""
        n = sum(counts.values())
        answered = sum(count for (was_answered, _), count in counts.items() if was_answered)
        passed_on = sum(count for (_, stage), count in counts.items() if stage == "B")
        reason = "no prediction yet"
        return cls(size, n, share_figure(answered, n, reason), share_figure(passed_on, n, reason))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"n": self.n, "coverage": self.coverage.to_dict(), "stage_b": self.stage_b.to_dict()}


@dataclass(frozen=True, slots=True)
class SeriesSnapshot:
    """The windows of one series: `all` predictions with their forced labels, or the `answered` ones."""

    windows: Mapping[int, WindowSnapshot]
    """By size; those of `REWARD_SIZES` are among them."""

    @property
    def acc(self) -> WindowSnapshot:
        """The window of the reward's accuracy."""
        return self.windows[ACCURACY_WINDOW]

    @property
    def mcc(self) -> WindowSnapshot:
        """The window of the reward's Matthews correlation."""
        return self.windows[MCC_WINDOW]

    @property
    def reward(self) -> float:
        """(0.5 MCC + 0.5 ACC)^3 of the roadwork task, MCC clipped at 0; 0 without a label. It means something
        for bundles of that task alone."""
        accuracy = self.acc.accuracy.value
        return 0.0 if accuracy is None else natix_reward(self.mcc.mcc.value or 0.0, accuracy)

    def to_dict(self, *, with_reward: bool = False) -> dict[str, Any]:
        """Plain JSON values of the reward's two windows."""
        windows = {"acc": _reward_window(self.acc), "mcc": _reward_window(self.mcc)}
        return windows | ({"reward": self.reward} if with_reward else {})


@dataclass(frozen=True, slots=True)
class RollingSnapshot:
    """All windows of one bundle, or of all bundles of the model, at one moment."""

    bundle: str
    """`name:version`, or `TOTAL`."""
    sizes: tuple[int, ...]
    """Sizes of the windows that are shown, ascending; those of the reward are held beside them."""
    all: SeriesSnapshot
    answered: SeriesSnapshot
    decided: Mapping[int, DecidedWindow]
    predictions: int
    """Recorded since the bundle first served."""
    labelled: int
    """Predictions among them that are labelled by now."""
    label_coverage: float | None
    """Share labelled of the predictions since the oldest in the window of 100; None if it is empty."""
    lags: Sequence[float]
    """Seconds from prediction to first label, for the latest labels, newest first."""

    def label_lag(self, quantile: float) -> float | None:
        """Quantile (nearest rank) of `lags`, seconds; None without a label."""
        if not self.lags:
            return None
        ranked = sorted(self.lags)
        return ranked[min(len(ranked) - 1, max(0, math.ceil(quantile * len(ranked)) - 1))]

    def to_dict(self, *, with_reward: bool = False, sizes: Sequence[int] | None = None) -> dict[str, Any]:
        """Plain JSON values. `with_reward`: for bundles of the roadwork task; `sizes`: of the windows, None:
        all that are shown."""
        shown = self.sizes if sizes is None else sizes
        return {
            "bundle": self.bundle,
            "windows": [self._window(size) for size in shown],
            "all": self.all.to_dict(with_reward=with_reward),
            "answered": self.answered.to_dict(with_reward=with_reward),
            "predictions": self.predictions,
            "labelled": self.labelled,
            "label_coverage": self.label_coverage,
            "label_lag_seconds": {"p50": self.label_lag(0.5), "p95": self.label_lag(0.95)},
        }

    def _window(self, size: int) -> dict[str, Any]:
        return {
            "size": size,
            "all": self.all.windows[size].to_dict(),
            "answered": self.answered.windows[size].to_dict(),
            "decided": self.decided[size].to_dict(),
        }


class WindowReader(Protocol):
    """The windows as their readers see them; `monitoring.windows.rolling.RollingWindows` is one.

    Every method raises `monitoring.store.contract.StoreUnavailable` if the store does not answer.
    """

    def snapshots(self, scopes: Sequence[str], classes: int = 2) -> list[RollingSnapshot]:
        """All windows of some bundles, or of `TOTAL`, at one moment; empty ones for an unknown bundle."""

    def bundles(self) -> list[str]:
        """Bundles that have served, in the order in which they began; the latest at the end."""


def _reward_window(window: WindowSnapshot) -> dict[str, Any]:
    return {
        "size": window.size,
        "cells": window.cell_list(),
        "n": window.n,
        "accuracy": window.accuracy.value,
        "accuracy_low": window.accuracy.low,
        "accuracy_high": window.accuracy.high,
        "mcc": window.mcc.value,
        "mcc_low": window.mcc.low,
        "mcc_high": window.mcc.high,
        "mcc_reason": window.mcc.reason,
    }
