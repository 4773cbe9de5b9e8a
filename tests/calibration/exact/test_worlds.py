"""One policy for an interval of the prevalence: both ends are walked, and the certificate says so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fakes.shifted_worlds import SHIFTED, ShiftedWorld

from calibration import (
    CascadePath,
    CascadeScores,
    Certificate,
    CertifiedOn,
    PathTest,
    Prevalence,
    RiskTarget,
    Sampling,
    StagePath,
    StageScores,
    certify_path,
    certify_prevalence,
)
from calibration.bounds import most_errors
from calibration.exact.worlds import PREVALENCE_METHOD, Worlds

TARGET = RiskTarget()
TEST = PathTest("planned", "path")
RANKS = PathTest("ranks")
CLASSES = ("no", "yes")


def easy(zeros: int, ones: int, wrong: tuple[int, ...] = ()) -> tuple[StagePath, np.ndarray]:
    """Images of one confidence, of which the numbered ones are answered wrongly."""
    classes = np.repeat([0, 1], [zeros, ones])
    errors = np.isin(np.arange(len(classes)), wrong)
    return StagePath.read(np.ones(len(classes)), errors, [1.0]), classes


def certified(world: ShiftedWorld, n: int, seed: int, low: float, high: float) -> Certificate:
    scores, classes = world.draw(np.random.default_rng(seed), n, world.prior)
    confidence = np.abs(scores)
    path = StagePath.read(confidence, (scores > 0) != classes, np.unique(confidence)[::-1])
    return certify_prevalence(path, classes, Prevalence.of((low, high), CLASSES), TARGET, test=RANKS)


def test_a_certificate_without_errors_counts_both_ends() -> None:
    path, classes = easy(1600, 400)
    found = certify_prevalence(path, classes, Prevalence.of((0.1, 0.4), CLASSES), TARGET, test=TEST)
    assert found.feasible
    assert found.method == PREVALENCE_METHOD
    assert found.prevalence == (0.1, 0.4)
    assert found.each is None
    assert [part.name for part in found.parts] == ["10 % yes", "40 % yes"]
    assert [(part.answered, part.errors) for part in found.parts] == [(part.n, 0) for part in found.parts]
    assert found.parts[1].n == 905
    assert (found.n, found.answered, found.errors, found.coverage) == (2000, 2000, 0, 1.0)
    assert found.sentence().startswith(
        "With 95 % confidence, at most 1 % of the answered images are answered wrongly as long as between "
        "10 % and 40 % of the images are yes and each class looks as it did: at 10 % yes 0 wrong among "
    )


def test_errors_of_one_class_fail_at_the_end_where_it_is_common() -> None:
    path, classes = easy(1600, 400, wrong=tuple(range(1600, 1610)))
    prevalence = Prevalence.of((0.05, 0.4), CLASSES)
    assert not certify_prevalence(path, classes, prevalence, TARGET, test=TEST).feasible
    lower = Prevalence.of((0.05, 0.05), CLASSES)
    assert certify_prevalence(path, classes, lower, TARGET, test=TEST).feasible
    ordinary = certify_path(path, TARGET, test=TEST)
    assert ordinary.feasible
    assert ordinary.prevalence is None


def test_a_step_passes_only_if_both_ends_pass() -> None:
    for seed in range(6):
        found = certified(SHIFTED, 2000, seed, 0.1, 0.4)
        if not found.feasible:
            continue
        assert all(
            part.errors <= most_errors(part.answered, TARGET.alpha, TARGET.delta) for part in found.parts
        )
        assert found.risk_upper_bound is not None
        assert found.risk_upper_bound <= TARGET.alpha


def test_the_narrower_interval_never_certifies_less() -> None:
    for seed in range(6):
        wide, narrow = certified(SHIFTED, 3000, seed, 0.1, 0.4), certified(SHIFTED, 3000, seed, 0.1, 0.3)
        if wide.feasible:
            assert narrow.feasible


def test_a_class_that_does_not_suffice_is_named_with_the_number_that_is_needed() -> None:
    path, classes = easy(1979, 21)
    found = certify_prevalence(path, classes, Prevalence.of((0.1, 0.4), CLASSES), TARGET, test=TEST)
    assert not found.feasible
    assert found.needed == "at 10 % yes 473 answers need about 68 yes images; there are 21"
    only_high = Prevalence.of((0.4, 0.4), ("no roadwork", "roadwork"))
    found = certify_prevalence(path, classes, only_high, TARGET, test=TEST)
    assert found.needed == "at 40 % roadwork 473 answers need about 271 roadwork images; there are 21"
    assert "as long as 40 % of the images are roadwork" in found.sentence()
    path, classes = easy(2000, 0)
    found = certify_prevalence(path, classes, Prevalence.of((0.0, 0.1), CLASSES), TARGET, test=TEST)
    assert found.needed is not None
    assert found.needed.endswith("there are 0")


def test_a_draw_that_runs_out_is_infeasible() -> None:
    path, classes = easy(1600, 400)
    prevalence = Prevalence.of((0.4, 0.4), CLASSES)
    for seed in range(2000):
        found = certify_prevalence(
            path, classes, prevalence, TARGET, test=TEST, certified_on=CertifiedOn(f"split {seed}")
        )
        if not found.feasible:
            assert found.needed is not None
            assert "and there are 400" in found.needed
            assert seed > 0
            return
    raise AssertionError("none of 2000 draws ran out, although one in 200 may")


def test_with_groups_the_unit_is_the_drawn_frame_and_its_class() -> None:
    """Ten frames per group, of both classes: one group gives one unit."""
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(2000), 3)
    classes = rng.integers(0, 2, 6000)
    path = StagePath.read(np.ones(6000), np.zeros(6000), [1.0])
    prevalence = Prevalence.of((0.3, 0.6), CLASSES)
    found = certify_prevalence(path, classes, prevalence, TARGET, Sampling(groups), test=TEST)
    assert found.feasible
    assert (found.n, found.images, found.population) == (2000, 6000, "random group, random frame")
    assert max(part.n for part in found.parts) < 2000


def test_groups_of_one_image_are_images() -> None:
    scores, classes = SHIFTED.draw(np.random.default_rng(3), 2000, 0.2)
    path = StagePath.read(np.abs(scores), (scores > 0) != classes, np.unique(np.abs(scores))[::-1])
    prevalence = Prevalence.of((0.1, 0.3), CLASSES)
    alone = certify_prevalence(path, classes, prevalence, TARGET, test=RANKS)
    names = np.char.zfill(np.arange(2000).astype(np.str_), 5)
    grouped = certify_prevalence(path, classes, prevalence, TARGET, Sampling(names), test=RANKS)
    assert sorted(part.n for part in grouped.parts) == sorted(part.n for part in alone.parts)
    assert grouped.feasible == alone.feasible


def test_other_names_of_groups_change_nothing_and_another_order_no_count() -> None:
    rng = np.random.default_rng(4)
    scores, classes = SHIFTED.draw(rng, 3000, 0.2)
    groups = rng.integers(0, 1500, 3000)
    prevalence = Prevalence.of((0.15, 0.25), CLASSES)

    def proven(rows: np.ndarray, names: np.ndarray) -> Certificate:
        path = StagePath.read(np.abs(scores[rows]), ((scores > 0) != classes)[rows], [2.0, 1.0])
        return certify_prevalence(path, classes[rows], prevalence, TARGET, Sampling(names), test=TEST)

    rows = np.arange(3000)
    assert proven(rows, groups) == proven(rows, groups + 10_000)
    path = StagePath.read(np.ones(3000), np.zeros(3000), [1.0])
    shuffled = rng.permutation(3000)
    one, other = (
        certify_prevalence(path, classes[order], prevalence, TARGET, test=TEST) for order in (rows, shuffled)
    )
    assert one == other


def test_a_cascade_is_certified_as_one_policy() -> None:
    classes = np.repeat([0, 1], [1600, 400])
    rng = np.random.default_rng(5)
    a, b = (StageScores.read(rng.random(2000), np.zeros(2000)) for _ in range(2))
    path = CascadePath(CascadeScores(a, b), np.array([[0.6, 0.6], [0.5, 0.5], [0.2, 0.1]]))
    found = certify_prevalence(path, classes, Prevalence.of((0.1, 0.3), CLASSES), TARGET, test=TEST)
    assert found.threshold == (0.2, 0.1)
    assert found.coverage == pytest.approx(found.answered / 2000)


def test_three_classes_are_tested_at_each_corner() -> None:
    classes = np.repeat([0, 1, 2], [1500, 1500, 1500])
    path = StagePath.read(np.ones(4500), np.zeros(4500), [1.0])
    box = ((0.2, 0.6), (0.1, 0.3), (0.3, 0.5))
    found = certify_prevalence(path, classes, Prevalence.of(box, ("a", "b", "c")), TARGET, test=TEST)
    assert len(found.parts) == 4
    assert found.prevalence == box
    assert (
        "as long as between 20 % and 60 % of the images are a, between 10 % and 30 % of the images are b"
        in found.sentence()
    )


def test_hundredths_inside_are_tested_too() -> None:
    classes = np.repeat([0, 1], [1600, 400])
    prevalence = replace(Prevalence.of((0.26, 0.3), CLASSES), found=True)
    worlds = Worlds.drawn(prevalence, classes, (1,))
    assert [world.name for world in worlds.between] == ["27 % yes", "28 % yes", "29 % yes"]
    assert Worlds.drawn(Prevalence.of((0.26, 0.3), CLASSES), classes, (1,)).between == ()
    path, classes = easy(1600, 400)
    found = certify_prevalence(path, classes, prevalence, TARGET, test=TEST)
    assert len(found.parts) == 2


def test_the_golden_certificate() -> None:
    found = certified(SHIFTED, 2000, 0, 0.1, 0.4)
    assert [(part.n, part.answered, part.errors) for part in found.parts] == GOLDEN


GOLDEN = [(1722, 1582, 3), (951, 826, 3)]
