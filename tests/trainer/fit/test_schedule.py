"""Views that grow: their sizes, the work they save, and how a time budget counts it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.fit.schedule import FULL_SIZE_AT, Schedule, mean_work, view_share, view_side


@given(first=st.floats(0.25, 1.0), full=st.integers(16, 256), progress=st.floats(0.0, 1.0))
def test_views_grow_to_the_full_side_and_never_past_it(first: float, full: int, progress: float) -> None:
    side = view_side(full, first, progress)
    assert 8 <= side <= full
    assert side <= view_side(full, first, min(progress + 0.1, 1.0))
    if progress >= FULL_SIZE_AT or first == 1.0:
        assert side == full


def test_sides_of_a_network_of_64_pixels() -> None:
    assert [view_side(64, 0.5, at) for at in (0.0, 0.175, 0.35, 0.525, 0.7, 1.0)] == [32, 40, 48, 56, 64, 64]


@pytest.mark.parametrize("first", [0.25, 0.5, 1.0])
@pytest.mark.parametrize("done", [1, 50, 300, 700, 999, 1000])
def test_what_is_left_counts_that_later_steps_cost_more(first: float, done: int) -> None:
    """A machine that does one full-size step a second."""
    schedule = Schedule(1000, lr=1.0, warmup=0.1, time_budget_s=None, first_views=first)
    cost = [view_share(first, step / 1000) ** 2 for step in range(1000)]
    assert schedule.seconds_left(done, sum(cost[:done])) == pytest.approx(sum(cost[done:]))
    assert schedule.seconds_left(0, 0.0) == 0.0


@pytest.mark.parametrize("first", [0.25, 0.5, 0.75, 1.0])
def test_mean_work_is_the_mean_of_the_squares(first: float) -> None:
    squares = [view_share(first, (i + 0.5) / 10_000) ** 2 for i in range(10_000)]
    assert mean_work(first) == pytest.approx(sum(squares) / len(squares), rel=1e-3)


def test_a_budget_counts_that_later_steps_cost_more() -> None:
    """A machine that does one full-size step a second, and a budget that the growing plan just fits."""
    plain = Schedule(1000, lr=1.0, warmup=0.1, time_budget_s=400.0)
    growing = Schedule(1000, lr=1.0, warmup=0.1, time_budget_s=400.0, first_views=0.5)
    for schedule in (plain, growing):
        elapsed, step = 0.0, 0
        while step < schedule.steps:
            first = 0.5 if schedule is growing else 1.0
            elapsed += view_share(first, step / schedule.steps) ** 2
            step += 1
            if step % 100 == 0:
                schedule.keep_to_budget(step, elapsed)
        assert elapsed == pytest.approx(400.0, rel=0.06)
        assert schedule.was_shortened
    assert plain.steps == 400
    assert growing.steps == pytest.approx(400 / mean_work(0.5), rel=0.06)
