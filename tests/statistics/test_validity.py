"""No method breaks its promise: the share of draws whose true risk exceeds alpha stays at delta.

One table over all worlds and methods, and one family-wise test over all of its cells. The naive rule and
rules that hold in expectation only are in the table too, and break the promise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from fakes.worlds import (
    CascadeWorld,
    GroupedWorld,
    World,
    gaussian,
    heavy_tails,
    humped_gate,
    saturated,
    useless_score,
)
from harness.record import Claim, Recording
from scipy import special

from calibration import (
    AnswerLabels,
    CascadePath,
    CascadeScores,
    Certificate,
    Parts,
    PathTest,
    RiskSequence,
    RiskTarget,
    Sampling,
    StageScores,
    binomial_p_value,
    certify,
    certify_answers,
    certify_cascade,
    certify_each_stage,
    certify_group_means,
    certify_path,
    certify_several,
    fewest_answered,
    hoeffding_bentkus_p_value,
    learn_then_test,
    plan_cascade,
    plan_thresholds,
    sgr,
)
from calibration.exact.steps import count

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

TARGET = RiskTarget()
N = 1000
REPLAN = 20
"""Draws of the calibration split per draw of the selection split"""
FAMILY_WISE = 0.001
"""Probability that a table of methods at exactly delta fails the test"""


@dataclass(frozen=True)
class Cell:
    world: str
    method: str
    promised: bool
    """A high-probability guarantee; else a rule that is expected to fail"""
    outcomes: tuple[tuple[float, bool], ...]
    """(true coverage, true risk above alpha) per draw; coverage 0 if infeasible"""

    @property
    def violations(self) -> int:
        return sum(broken for _, broken in self.outcomes)

    def excess_p_value(self) -> float:
        """P(as many violations or more at a violation probability of exactly delta)."""
        total = len(self.outcomes)
        if self.violations == 0:
            return 1.0
        return float(special.betainc(self.violations, total - self.violations + 1, TARGET.delta))

    def row(self) -> list[object]:
        coverage = [c for c, _ in self.outcomes]
        share = self.violations / len(self.outcomes)
        infeasible = float(np.mean(np.array(coverage) == 0.0))
        return [
            self.world,
            self.method,
            "pac" if self.promised else "none",
            share,
            infeasible,
            float(np.mean(coverage)),
        ]


def _naive(confidence: np.ndarray, errors: np.ndarray, extra_errors: int) -> float | None:
    """Loosest threshold with (errors + extra) / (answered + extra) <= alpha on the calibration split."""
    order = np.argsort(-confidence, kind="stable")
    ranked = confidence[order]
    share = (np.cumsum(errors[order]) + extra_errors) / (np.arange(1, len(order) + 1) + extra_errors)
    last_of_tie = np.append(ranked[1:] != ranked[:-1], True)
    good = np.flatnonzero((share <= TARGET.alpha) & last_of_tie)
    return float(ranked[good[-1]]) if len(good) else None


def _learn_then_test(
    confidence: np.ndarray, errors: np.ndarray, grid: np.ndarray, bound: str, procedure: str
) -> float | None:
    answered, wrong = count(confidence, errors, grid)
    if bound == "binomial":
        p_values = binomial_p_value(wrong, answered, TARGET.alpha)
    else:
        p_values = hoeffding_bentkus_p_value(wrong / np.maximum(answered, 1), answered, TARGET.alpha)
    proven = np.flatnonzero(learn_then_test(p_values, TARGET.delta, procedure))
    return float(grid[proven[-1]]) if len(proven) else None


Rule = Callable[[np.ndarray, np.ndarray, "Plan", int], float | None]


@dataclass(frozen=True)
class Plan:
    """Grids planned on one draw of the selection split."""

    default: np.ndarray
    from_500: np.ndarray
    coarse: np.ndarray

    @classmethod
    def draw(cls, world: World, rng: np.random.Generator, n: int) -> Plan:
        confidence, errors = world.draw(rng, N)
        from_500 = plan_thresholds(confidence, errors, n, TARGET, first_answered=500)
        spread = np.unique(np.linspace(0, len(from_500) - 1, 10).astype(int))
        return cls(plan_thresholds(confidence, errors, n, TARGET), from_500, from_500[spread])


def uniform_of(seed: int) -> Sampling:
    """A number for one randomised test; each draw of the calibration split has its own."""
    return Sampling(uniform=float(np.random.default_rng([seed, 7]).random()))


RULES: dict[str, tuple[bool, Rule]] = {
    "exact, rank start": (True, lambda c, e, plan, seed: certify(c, e, plan.default, TARGET).threshold),
    "exact, rank start, no plan": (True, lambda c, e, plan, seed: certify(c, e, None, TARGET).threshold),
    "exact, planned start": (
        True,
        lambda c, e, plan, seed: certify(c, e, plan.from_500, TARGET, method="grid").threshold,
    ),
    "randomised": (
        True,
        lambda c, e, plan, seed: (
            certify(
                c,
                e,
                plan.from_500,
                TARGET,
                Sampling(uniform=np.random.default_rng(seed).random()),
                method="randomised",
            ).threshold
        ),
    ),
    "look-ahead": (True, lambda c, e, plan, seed: certify(c, e, None, TARGET, method="look-ahead").threshold),
    "SGR": (True, lambda c, e, plan, seed: sgr(c, e, TARGET).threshold),
    "Hoeffding-Bentkus, fixed sequence": (
        True,
        lambda c, e, plan, seed: _learn_then_test(c, e, plan.from_500, "hb", "fixed-sequence"),
    ),
    "exact, Holm": (
        True,
        lambda c, e, plan, seed: _learn_then_test(c, e, plan.coarse, "binomial", "holm"),
    ),
    "naive: error <= 1 %": (False, lambda c, e, plan, seed: _naive(c, e, 0)),
    "in expectation: (k + 1) / (m + 1)": (False, lambda c, e, plan, seed: _naive(c, e, 1)),
}


def _one_stage(world: World, n: int, total: int, seed: int) -> Iterator[Cell]:
    rng = np.random.default_rng(seed)
    outcomes: dict[str, list[tuple[float, bool]]] = {name: [] for name in RULES}
    truth: dict[float, tuple[float, bool]] = {}
    for index in range(total):
        if index % REPLAN == 0:
            plan = Plan.draw(world, rng, n)
        confidence, errors = world.draw(rng, n)
        for name, (_, rule) in RULES.items():
            threshold = rule(confidence, errors, plan, index)
            if threshold is None:
                outcomes[name].append((0.0, False))
                continue
            if threshold not in truth:
                coverage = world.coverage(threshold)
                truth[threshold] = (coverage, world.risk_at(coverage) > TARGET.alpha)
            outcomes[name].append(truth[threshold])
    for name, (promised, _) in RULES.items():
        yield Cell(f"{world.name}, n = {n}", name, promised, tuple(outcomes[name]))


def _grouped(world: GroupedWorld, groups: int, total: int, seed: int) -> Iterator[Cell]:
    rng = np.random.default_rng(seed)
    rules: dict[str, tuple[bool, str, Callable[..., float | None]]] = {
        "one frame a group": (
            True,
            "group",
            lambda c, e, g, grid, seed: certify(c, e, grid, TARGET, Sampling(g, seed=seed)).threshold,
        ),
        "thinned to images": (
            True,
            "image",
            lambda c, e, g, grid, seed: (
                certify(c, e, grid, TARGET, Sampling(g, "image", seed, max(world.sizes))).threshold
            ),
        ),
        "betting on group means": (
            True,
            "group",
            lambda c, e, g, grid, seed: certify_group_means(c, e, grid, TARGET, Sampling(g)).threshold,
        ),
        "naive: frames as independent": (
            False,
            "image",
            lambda c, e, g, grid, seed: certify(c, e, grid, TARGET).threshold,
        ),
    }
    grid = 1.0 - np.linspace(0.3, 1.0, 141)
    outcomes: dict[str, list[tuple[float, bool]]] = {name: [] for name in rules}
    for index in range(total):
        confidence, errors, labels = world.draw(rng, groups)
        for name, (_, unit, rule) in rules.items():
            threshold = rule(confidence, errors, labels, grid, index)
            outcomes[name].append(
                (0.0, False)
                if threshold is None
                else (world.coverage(threshold), world.risk(threshold, unit) > TARGET.alpha)
            )
    for name, (promised, unit, _) in rules.items():
        yield Cell(f"{world.name}, {groups} groups", f"{name} ({unit})", promised, tuple(outcomes[name]))


def _cascade(world: CascadeWorld, n: int, total: int, seed: int) -> Iterator[Cell]:
    rng = np.random.default_rng(seed)
    whole: list[tuple[float, bool]] = []
    staged: list[tuple[float, bool]] = []
    for index in range(total):
        if index % REPLAN == 0:
            selection = world.draw(rng, n)
            path = plan_cascade(CascadeScores.read(*selection), 1.0, 10.0, n, TARGET)
            grid_a = plan_thresholds(selection[0], selection[1], n, TARGET)
            grid_b = plan_thresholds(selection[2], selection[3], n, TARGET)
        scores = CascadeScores.read(*world.draw(rng, n))
        for certificate, outcomes in (
            (certify_cascade(scores, path, TARGET), whole),
            (certify_each_stage(scores, grid_a, grid_b, TARGET), staged),
        ):
            if certificate.threshold is None:
                outcomes.append((0.0, False))
                continue
            by_a, by_b, wrong = world.shares(certificate.threshold)
            outcomes.append((by_a + by_b, wrong / (by_a + by_b) > TARGET.alpha))
    yield Cell(f"{world.name}, n = {n}", "cascade as one policy", True, tuple(whole))
    yield Cell(f"{world.name}, n = {n}", "each stage at delta / 2", True, tuple(staged))


def _joint(n: int, total: int, seed: int) -> Iterator[Cell]:
    """Answer 0 is given to 60 % of images and is the safer one; three risks promised at once."""
    world = gaussian(0.96)
    safe, unsafe = 0.6, 1.6
    rng = np.random.default_rng(seed)
    each_answer: list[tuple[float, bool]] = []
    several: list[tuple[float, bool]] = []
    grid = 1.0 - np.linspace(0.05, 1.0, 400)
    alphas = (0.01, 0.02, 0.005)
    for _ in range(total):
        depth, answer = rng.random(n), (rng.random(n) < 0.4).astype(int)
        rate = np.minimum(world.rate(depth) * np.where(answer == 0, safe, unsafe), 1.0)
        errors = rng.random(n) < rate
        joint = certify_answers(1.0 - depth, errors, AnswerLabels(answer), grid, TARGET).certificate
        if joint.threshold is None:
            each_answer.append((0.0, False))
        else:
            t = float(joint.threshold)
            # Below a depth where a rate of .5 is multiplied above 1 this is exact, and alpha is far below.
            each_answer.append((world.coverage(t), unsafe * world.risk(t) > TARGET.alpha))
        confidence, errors = world.draw(rng, n)
        ladder = certify_several(confidence, errors, grid, RiskSequence(alphas), TARGET).certificates
        proven = [c for c in ladder if c.threshold is not None]
        several.append(
            (
                ladder[0].coverage,
                any(world.risk(float(c.threshold)) > c.alpha for c in proven if c.threshold is not None),
            )
        )
    yield Cell(f"two answers, n = {n}", "each answer (intersection-union)", True, tuple(each_answer))
    yield Cell(f"{world.name}, n = {n}", "1 %, 2 % and .5 % at once", True, tuple(several))


def _cascade_answers(n: int, total: int, seed: int) -> Iterator[Cell]:
    """Three images in ten are of class 1, so an answer 1 is wrong more often than an answer 0."""
    world, share_of_1 = CascadeWorld(accuracy_a=0.95, accuracy_b=0.97), 0.3
    rng = np.random.default_rng(seed)
    each_answer: list[tuple[float, bool]] = []
    overall: list[tuple[float, bool]] = []

    def judged(certificate: Certificate) -> tuple[float, bool]:
        """The class is independent of the noise: among wrong answers the share of class 0 is answered "1"."""
        if certificate.threshold is None:
            return 0.0, False
        by_a, by_b, wrong = world.shares(certificate.threshold)
        right = by_a + by_b - wrong
        risks = [
            (1.0 - own) * wrong / ((1.0 - own) * wrong + own * right)
            for own in (share_of_1, 1.0 - share_of_1)
        ]
        return by_a + by_b, max(risks) > TARGET.alpha

    for index in range(total):
        if index % REPLAN == 0:
            path = plan_cascade(CascadeScores.read(*world.draw(rng, n)), 1.0, 10.0, n, TARGET)
        a, wrong_a, b, wrong_b = world.draw(rng, n)
        labels = (rng.random(n) < share_of_1).astype(np.int64)
        stages = (
            StageScores.read(confidence, wrong, np.where(wrong, 1 - labels, labels))
            for confidence, wrong in ((a, wrong_a), (b, wrong_b))
        )
        policies = CascadePath(CascadeScores(*stages), path)
        parts = Parts.of_answers(["0", "1"])
        each_answer.append(judged(certify_path(policies, TARGET, parts, test=PathTest(""))))
        overall.append(judged(certify_path(policies, TARGET, test=PathTest(""))))
    name = f"two answers, {world.name}, n = {n}"
    yield Cell(name, "cascade, each answer (intersection-union)", True, tuple(each_answer))
    yield Cell(name, "all answers, judged by each", False, tuple(overall))


def _trading_pairs(total: int, seed: int) -> Iterator[Cell]:
    """Two pairs of a cascade, each of a risk above alpha, that answer different unsafe images.

    The counts of one pair tell how the other one does: choosing the tested pair by calibration counts
    certified .072 of these draws.
    """
    n, unsafe = 4066, 0.00996
    rng = np.random.default_rng(seed)
    pairs = np.array([[9.0, 1.0], [1.0, np.inf]])
    outcomes: list[tuple[float, bool]] = []
    for _ in range(total):
        u = rng.random(n)
        of_a, of_b = u < unsafe, (u >= unsafe) & (u < 2 * unsafe)
        scores = CascadeScores.read(np.where(of_a, 1.0, np.where(of_b, 0.0, 9.0)), of_a, 1.0 * of_b, of_b)
        certificate = certify_cascade(scores, pairs, TARGET)
        outcomes.append((1.0 - unsafe, True) if certificate.feasible else (0.0, False))
    yield Cell(f"pairs that trade unsafe answers, n = {n}", "cascade as one policy", True, tuple(outcomes))


def _handed_on(total: int, seed: int) -> Iterator[Cell]:
    """A risk of .3 that passes everywhere hands its delta on to a risk of .05, just broken at the first step.

    With a sharper bound of the first risk beside it, one of the two statements was false in .06 of draws.
    """
    n, strict = 4000, int(fewest_answered(21, 0.05, 0.05))
    rng = np.random.default_rng(seed)
    outcomes: list[tuple[float, bool]] = []
    risks, rank = RiskSequence((0.3, 0.05)), np.arange(n)
    rates = np.where(rank < strict, 0.0501, 0.1)
    for _ in range(total):
        errors = rng.random(n) < rates
        grid = [1.0 - (strict - 1) / n, 0.0]
        first, second = certify_several(1.0 - rank / n, errors, grid, risks, TARGET).certificates
        broken = first.feasible and (first.risk_upper_bound or 0.0) < rates.mean()
        outcomes.append((first.coverage, broken or second.feasible))
    yield Cell(f"delta handed on, n = {n}", ".3 and .05 at once, with their bounds", True, tuple(outcomes))


def _rare_large_groups(total: int, seed: int) -> Iterator[Cell]:
    """One group in 2000 has 60 images, of which .4 are wrong, the others have one: most splits miss them.

    With the largest group of the calibration split as the limit the promise was false in .6 of the draws.
    With the stated limit 1000 groups are the evidence of 17 images, which prove nothing.
    """
    groups, size, share = 1000, 60, 1 / 2000
    rng = np.random.default_rng(seed)
    outcomes: list[tuple[float, bool]] = []
    for _ in range(total):
        large = rng.random(groups) < share
        labels = np.repeat(np.arange(groups), np.where(large, size, 1))
        errors = large[labels] & (rng.random(len(labels)) < 0.4)
        certificate = certify(
            np.ones(len(labels)),
            errors,
            [1.0],
            TARGET,
            Sampling(labels, "image", int(rng.integers(1 << 30)), size),
        )
        risk = 0.4 * share * size / (share * size + 1 - share)
        outcomes.append((1.0, risk > TARGET.alpha) if certificate.feasible else (0.0, False))
    yield Cell(
        f"rare large groups, {groups} groups", "thinned to images, stated limit", True, tuple(outcomes)
    )


@pytest.fixture(scope="module")
def table(draws: Callable[[int, int], int]) -> list[Cell]:
    total = draws(150, 2000)
    cells: list[Cell] = []
    worlds = (gaussian(0.95), gaussian(0.97), heavy_tails(), humped_gate(), saturated(), useless_score())
    for seed, world in enumerate(worlds):
        cells += _one_stage(world, N, total, seed)
    cells += _one_stage(gaussian(0.95), 5000, total, 10)
    for seed, copies in enumerate((0.0, 0.9)):
        cells += _grouped(GroupedWorld(gaussian(0.97), copies), 1000, total, 20 + seed)
    cells += _cascade(CascadeWorld(rho=0.5), 2000, total, 30)
    cells += _trading_pairs(total, 35)
    cells += _handed_on(total, 36)
    cells += _rare_large_groups(total, 37)
    cells += _joint(2000, total, 40)
    cells += _cascade_answers(4000, draws(60, 1000), 50)
    return cells


def test_no_promise_is_broken_more_often_than_delta(
    table: list[Cell],
    print_table: Callable[..., str],
    markdown_table: Callable[..., str],
    recording: Recording,
) -> None:
    header = ["world", "method", "promise", "violated", "infeasible", "coverage"]
    rows = [cell.row() for cell in table]
    total = len(table[0].outcomes)
    text = print_table(f"True risk above 1 % at delta = 5 %, {total} draws a cell", header, rows)
    promised = [cell for cell in table if cell.promised]
    broken = [cell for cell in promised if cell.excess_p_value() < FAMILY_WISE / len(promised)]
    worst = max(cell.violations / len(cell.outcomes) for cell in promised)
    recording.save(
        "validity",
        "promise",
        "Validity",
        about=f"{total:,} draws per cell (fewer where the table's last rows say so). *violated*: share of "
        "draws whose true risk exceeds 1 %, of which a `pac` promise allows 5 %; *coverage*: mean true "
        "coverage, an infeasible draw counting as 0. One family-wise test covers all `pac` cells. Rules "
        "marked `none` promise nothing of the kind and are there to be seen failing.",
        claims=[
            Claim(
                f"promises broken, the worst of {len(promised)} cells",
                f"{worst:.3f} of the draws",
                "delta = .05, by a family-wise test at .001",
                not broken,
            )
        ],
        detail=markdown_table(header, rows),
        raw=text,
    )
    assert not broken, [(cell.world, cell.method, cell.violations) for cell in broken]


def test_the_table_can_tell_a_broken_promise(table: list[Cell]) -> None:
    naive = [cell for cell in table if not cell.promised]
    promised = sum(cell.promised for cell in table)
    seen = [cell for cell in naive if cell.excess_p_value() < FAMILY_WISE / promised]
    assert {
        "naive: error <= 1 %",
        "in expectation: (k + 1) / (m + 1)",
        "naive: frames as independent (image)",
        "all answers, judged by each",
    } <= {cell.method for cell in seen}
    one_stage = [cell for cell in naive if cell.method == "naive: error <= 1 %"]
    assert all(cell in seen for cell in one_stage)
