"""The audit sample: random, at most one a unit and window, known before the label."""

from __future__ import annotations

import random
from collections import Counter

from monitoring.promise.sampling import AuditSampler, Draw

NOW = 1.7e9


def test_the_share_of_unit_less_answers() -> None:
    sampler = AuditSampler(0.2, 600.0, uniform=random.Random(1).random)
    drawn = [sampler.draw("b:1", None, NOW, 1.5) for _ in range(10_000)]
    assert {one.probability for one in drawn} == {0.30000000000000004}
    assert 2850 < sum(one.audit for one in drawn) < 3150
    assert len({one.draw for one in drawn}) == 10_000


def test_a_probability_is_at_most_one() -> None:
    assert AuditSampler(0.8, 600.0).draw("b:1", None, NOW, 3.0).probability == 1.0


def test_an_abstention_is_drawn_but_never_audited() -> None:
    drawn = AuditSampler(1.0, 600.0).draw("b:1", "u", NOW, None)
    assert (drawn.audit, drawn.probability) == (False, None)
    assert drawn.draw is not None


def test_no_share_no_audit() -> None:
    sampler = AuditSampler(0.0, 600.0)
    assert not any(sampler.draw("b:1", None, NOW, 1.0).audit for _ in range(1000))


def test_every_frame_of_a_window_is_the_item_equally_often() -> None:
    """With a share of 1, the last frame of a burst that asks for its label is the item."""
    sampler = AuditSampler(1.0, 600.0, uniform=random.Random(2).random)
    items: Counter[int] = Counter()
    for unit in range(4000):
        draws = [sampler.draw("b:1", f"u{unit}", NOW, 1.0) for _ in range(4)]
        asked = [number for number, one in enumerate(draws) if one.audit]
        assert asked[0] == 0, "the first frame is the smallest draw so far"
        assert asked[-1] == min(range(4), key=lambda number: draws[number].draw or 0.0)
        items[asked[-1]] += 1
    assert all(880 < items[number] < 1120 for number in range(4))


def test_windows_bundles_and_units_are_told_apart() -> None:
    draws = iter([0.1, 0.0, 0.2, 0.0, 0.2, 0.0, 0.2, 0.0, 0.2, 0.0])
    sampler = AuditSampler(1.0, 600.0, uniform=lambda: next(draws))
    assert sampler.draw("b:1", "u", NOW, 1.0).audit
    assert not sampler.draw("b:1", "u", NOW, 1.0).audit
    assert sampler.draw("b:2", "u", NOW, 1.0).audit
    assert sampler.draw("b:1", "v", NOW, 1.0).audit
    assert sampler.draw("b:1", "u", NOW + 600, 1.0).audit


def test_a_million_units_need_bounded_memory() -> None:
    sampler = AuditSampler(1.0, 600.0, capacity=100)
    for unit in range(5000):
        sampler.draw("b:1", f"u{unit}", NOW, 1.0)
        sampler.draw("b:1", "kept", NOW, 1.0)
    assert len(sampler._smallest) == 100
    assert Draw(0.0, False, 1.0) != sampler.draw("b:1", "x" * 10_000, NOW, 1.0)
