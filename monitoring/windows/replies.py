"""Snapshots from what the script that reads the windows returns."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from calibration.metrics.reward import MCC_WINDOW
from monitoring.windows.snapshot import DecidedWindow, RollingSnapshot, SeriesSnapshot, WindowSnapshot

_Counts = Mapping[tuple[str, str], int]


@dataclass(frozen=True, slots=True)
class Replies:
    """What is known of the windows when a reply is read."""

    sizes: tuple[int, ...]
    """Sizes that are shown, ascending."""
    held: tuple[int, ...]
    """Sizes that the store holds, ascending."""
    kept: int
    """Number of the latest predictions that the store keeps, labelled or not."""

    def snapshot(self, scope: str, reply: Sequence[Any], classes: int) -> RollingSnapshot:
        """The snapshot of one scope."""
        predictions, labelled, kept, since, lags, *counts = reply
        all_series, answered = (self._series(flat, classes) for flat in counts[:2])
        decided = _by_size(counts[2])
        n = all_series.windows[MCC_WINDOW].n
        return RollingSnapshot(
            bundle=scope,
            sizes=self.sizes,
            all=all_series,
            answered=answered,
            decided={size: _decided(size, decided[size]) for size in self.held},
            predictions=predictions,
            labelled=labelled,
            label_coverage=self._label_coverage(n, since, kept, labelled, predictions),
            lags=tuple(float(lag.partition(b":")[0]) for lag in lags.split()),
        )

    def _label_coverage(self, n: int, since: int, kept: int, labelled: int, predictions: int) -> float | None:
        """Share labelled of the predictions since the oldest of the n in the window."""
        if not n:
            return None
        if since == kept >= self.kept:
            # The oldest is further back than predictions are kept: the share of all of them stands in.
            return min(1.0, labelled / predictions)
        return n / since if since else None

    def _series(self, flat: Sequence[Any], classes: int) -> SeriesSnapshot:
        found = _by_size(flat)
        return SeriesSnapshot(
            {size: WindowSnapshot.of(size, _cells(found[size]), classes) for size in self.held}
        )


def _by_size(flat: Sequence[Any]) -> Mapping[int, _Counts]:
    """`[b"10 1:0", b"3", ...]` -> `{10: {("1", "0"): 3}, ...}`; empty for a size without counts."""
    found: defaultdict[int, dict[tuple[str, str], int]] = defaultdict(dict)
    for name, count in zip(flat[::2], flat[1::2], strict=True):
        size, _, cell = name.decode().partition(" ")
        first, _, second = cell.partition(":")
        found[int(size)][first, second] = int(count)
    return found


def _cells(counts: _Counts) -> dict[tuple[int, int], int]:
    return {(int(predicted), int(label)): count for (predicted, label), count in counts.items()}


def _decided(size: int, counts: _Counts) -> DecidedWindow:
    return DecidedWindow.of(size, {(answered == "1", stage): n for (answered, stage), n in counts.items()})
