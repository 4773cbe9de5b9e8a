"""What a split can prove at all agrees with the tests that prove it."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.certificate import RiskTarget
from calibration.exact.fixed_sequence import Method, certify
from calibration.exact.group_betting import certify_group_means
from calibration.groups import Sampling
from calibration.planning.reach import (
    Reach,
    betting_reach,
    exact_reach,
    scrc_inductive_reach,
    scrc_transductive_reach,
    typical_certificate,
)
from calibration.scrc import ScrcGrids, ScrcI, ScrcScores, ScrcT, ScrcTerms

TARGETS = [RiskTarget(), RiskTarget(0.05, 0.05), RiskTarget(0.02, 0.2), RiskTarget(0.003, 0.01)]


def proves(units: int, wrong: int, target: RiskTarget, method: Method = "rank start") -> bool:
    """Whether a classifier that answers everything, its errors last, is certified for all of it."""
    confidence = np.arange(units, 0.0, -1.0)
    errors = np.arange(units) >= units - wrong
    certificate = certify(confidence, errors, None, target, method=method)
    return certificate.feasible and certificate.answered == units


def test_the_usual_figures() -> None:
    reach = exact_reach(374, RiskTarget())
    assert (reach.fewest, reach.most_wrong, reach.missing) == (299, 0, 0)
    assert reach.smallest_alpha == pytest.approx(0.00798, abs=1e-5)
    short = exact_reach(150, RiskTarget())
    assert (short.most_wrong, short.missing) == (-1, 149)
    assert exact_reach(0, RiskTarget()) == Reach(0, 299, -1, 1.0)


@pytest.mark.parametrize("target", TARGETS)
def test_the_exact_test_agrees(target: RiskTarget) -> None:
    fewest = exact_reach(1, target).fewest
    assert proves(fewest, 0, target)
    assert not proves(fewest - 1, 0, target)
    assert proves(fewest, 0, target, "look-ahead")
    assert not proves(fewest - 1, 0, target, "look-ahead")
    units = 4 * fewest
    reach = exact_reach(units, target)
    assert proves(units, reach.most_wrong, target)
    assert not proves(units, reach.most_wrong + 1, target)
    at = RiskTarget(reach.smallest_alpha * 1.0001, target.delta)
    assert exact_reach(units, at).missing == 0
    assert exact_reach(units, RiskTarget(reach.smallest_alpha * 0.9999, target.delta)).missing > 0


@pytest.mark.parametrize("target", TARGETS[:3])
def test_betting_on_groups_agrees(target: RiskTarget) -> None:
    def certified(groups: int, wrong: int, at: RiskTarget = target) -> bool:
        names = np.repeat(np.arange(groups), 2)
        confidence, errors = np.ones(2 * groups), names < wrong
        return certify_group_means(confidence, errors, [1.0], at, Sampling(names, seed=wrong)).feasible

    fewest = betting_reach(1, target).fewest
    assert certified(fewest, 0)
    assert not certified(fewest - 1, 0)
    reach = betting_reach(5 * fewest, target)
    assert reach.most_wrong > 0
    assert certified(reach.units, reach.most_wrong)
    assert certified(reach.units, 0, RiskTarget(reach.smallest_alpha * 1.001, target.delta))
    assert not certified(reach.units, 0, RiskTarget(reach.smallest_alpha * 0.999, target.delta))
    assert betting_reach(0, target).smallest_alpha == 1.0


@pytest.mark.parametrize("target", [RiskTarget(0.05), RiskTarget(0.1, 0.01)])
def test_scrc_i_agrees(target: RiskTarget) -> None:
    def certified(units: int, wrong: int) -> bool:
        labels = (np.arange(units) < wrong).astype(np.int64)
        scores = ScrcScores(np.ones(units), np.tile([1.0, 0.0], (units, 1)), labels)
        return ScrcI.fit(scores, ScrcGrids([1.0, 0.5], [0.5]), target).threshold is not None

    fewest = scrc_inductive_reach(1, target, 2, 1).fewest
    assert certified(fewest, 0)
    assert not certified(fewest - 1, 0)
    reach = scrc_inductive_reach(3 * fewest, target, 2, 1)
    assert certified(reach.units, reach.most_wrong)
    assert not certified(reach.units, reach.most_wrong + 1)
    smaller = RiskTarget(reach.smallest_alpha * 1.01, target.delta)
    assert scrc_inductive_reach(reach.units, smaller, 2, 1).missing == 0


@pytest.mark.parametrize("target", [RiskTarget(), RiskTarget(0.05)])
def test_scrc_t_agrees(target: RiskTarget) -> None:
    def certified(units: int) -> bool:
        scores = ScrcScores(
            np.arange(units) + 1.0, np.tile([1.0, 0.0], (units, 1)), np.zeros(units, np.int64)
        )
        fitted = ScrcT.fit(scores, target, ScrcTerms(acceptance=1.0), answer_share=0.99)
        return fitted.threshold is not None

    fewest = scrc_transductive_reach(1, target).fewest
    assert certified(fewest)
    assert not certified(fewest - 1)
    assert scrc_transductive_reach(fewest, target).most_wrong == 0
    assert scrc_transductive_reach(fewest - 1, target).most_wrong == -1


@pytest.mark.parametrize(("accuracy", "units", "coverage"), [(0.95, 1000, 0.628), (0.97, 1000, 0.842)])
def test_a_typical_classifier_is_that_of_the_reference_world(
    accuracy: float, units: int, coverage: float
) -> None:
    found = typical_certificate(units, RiskTarget(), accuracy)
    assert found.coverage * found.chance == pytest.approx(coverage, abs=0.05)


def test_a_typical_classifier_on_too_small_a_split_gets_nothing() -> None:
    assert typical_certificate(100, RiskTarget(), 0.99).chance == 0.0
    assert typical_certificate(0, RiskTarget(), 0.99).coverage == 0.0
