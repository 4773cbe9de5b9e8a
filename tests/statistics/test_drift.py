"""All tests of drift together keep their rate of false alarms, and see shifts of a size that is stated."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from harness.record import Claim, Recording
from scipy import stats

from calibration.drift.comparison import LEAST_IMAGES, compare
from calibration.drift.signals import SignalSample

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

REFERENCE = 400
LEVEL = 0.05
"""Of one comparison, so that false alarms can be counted; the service divides it among those of a week"""
SMALL = 0.05 / 168


def images(rng: np.random.Generator, n: int, *, shift: float = 0.0, correlation: float = 0.4) -> SignalSample:
    """Eleven correlated numbers of uneven shapes, three categories and an embedding; `shift`: of the first
    number, in standard deviations."""
    common = rng.normal(size=(n, 1))
    normal = np.sqrt(correlation) * common + np.sqrt(1.0 - correlation) * rng.normal(size=(n, 11))
    normal[:, 0] += shift
    shapes = (lambda x: x, np.exp, lambda x: x.round(1))
    columns = [shapes[k % 3](normal[:, k]) for k in range(11)]
    return SignalSample(
        {f"s{k}": column for k, column in enumerate(columns)},
        {
            "answered": (normal[:, 1] > -1.3).astype(np.int64),
            "predicted": (normal[:, 2] > 0.2).astype(np.int64),
            "stage": (normal[:, 3] > 0.5).astype(np.int64),
        },
        np.full(n, np.nan),
        rng.normal(size=(n, 32)),
    )


def alarms(runs: int, level: float, **options: float) -> int:
    rng = np.random.default_rng(int(1e6 * level) + len(options))
    return sum(
        compare(images(rng, REFERENCE), images(rng, LEAST_IMAGES, **options), level=level, seed=run).alarm
        for run in range(runs)
    )


def test_false_alarms_and_power(
    draws: Callable[[int, int], int],
    print_table: Callable[..., str],
    markdown_table: Callable[..., str],
    recording: Recording,
) -> None:
    runs = draws(120, 4_000)
    quiet = alarms(runs, LEVEL)
    # A share of at most LEVEL gives more than this once in a thousand times.
    most = int(stats.binom.ppf(0.999, runs, LEVEL))
    seen = draws(20, 300)
    rows = [(f"{shift:g}", alarms(seen, SMALL, shift=shift) / seen) for shift in (0.2, 0.4, 0.6, 0.8)]
    text = print_table(
        f"False alarms at {LEVEL:g}: {quiet} of {runs}. Share of windows of {LEAST_IMAGES} images with an "
        f"alarm at {SMALL:.1e}, by the shift of one signal",
        ("standard deviations", "alarms"),
        rows,
    )
    recording.save(
        "drift-validity",
        "promise",
        "Drift: false alarms of all tests together",
        about=f"Windows of {LEAST_IMAGES} images against references of {REFERENCE}, of one distribution: "
        "eleven correlated numbers, some rounded, three categories and an embedding. The power is that at "
        "the level of one comparison of a week at one false alarm in twenty weeks.",
        claims=[Claim(f"false alarms at {LEVEL:g}", f"{quiet} of {runs}", f"at most {most}", quiet <= most)],
        detail=markdown_table(("shift of one signal, standard deviations", "windows with an alarm"), rows),
        raw=text,
    )
    assert quiet <= most
    assert rows[-1][1] > 0.9
