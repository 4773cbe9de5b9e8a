"""Independent units of grouped images, the correlation within groups, and betting on group means."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibration import (
    Certificate,
    CertifiedOn,
    RiskTarget,
    Sampling,
    certify,
    certify_group_means,
    intra_group_correlation,
)
from calibration.groups import each_group_alike, group_codes, independent_units

TARGET = RiskTarget()


def test_one_frame_of_each_group_drawn_evenly() -> None:
    groups = np.repeat([7, 3, 5], [1, 2, 10])
    picked = np.zeros(13)
    for seed in range(3000):
        units = independent_units(13, Sampling(groups, seed=seed))
        assert sorted(groups[units.rows].tolist()) == [3, 5, 7]
        picked[units.rows] += 1
    assert picked[0] == 3000
    assert np.abs(picked[1:3] / 3000 - 1 / 2).max() < 0.04
    assert np.abs(picked[3:] / 3000 - 1 / 10).max() < 0.03
    assert (units.population, units.name, units.images) == ("random group, random frame", "group", 13)


def test_thinning_makes_every_image_equally_likely() -> None:
    groups = np.repeat(np.arange(3), [1, 2, 10])
    picked = np.zeros(13)
    for seed in range(8000):
        units = independent_units(13, Sampling(groups, "image", seed, 20))
        picked[units.rows] += 1
    assert np.abs(picked / 8000 - 1 / 20).max() < 0.013
    assert units.population == "image, groups capped at 20"


def test_a_larger_group_is_capped_and_the_limit_must_be_stated() -> None:
    """Of a group of 40 no more than 20 images count: it is kept as often as one of 20."""
    groups = np.repeat([0, 1, 2], [10, 20, 40])
    kept = np.zeros(3)
    for seed in range(4000):
        kept[groups[independent_units(70, Sampling(groups, "image", seed, 20)).rows]] += 1
    assert kept[1] == kept[2] == 4000
    assert kept[0] / 4000 == pytest.approx(0.5, abs=0.03)
    for limit in (None, 0):
        with pytest.raises(ValueError, match="stated before calibration images are seen"):
            independent_units(70, Sampling(groups, "image", 0, limit))


def test_a_certificate_about_images_of_groups_names_the_cap() -> None:
    groups = np.repeat(np.arange(1000), 2)
    certificate = certify(np.ones(2000), np.zeros(2000), [1.0], TARGET, Sampling(groups, "image", 0, 2))
    assert "answered images (of a group at most 2 count)" in certificate.sentence()


def test_without_groups_every_image_is_a_unit() -> None:
    units = independent_units(4, Sampling(seed=5))
    assert units.rows.tolist() == [0, 1, 2, 3]
    assert units.seed is None
    assert units.population == "image"
    with pytest.raises(ValueError, match="unit is 'frame'"):
        independent_units(4, Sampling(unit="frame"))


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([1.0, np.nan, 2.0], "1 missing"),
        (np.array(["a", None, "b"], dtype=object), "1 missing"),
        ([1, 2], "groups has shape"),
    ],
)
def test_malformed_groups_are_refused(groups: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        group_codes(groups, 3)


def test_a_grouped_certificate_counts_groups_and_names_its_population_and_seed() -> None:
    groups = np.repeat([f"drive {i}" for i in range(500)], 4)
    confidence = np.random.default_rng(0).random(2000)
    errors = np.zeros(2000)
    certificate = certify(confidence, errors, None, TARGET, Sampling(groups, seed=11))
    assert (certificate.n, certificate.images, certificate.seed) == (500, 2000, 11)
    assert certificate.population == "random group, random frame"
    assert "random frames of random groups" in certificate.sentence()
    assert Certificate.from_dict(certificate.to_dict()) == certificate
    few = certify(confidence, errors, None, TARGET, Sampling(groups.astype("U8")))
    assert "labelled groups" in few.needed


def test_the_draw_of_frames_does_not_see_scores_or_labels() -> None:
    groups = np.repeat(np.arange(600), 3)
    rng = np.random.default_rng(1)
    confidence, errors = rng.random(1800), rng.random(1800) < 0.001
    first = certify(confidence, errors, None, TARGET, Sampling(groups, seed=3))
    rows = independent_units(1800, Sampling(groups, seed=3)).rows
    direct = certify(confidence[rows], errors[rows], None, TARGET)
    assert (first.threshold, first.answered, first.errors) == (
        direct.threshold,
        direct.answered,
        direct.errors,
    )


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.8])
def test_correlation_within_groups_is_recovered(correlation: float) -> None:
    rng = np.random.default_rng(2)
    sizes = rng.integers(2, 12, 3000)
    groups = np.repeat(np.arange(3000), sizes)
    shared = rng.normal(size=3000)[groups]
    values = np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * rng.normal(size=len(groups))
    assert intra_group_correlation(values, groups) == pytest.approx(correlation, abs=0.03)


def test_correlation_at_its_extremes_and_where_it_is_undefined() -> None:
    assert intra_group_correlation([1, 1, 0, 0], ["a", "a", "b", "b"]) == 1.0
    assert intra_group_correlation([1, 0, 1, 0], ["a", "a", "b", "b"]) == -1.0
    for values, groups in (([1, 0], [1, 1]), ([1, 0], [1, 2]), ([1, 1, 1, 1], [1, 1, 2, 2]), ([], [])):
        assert np.isnan(intra_group_correlation(values, groups))


def frames(groups: int, size: int, rate: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    confidence = rng.random(groups * size)
    wrong = rng.random(groups * size) < rate * 2 * (1 - confidence)
    return confidence, wrong, np.repeat(np.arange(groups), size)


GRID = np.linspace(1, 0, 101)


def test_betting_needs_about_as_many_groups_as_the_exact_test_without_errors() -> None:
    # ln 20 / ln(1 + .9 / .99 * .01) = 331.0
    for groups, feasible in ((331, False), (332, True)):
        sampling = Sampling(np.repeat(np.arange(groups), 2))
        certificate = certify_group_means(np.ones(groups * 2), np.zeros(groups * 2), [0.5], TARGET, sampling)
        assert certificate.feasible is feasible
    refused = certify_group_means(
        np.ones(20), np.zeros(20), [0.5], TARGET, Sampling(np.repeat(np.arange(10), 2))
    )
    assert "at least 322 more groups" in refused.needed


def test_betting_counts_groups_and_frames_and_bounds_the_risk() -> None:
    confidence, wrong, groups = frames(800, 10, 0.005, 0)
    certificate = certify_group_means(
        confidence, wrong, GRID, TARGET, Sampling(groups), certified_on=CertifiedOn("d", "e")
    )
    assert certificate.feasible
    assert (certificate.n, certificate.images) == (800, 8000)
    chosen = confidence >= certificate.threshold
    assert (certificate.answered, certificate.errors) == (chosen.sum(), (chosen & wrong).sum())
    assert certificate.coverage == pytest.approx(chosen.mean())
    assert 0.0 < certificate.coverage_lower_bound < certificate.coverage
    assert certificate.risk_upper_bound <= 0.01
    assert certificate.population == "random group, random frame"
    clean = certify_group_means(confidence, np.zeros(8000), GRID, TARGET, Sampling(groups))
    assert clean.coverage > 0.99
    assert clean.risk_upper_bound < 0.006


def test_betting_does_not_depend_on_the_order_of_frames() -> None:
    confidence, wrong, groups = frames(800, 5, 0.006, 3)
    order = np.random.default_rng(0).permutation(len(groups))
    assert certify_group_means(confidence, wrong, GRID, TARGET, Sampling(groups)) == certify_group_means(
        confidence[order], wrong[order], GRID, TARGET, Sampling(groups[order])
    )


@given(seed=st.integers(0, 200))
@settings(max_examples=20, deadline=None)
def test_betting_certifies_no_less_at_a_larger_delta(seed: int) -> None:
    confidence, wrong, groups = frames(700, 5, 0.008, seed)
    grid = np.linspace(0.2, 0, 21)  # from where all of them have enough answers
    strict = certify_group_means(confidence, wrong, grid, TARGET, Sampling(groups))
    loose = certify_group_means(confidence, wrong, grid, replace(TARGET, delta=0.2), Sampling(groups))
    assert strict.coverage <= loose.coverage


@pytest.mark.parametrize("rate", [0.02, 0.0085])
def test_betting_says_why_it_cannot(rate: float) -> None:
    _, wrong, groups = frames(700, 5, rate, 1)
    certificate = certify_group_means(np.ones(3500), wrong, [1.0], TARGET, Sampling(groups))
    assert not certificate.feasible
    assert ("better classifier" if rate > 0.01 else "more labelled groups than here") in certificate.needed


def test_the_largest_capital_on_the_way_proves_what_the_last_one_does_not() -> None:
    """Whole groups are right or wrong: the errors of a few late groups do not undo a proof."""
    rng = np.random.default_rng(0)
    proven = 0
    for seed in range(200):
        wrong = np.repeat(rng.random(1000) < 0.005, 2)
        sampling = Sampling(np.repeat(np.arange(1000), 2), seed=seed)
        proven += certify_group_means(np.ones(2000), wrong, [1.0], TARGET, sampling).feasible
    assert proven / 200 > 0.24  # .34; by the last capital .14


def test_betting_on_nothing_is_infeasible_and_on_nonsense_an_error() -> None:
    assert not certify_group_means([], [], [0.5], TARGET, Sampling([])).feasible
    with pytest.raises(ValueError, match=r"bet is 1\.0"):
        certify_group_means([0.1], [0], [0.5], TARGET, Sampling([1]), bet=1.0)


def test_each_group_counts_alike_and_each_of_its_frames_about_alike() -> None:
    groups = np.array(["long"] * 7 + ["short"] * 2 + ["single"])
    rows = each_group_alike(groups, 10, seed=0)
    assert np.unique(groups[rows], return_counts=True)[1].tolist() == [7, 7, 7]
    assert np.bincount(rows, minlength=10).tolist()[:7] == [1] * 7
    assert sorted(np.bincount(rows, minlength=10)[7:].tolist()) == [3, 4, 7]
    assert len(each_group_alike(np.array([], dtype=np.str_), 0, seed=0)) == 0
