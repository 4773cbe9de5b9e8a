"""Which images drift looks at."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from monitoring.drift.unit_sampler import UnitSampler

GAP = 600.0


def test_with_little_traffic_every_unit_is_drawn() -> None:
    sampler = UnitSampler(500.0, GAP)
    draws = [sampler.draw(None, 60.0 * minute) for minute in range(200)]
    assert all(draw is not None for draw in draws)
    assert len({draw.unit for draw in draws if draw is not None}) == 200


def test_the_share_follows_the_traffic() -> None:
    sampler = UnitSampler(600.0, GAP)
    times = np.arange(0.0, 3600.0, 0.05)  # 72,000 an hour
    drawn = [at for at in times.tolist() if sampler.draw(None, at) is not None]
    assert sampler.share == pytest.approx(600 / 72_000, rel=0.9)
    late = [at for at in drawn if at > 1200.0]
    assert 0.6 * 400 < len(late) < 1.6 * 400


def test_a_burst_is_bounded() -> None:
    sampler = UnitSampler(600.0, GAP)
    assert sum(sampler.draw(None, 5.0) is not None for _ in range(10_000)) == 40


def test_each_frame_of_a_unit_is_as_likely_as_every_other() -> None:
    kept: Counter[int] = Counter()
    for unit in range(3000):
        sampler = UnitSampler(1e9, GAP)
        draws = [(sampler.draw(f"camera-{unit}", 10_000.0 + frame), frame) for frame in range(5)]
        kept[min((draw.number, frame) for draw, frame in draws if draw is not None)[1]] += 1
    # Five standard deviations of a binomial share.
    assert all(abs(count - 600) < 5 * (3000 * 0.2 * 0.8) ** 0.5 for count in kept.values())


def test_frames_of_a_unit_share_a_key_within_its_window_only() -> None:
    sampler = UnitSampler(1e9, GAP, chance=iter(np.linspace(0.9, 0.1, 40).tolist()).__next__)
    keys = [sampler.draw("camera", float(at)) for at in range(0, 1800, 100)]
    units = [draw.unit for draw in keys if draw is not None]
    assert len(units) == 18
    assert len(set(units)) == 4  # windows of 600 s at a phase of the unit's own


def test_all_workers_draw_the_same_units() -> None:
    first, second = UnitSampler(1e9, GAP), UnitSampler(1e9, GAP)
    for sampler in (first, second):
        sampler._share = 0.3
    units = [f"u{number}" for number in range(500)]
    drawn = [{unit for unit in units if sampler.draw(unit, 100.0)} for sampler in (first, second)]
    assert drawn[0] == drawn[1]
    assert 100 < len(drawn[0]) < 200


def test_a_unit_of_ten_kilobytes_and_a_million_units_cost_bounded_memory() -> None:
    sampler = UnitSampler(1e9, GAP)
    assert sampler.draw("x" * 10_000, 1.0) is not None
    for number in range(25_000):
        sampler.draw(f"u{number}", 1.0)
    assert len(sampler._smallest) == 20_000


def test_a_clock_that_is_set_back_does_no_harm() -> None:
    sampler = UnitSampler(500.0, GAP)
    for at in (10_000.0, 6_400.0, 6_401.0, 6_470.0):
        assert sampler.draw(f"camera at {at}", at) is not None
    assert sampler.share == 1.0
