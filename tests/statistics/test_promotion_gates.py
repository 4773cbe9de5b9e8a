"""The gate `regression` of a promotion: how often it errs in either direction, and how many images it needs.

The world: images on which both bundles are right or wrong together, and a share on which exactly one is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from harness.record import Claim, Recording

from calibration.experiments.paired_regression import PairedCounts, largest_loss, regression_p_value

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

LEVEL, LOSS = 0.05, 0.02
SIZES = (250, 500, 1000, 2000, 5000)
DISCORDANT = (0.005, 0.03, 0.10)
"""Share of images on which exactly one of the two is right: the same network, a new seed, another network"""
HEADER = (
    "images",
    "discordant",
    "equal: failed",
    "equal: passed",
    "loses 2 points: passed",
    "loses 2 points: failed",
    "loses 5 points: failed",
)


def shares(images: int, discordant: float, loss: float, runs: int) -> tuple[float, float]:
    """(share of the runs that fail, share that pass) of a newcomer that loses `loss` of the accuracy."""
    lost = (discordant + loss) / 2.0
    rng = np.random.default_rng([images, round(1000 * discordant), round(1000 * loss)])
    drawn = rng.multinomial(images, [lost, discordant - lost, 1.0 - discordant], runs)
    failed = passed = 0
    for (one, other, _), times in Counter(map(tuple, drawn.tolist())).items():
        counts = PairedCounts(images, one, other)
        if regression_p_value(counts) <= LEVEL:
            failed += times
        elif largest_loss(counts, LEVEL) <= LOSS:
            passed += times
    return failed / runs, passed / runs


def test_the_gate_errs_no_more_often_than_it_says(
    draws: Callable[[int, int], int],
    recording: Recording,
    print_table: Callable[..., str],
    markdown_table: Callable[..., str],
) -> None:
    runs = draws(300, 20_000)
    rows = []
    for images in SIZES:
        for discordant in DISCORDANT:
            equal = shares(images, discordant, 0.0, runs)
            # Where few images differ, a loss can be no larger than their share.
            worse = shares(images, max(discordant, LOSS), LOSS, runs)
            much = shares(images, max(discordant, 0.05), 0.05, runs)
            rows.append((images, discordant, *equal, worse[1], worse[0], much[0]))
    false = max(row[2] for row in rows)
    missed = max(row[4] for row in rows)
    doubtful = LEVEL + 4.0 * float(np.sqrt(LEVEL * (1.0 - LEVEL) / runs))
    assert false <= doubtful
    assert missed <= doubtful
    recording.save(
        "promotion-gates",
        "promise",
        "Promotion: errors of the regression gate",
        about=f"Share of {runs:,} test sets per row; level {LEVEL:g}, a loss above {LOSS:g} must be ruled "
        "out. What neither passes nor fails is inconclusive.",
        claims=[
            Claim(
                "regression gate: an equal newcomer fails, the worst of 15 worlds",
                f"{false:.3f} of {runs:,} test sets",
                f"at most {LEVEL:g}",
                false <= LEVEL,
            ),
            Claim(
                "regression gate: a newcomer that loses 2 points passes, the worst of 15 worlds",
                f"{missed:.3f} of {runs:,} test sets",
                f"at most {LEVEL:g}",
                missed <= LEVEL,
            ),
        ],
        detail=markdown_table(HEADER, rows),
        raw=print_table(f"Share of {runs:,} test sets", HEADER, rows),
    )
