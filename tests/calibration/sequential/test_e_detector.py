"""The e-detector against its formula, and its state against the function."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from calibration import EDetector, audit_weights, e_detector
from calibration.sequential.e_detector import HEAD_START, HORIZON, LAMBDAS, DetectorState


def by_the_formula(
    found: list[float], alpha: float, share: float = 1.0, lambdas: tuple[float, ...] = LAMBDAS
) -> float:
    """E at the end, with sums over every start written out. `found`: A L / q of each image."""
    values = []
    for bet in lambdas:
        factors = [1.0 + bet * (one - share * alpha) for one in found]
        whole = math.prod(factors)
        starts = sum(share * math.prod(factors[k:]) for k in range(len(factors)))
        values.append(HEAD_START * whole + (1.0 - HEAD_START) * starts / HORIZON)
    return sum(values) / len(values)


def test_all_audited_equals_the_formula() -> None:
    wrong = np.array([0, 1, 0, 0, 1, 1, 0, 1] * 9, dtype=bool)
    expected = [by_the_formula([float(one) for one in wrong[: k + 1]], 0.01) for k in range(len(wrong))]
    assert e_detector(wrong, 0.01) == pytest.approx(expected, rel=1e-12)


def test_audits_by_confidence_equal_the_formula() -> None:
    rng = np.random.default_rng(0)
    q = audit_weights(rng.random(60) ** 4)
    probability = 0.2 * q
    audited = rng.random(60) < 0.6
    wrong = rng.random(60) < 0.4
    found = (audited & wrong) / q
    expected = by_the_formula(found.tolist(), 0.02, share=0.2)
    value = e_detector(wrong, 0.02, audited=audited, probability=probability, share=0.2)
    assert value[-1] == pytest.approx(expected, rel=1e-12)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 300), st.floats(1e-4, 0.5), st.floats(0.01, 1.0))
def test_the_state_equals_the_function(seed: int, n: int, alpha: float, share: float) -> None:
    rng = np.random.default_rng(seed)
    wrong, audited = rng.random(n) < 0.05, rng.random(n) < 0.5
    probability = rng.uniform(0.01, 1.0, n)
    detector = EDetector(alpha, share=share)
    steps = [
        detector.update(bool(w), bool(a), float(p))
        for w, a, p in zip(wrong, audited, probability, strict=True)
    ]
    values = e_detector(wrong, alpha, audited=audited, probability=probability, share=share)
    np.testing.assert_allclose(values, steps, rtol=1e-12)


def test_an_image_that_was_not_audited_counts_as_such_whatever_its_label() -> None:
    audited = np.array([True, False, True, False] * 50)
    wrong = np.zeros(200, dtype=bool)
    unknown = np.where(audited, 0.0, np.nan)
    np.testing.assert_array_equal(
        e_detector(wrong, 0.01, audited=audited), e_detector(unknown, 0.01, audited=audited)
    )


def test_streams_side_by_side_equal_each_by_itself() -> None:
    wrong = np.random.default_rng(1).random((3, 2, 100)) < 0.03
    together = e_detector(wrong, 0.01)
    np.testing.assert_allclose(together[2, 1], e_detector(wrong[2, 1], 0.01), rtol=1e-12)


def test_a_long_good_past_is_forgotten() -> None:
    good = np.zeros(100_000, dtype=bool)
    bad = np.random.default_rng(2).random(2_000) < 0.05
    value = e_detector(np.concatenate([good, bad]), 0.01)
    assert value[99_999] < 1.0
    assert value[-1] > 20.0


@pytest.mark.parametrize("alpha", [0.001, 0.01, 0.3, 0.9])
def test_values_stay_positive_at_every_alpha(alpha: float) -> None:
    value = e_detector(np.zeros(50_000, dtype=bool), alpha)
    assert np.isfinite(value).all()
    assert (value >= 0.0).all()


BAD: list[tuple[dict[str, object], str]] = [
    ({"alpha": 0.0}, "alpha is 0.0"),
    ({"alpha": float("nan")}, "alpha is nan"),
    ({"share": 0.0}, "share is 0.0"),
    ({"share": 1.5}, "share is 1.5"),
    ({"horizon": 0}, "horizon is 0"),
    ({"weight": -0.1}, "weight is -0.1"),
    ({"lambdas": ()}, "lambdas are"),
    ({"lambdas": (1.0, -2.0)}, "lambdas are"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_bad_parameters_are_refused_by_both(change: dict[str, object], message: str) -> None:
    arguments = {"alpha": 0.01} | change
    with pytest.raises(ValueError, match=message):
        e_detector(np.zeros(3, dtype=bool), **arguments)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=message):
        EDetector(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "audited", "probability", "message"),
    [
        (np.array([0, 2]), None, None, "wrong holds values other"),
        (np.array([0, np.nan]), None, None, "wrong holds values other"),
        (np.array([0, 1]), np.array([0, 3]), None, "audited holds values other"),
        (np.array([0, 1]), np.array([True]), None, "audited has the shape"),
        (np.array([0, 1]), None, np.array([0.5, 0.0]), "probability holds values outside"),
        (np.array([0, 1]), None, np.array([0.5, np.nan]), "probability holds values outside"),
    ],
)
def test_malformed_arrays_are_refused(
    wrong: NDArray[np.bool_],
    audited: NDArray[np.bool_] | None,
    probability: NDArray[np.float64] | None,
    message: str,
) -> None:
    with pytest.raises(ValueError, match=message):
        e_detector(wrong, 0.01, audited=audited, probability=probability)


def test_a_bad_probability_is_refused_by_the_state() -> None:
    with pytest.raises(ValueError, match="probability is 0"):
        EDetector(0.01).update(True, True, 0)


@settings(deadline=None)
@given(st.integers(0, 400), st.booleans(), st.booleans(), st.floats(0.05, 1.0), st.floats(1e-4, 0.5))
def test_images_that_are_alike_equal_one_after_another(
    images: int, wrong: bool, audited: bool, probability: float, alpha: float
) -> None:
    at_once, one_by_one = EDetector(alpha, share=0.3), EDetector(alpha, share=0.3)
    for detector in (at_once, one_by_one):
        detector.update(True, True, 0.5)
    value = at_once.repeat(images, wrong, audited, probability)
    for _ in range(images):
        one_by_one.update(wrong, audited, probability)
    if value < 1e200:  # beyond it the values are cut
        assert value == pytest.approx(one_by_one.value, rel=1e-11)
        assert at_once.state.restarts == pytest.approx(one_by_one.state.restarts, rel=1e-11)


def test_a_million_images_without_an_audit_take_one_step() -> None:
    detector = EDetector(0.01, share=0.1)
    steady = detector.repeat(1_000_000)
    assert steady == pytest.approx(detector.repeat(1), rel=1e-9)
    assert 0.0 < steady < 0.01


@given(st.integers(0, 2**32 - 1), st.integers(0, 80), st.integers(0, 80))
def test_two_parts_of_a_stream_compose(seed: int, first: int, second: int) -> None:
    wrong = np.random.default_rng(seed).random(first + second) < 0.1
    whole, before, after = EDetector(0.02), EDetector(0.02), EDetector(0.02)
    for one in wrong:
        whole.update(bool(one))
    for one in wrong[:first]:
        before.update(bool(one))
    for one in wrong[first:]:
        after.update(bool(one))
    assert whole.value_of(before.state.then(after.state)) == pytest.approx(whole.value, rel=1e-12)


def test_a_detector_goes_on_from_a_state() -> None:
    one, other = EDetector(0.01), EDetector(0.01)
    one.update(True)
    other.state = one.state
    assert other.update(False) == one.update(False)
    with pytest.raises(ValueError, match="the state has 1 bets, not 3"):
        other.state = DetectorState((1.0,), (0.0,))


def test_values_stay_finite_while_everything_is_wrong() -> None:
    detector = EDetector(0.01)
    for _ in range(3):
        detector.repeat(100_000, wrong=True, audited=True)
        detector.state = detector.state.then(detector.state)
        assert np.isfinite(detector.value)
    assert np.isfinite(detector.repeat(1_000_000))


def test_bad_repetitions_are_refused() -> None:
    with pytest.raises(ValueError, match="images is -1"):
        EDetector(0.01).repeat(-1)
    with pytest.raises(ValueError, match="probability is 2"):
        EDetector(0.01).repeat(1, True, True, 2)
