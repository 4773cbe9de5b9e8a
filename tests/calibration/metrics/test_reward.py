from __future__ import annotations

import numpy as np
import pytest

from calibration.metrics import natix_reward, simulated_reward, stream_reward, stream_rewards


def test_a_perfect_stream_earns_one():
    labels = [0, 1] * 60
    assert stream_reward(labels, [float(label) for label in labels]) == pytest.approx(1.0)


def test_reward_by_hand():
    assert natix_reward(0.6, 0.9) == pytest.approx(0.75**3)
    assert natix_reward(-0.6, 0.9) == pytest.approx(0.45**3)


def test_only_the_last_answers_count():
    labels = np.array([0, 1] * 100)
    p = labels.astype(float)
    p[:100] = 1 - p[:100]  # beyond both windows
    assert stream_reward(labels, p) == pytest.approx(1.0)
    p[185:190] = 1 - p[185:190]  # in the window of the MCC alone
    assert 0.8 < stream_reward(labels, p) < 1.0


def test_one_class_has_no_correlation():
    assert stream_reward([1] * 100, [0.9] * 100) == pytest.approx(0.5**3)
    assert stream_reward([0, 1] * 50, [0.9] * 100) == pytest.approx((0.5 * 0.5) ** 3)


def test_exactly_one_half_counts_as_negative():
    labels = [0, 1] * 50
    assert stream_reward(labels, [0.5 if label == 0 else 0.51 for label in labels]) == pytest.approx(1.0)


@pytest.mark.parametrize("bad", [-1.0, 1.001, float("nan"), float("inf")])
def test_no_probability_earns_nothing_and_is_left_out_later(bad):
    labels = [0, 1] * 10
    p = [float(label) for label in labels]
    p[-1] = bad
    assert stream_reward(labels, p) == 0.0
    assert stream_reward([*labels, 1], [*p, 0.9]) == pytest.approx(1.0)


def test_the_series_is_the_reward_after_each_answer():
    generator = np.random.default_rng(3)
    labels = generator.integers(0, 2, 250)
    p = np.clip(labels + generator.normal(0, 0.6, 250), -0.2, 1.2)
    series = stream_rewards(labels, p)
    assert series == pytest.approx([stream_reward(labels[: k + 1], p[: k + 1]) for k in range(250)])


@pytest.mark.parametrize(("rate", "expected"), [(0.90, 0.62), (0.95, 0.81), (0.98, 0.91), (0.99, 0.96)])
def test_mean_reward_of_known_recall_and_specificity(rate, expected):
    generator = np.random.default_rng(11)
    labels = generator.integers(0, 2, 3000)
    right = generator.random(3000) < rate
    rewards = stream_rewards(labels, np.where(right, labels, 1 - labels).astype(float))
    assert rewards[100:].mean() == pytest.approx(expected, abs=0.025)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="labels must hold 0 and 1"):
        stream_reward([2], [0.5])
    with pytest.raises(ValueError, match="shape"):
        stream_reward([], [])


@pytest.mark.parametrize(("q", "reward"), [(0.90, 0.62), (0.95, 0.80), (0.98, 0.91), (0.99, 0.96)])
def test_the_mean_reward_at_equal_recall_and_specificity(q: float, reward: float):
    assert simulated_reward(q, q) == pytest.approx(reward, abs=0.006)
    # By hand, to second order: the mean cubed, and what its variance adds. ACC@10 lies within MCC@100.
    mean = 0.5 * (2 * q - 1) + 0.5 * q
    variance = 0.25 * q * (1 - q) * (1 / 10 + 4 / 100 + 2 * 2 / 100)
    assert simulated_reward(q, q) == pytest.approx(mean**3 + 3 * mean * variance, abs=0.005)


def test_the_simulated_reward_is_what_a_long_stream_earns():
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, 20_000)
    right = rng.random(20_000) < np.where(labels == 1, 0.9, 0.95)
    predictions = np.where(right, labels, 1 - labels)
    earned = stream_rewards(labels, predictions.astype(float))[100:].mean()
    assert simulated_reward(0.9, 0.95) == pytest.approx(earned, abs=0.01)


def test_always_roadwork_earns_next_to_nothing():
    """Recall 1, specificity 0: the MCC is 0, and the accuracy a coin's."""
    assert simulated_reward(1.0, 0.0) == pytest.approx(0.5**3 * 0.1625, abs=0.002)
    assert simulated_reward(1.0, 1.0) == 1.0
    assert np.isnan(simulated_reward(float("nan"), 0.5))
    with pytest.raises(ValueError, match="both lie in"):
        simulated_reward(1.2, 0.5)
