"""Rows of drift signals, quiet or moved, without an image."""

from __future__ import annotations

import numpy as np

from calibration.drift.signals import SignalRow, SignalSample
from monitoring.drift.sample_folder import SampledRow


def signal_rows(n: int, seed: int = 0, *, brightness: float = 0.5, answered: float = 0.9) -> list[SignalRow]:
    """Signals of n independent images; `brightness`: its median, `answered`: share answered."""
    rng = np.random.default_rng(seed)
    return [
        SignalRow(
            {"brightness": float(rng.normal(brightness, 0.1)), "margin_a": float(rng.gamma(2.0))},
            {"answered": int(rng.random() < answered), "predicted": int(rng.integers(0, 2))},
            float(rng.beta(40.0, 1.0)),
        )
        for _ in range(n)
    ]


def reference_sample(n: int = 600) -> SignalSample:
    """A quiet reference."""
    return SignalSample.of(signal_rows(n, seed=1_000))


def sampled_rows(
    rows: list[SignalRow], at: float, *, seed: int = 0, spread: float = 600.0
) -> list[SampledRow]:
    """Each row of a unit of its own, over the `spread` seconds before `at`."""
    rng = np.random.default_rng(seed)
    return [
        SampledRow(f"{int(rng.integers(2**63)):016x}", 0.5, at - 600.0 * (1.0 - place / len(rows)), row, True)
        for place, row in enumerate(rows)
    ]
