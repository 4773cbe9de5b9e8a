"""Comparison of a window with its reference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from calibration.drift.comparison import LEAST_IMAGES, compare
from calibration.drift.signals import SignalRow, SignalSample


def sample(n: int, seed: int, *, shift: float = 0.0, answered: float = 0.9) -> SignalSample:
    rng = np.random.default_rng(seed)
    return SignalSample(
        {"brightness": rng.normal(shift, 1.0, n), "margin_a": rng.gamma(2.0, 1.0, n)},
        {"answered": (rng.random(n) < answered).astype(np.int64), "predicted": rng.integers(0, 2, n)},
        rng.beta(8.0, 1.0, n),
        rng.normal(size=(n, 8)),
    )


class TestCompare:
    def test_a_quiet_window(self) -> None:
        found = compare(sample(600, 0), sample(300, 1), level=0.01)
        assert not found.alarm
        assert (found.n, found.n_reference) == (300, 600)
        assert [one.name for one in found.shifts] == ["brightness", "margin_a", "answered", "predicted"]

    def test_a_number_that_moved(self) -> None:
        found = compare(sample(600, 0), sample(300, 1, shift=-1.0), level=1e-3)
        assert found.moved == ("brightness",)
        (shift,) = (one for one in found.shifts if one.moved)
        assert shift.current < shift.reference
        assert shift.psi > 0.25

    def test_a_share_that_fell(self) -> None:
        found = compare(sample(600, 0), sample(300, 1, answered=0.6), level=1e-3)
        assert found.moved == ("answered",)
        shift = next(one for one in found.shifts if one.name == "answered")
        assert (shift.category, round(shift.reference, 1), round(shift.current, 1)) == (1, 0.9, 0.6)

    def test_an_embedding_that_moved_alone(self) -> None:
        now = sample(300, 1)
        assert now.embedding is not None
        found = compare(sample(600, 0), replace(now, embedding=now.embedding + 1.0), level=1e-3)
        assert found.moved == ()
        assert found.joint_moved
        assert found.alarm

    def test_the_level_is_that_of_all_tests_together(self) -> None:
        rng = np.random.default_rng(7)
        alarms = 0
        for k in range(60):
            before, now = (
                SignalSample(
                    {f"s{i}": rng.normal(size=n) for i in range(8)},
                    {"c": rng.integers(0, 2, n)},
                    np.full(n, np.nan),
                )
                for n in (300, 250)
            )
            alarms += compare(before, now, level=0.2, seed=k).alarm
        assert alarms <= 20

    def test_signals_that_one_side_lacks_are_left_out(self) -> None:
        now = replace(
            sample(300, 1), embedding=None, numbers={"brightness": sample(300, 1).numbers["brightness"]}
        )
        found = compare(sample(600, 0), now, level=0.01)
        assert [one.name for one in found.shifts] == ["brightness", "answered", "predicted"]
        assert found.joint is not None
        bare = SignalSample({}, {}, np.full(300, np.nan))
        assert compare(sample(600, 0), bare, level=0.01).joint is None

    def test_values_that_are_not_finite_and_a_reference_without_spread(self) -> None:
        before, now = sample(600, 0), sample(300, 1)
        before.numbers["margin_a"][:] = 3.0
        now.numbers["brightness"][:60] = np.nan
        now.numbers["margin_a"][:] = 3.0
        found = compare(before, now, level=0.01)
        assert "brightness" not in [one.name for one in found.shifts]
        assert not found.alarm

    @pytest.mark.parametrize(("m", "n"), [(99, 300), (600, LEAST_IMAGES - 1)])
    def test_too_few_images(self, m: int, n: int) -> None:
        with pytest.raises(ValueError, match="nothing is concluded"):
            compare(sample(m, 0), sample(n, 1), level=0.01)

    @pytest.mark.parametrize("level", [0.0, 1.0, float("nan")])
    def test_a_level_that_is_none(self, level: float) -> None:
        with pytest.raises(ValueError, match="level"):
            compare(sample(600, 0), sample(300, 1), level=level)


class TestSignals:
    def test_rows_and_columns(self) -> None:
        rows = [
            SignalRow({"a": 1.0, "b": 2.0}, {"c": 1}, 0.9, (0.0, 1.0)),
            SignalRow({"a": 3.0}, {"c": 0}, 0.8, (2.0, 3.0)),
        ]
        found = SignalSample.of(rows)
        assert list(found.numbers) == ["a"]
        assert found.embedding is not None
        assert found.take(np.array([1])).embedding == pytest.approx(np.array([[2.0, 3.0]]))
        assert SignalSample.of([*rows, replace(rows[0], embedding=None)]).embedding is None
        assert len(SignalSample.of([])) == 0

    def test_values_read_back(self) -> None:
        written = sample(20, 3)
        written.numbers["brightness"][4] = np.inf
        read = SignalSample.from_values(written.to_values())
        assert np.isnan(read.numbers["brightness"][4])
        np.testing.assert_allclose(read.right, written.right, rtol=1e-4)
        np.testing.assert_array_equal(read.answered, written.answered)

    def test_equal_values_stay_equal_to_those_that_were_written(self) -> None:
        rows = [SignalRow({"aspect": 4 / 3}, {}, 0.5) for _ in range(300)]
        fresh = SignalSample.of(rows)
        read = SignalSample.from_values(fresh.to_values())
        np.testing.assert_array_equal(read.numbers["aspect"], fresh.numbers["aspect"])
        assert not compare(read, fresh, level=0.5).alarm

    def test_columns_of_different_lengths(self) -> None:
        with pytest.raises(ValueError, match="signal 'a'"):
            SignalSample({"a": np.ones(3)}, {}, np.ones(2))
