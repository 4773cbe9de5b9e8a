"""The lower bound of the coverage holds for a threshold chosen on the same images."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from fakes.worlds import CascadeWorld, GroupedWorld, gaussian
from harness.record import Claim, Recording
from scipy import special

from calibration import (
    CascadeScores,
    RiskTarget,
    Sampling,
    certify,
    certify_cascade,
    certify_each_stage,
    certify_group_means,
    plan_cascade,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

TARGET = RiskTarget()


def test_true_coverage_lies_below_its_bound_at_most_as_often_as_delta(
    draws: Callable[[int, int], int],
    print_table: Callable[..., str],
    markdown_table: Callable[..., str],
    recording: Recording,
) -> None:
    total = draws(100, 2000)
    rng = np.random.default_rng(1)
    world, cascade, grouped = gaussian(0.95), CascadeWorld(), GroupedWorld(gaussian(0.97), 0.9)
    grid = 1.0 - np.linspace(0.3, 1.0, 71)
    path = plan_cascade(CascadeScores.read(*cascade.draw(rng, 2000)), 1.0, 10.0, 1500, TARGET)
    crossing = path.copy()
    crossing[1::2, 0] = 3.0
    missed: dict[str, list[bool]] = {}
    slack: dict[str, list[float]] = {}

    def note(name: str, bound: float, coverage: float) -> None:
        missed.setdefault(name, []).append(coverage < bound)
        slack.setdefault(name, []).append(coverage - bound)

    for _ in range(total):
        certificate = certify(*world.draw(rng, 1500), None, TARGET)
        if certificate.threshold is not None:
            note("one stage", certificate.coverage_lower_bound, world.coverage(float(certificate.threshold)))
        scores = CascadeScores.read(*cascade.draw(rng, 1500))
        for name, outcome in (
            ("planned path", certify_cascade(scores, path, TARGET)),
            ("crossing path", certify_cascade(scores, crossing, TARGET)),
            ("each stage", certify_each_stage(scores, None, None, TARGET)),
        ):
            if outcome.threshold is not None:
                by_a, by_b, _ = cascade.shares(outcome.threshold)
                note(name, outcome.coverage_lower_bound, by_a + by_b)
        confidence, errors, groups = grouped.draw(rng, 800)
        for name, outcome in (
            ("one frame per group", certify(confidence, errors, grid, TARGET, Sampling(groups))),
            ("group means", certify_group_means(confidence, errors, grid, TARGET, Sampling(groups))),
        ):
            if outcome.threshold is not None:
                note(name, outcome.coverage_lower_bound, grouped.coverage(float(outcome.threshold)))
    header = ["method", "missed", "mean distance"]
    rows = [[name, float(np.mean(missed[name])), float(np.mean(slack[name]))] for name in missed]
    text = print_table(f"Coverage below its lower bound at delta = 5 %, {total} draws", header, rows)
    worst = max(float(np.mean(below)) for below in missed.values())
    exceeded = [name for name, below in missed.items() if _excess(below) <= 0.001 / len(missed)]
    recording.save(
        "coverage-bound",
        "promise",
        "Lower bound of the coverage",
        about=f"Share of {total:,} draws in which the true coverage lies below its bound, although the "
        "threshold was chosen on the same images; and the mean distance of the two.",
        claims=[
            Claim(
                "coverage below its lower bound",
                f"{worst:.3f} at most",
                "delta = .05, by a family-wise test at .001",
                not exceeded,
            )
        ],
        detail=markdown_table(header, rows),
        raw=text,
    )
    assert not exceeded
    for name in missed:
        assert np.mean(slack[name]) < 0.12, name  # the bound is informative


def _excess(below: list[bool]) -> float:
    """P(as many misses or more if each happens with probability delta)."""
    count = sum(below)
    return float(special.betainc(count, len(below) - count + 1, TARGET.delta)) if count else 1.0
