"""Splits are known by their units: labels and order do not matter, shared units are found."""

from __future__ import annotations

import json
from itertools import permutations

import numpy as np
import pytest

from calibration import DeltaExhausted, Ledger, LedgerError
from calibration.overlap import MOST_KEPT, SplitSketch, units_digest


def units(start: int, stop: int) -> list[str]:
    return [f"image {i}" for i in range(start, stop)]


def test_a_split_is_the_set_of_its_units() -> None:
    expected = units_digest(["a", "b", "c"])
    assert all(units_digest(order) == expected for order in permutations("abc"))
    assert units_digest(["a", "b"]) != expected
    assert units_digest(["ab"]) != units_digest(["a", "b"])


@pytest.mark.parametrize("n", [300, 3000, 40_000])
def test_shared_units_are_found_beyond_one_per_cent(n: int) -> None:
    whole = SplitSketch.of(units(0, n))
    assert len(whole.hashes) <= MOST_KEPT
    assert whole.overlaps(whole)
    for shared, expected in ((0.0, False), (0.002, False), (0.03, True), (0.5, True)):
        start = n - round(shared * n)
        assert whole.overlaps(SplitSketch.of(units(start, start + n))) is expected
    # A small split inside a large one shares all of its units.
    assert whole.overlaps(SplitSketch.of(units(0, n // 10)))


def test_a_sketch_and_a_ledger_of_overlapping_splits_are_read_back() -> None:
    sketch = SplitSketch.of(units(0, 9000))
    assert SplitSketch.from_dict(json.loads(json.dumps(sketch.to_dict()))) == sketch
    ledger = Ledger().with_split("a", sketch).with_uniform("a").charge("a", "first", 0.02)
    assert Ledger.from_dict(json.loads(json.dumps(ledger.to_dict()))) == ledger
    with pytest.raises(LedgerError, match="not a ledger"):
        Ledger.from_dict({**ledger.to_dict(), "sketches": {"a": {"halvings": 0}}})


def test_overlapping_splits_share_delta_and_others_do_not() -> None:
    ledger = Ledger()
    for name, first in (("a", 0), ("shifted", 900), ("fresh", 2000)):
        ledger = ledger.with_split(name, SplitSketch.of(units(first, first + 1000)))
    ledger = ledger.charge("a", "the first certificate", 0.03)
    assert ledger.left("shifted") == pytest.approx(0.02)
    assert ledger.left("fresh") == pytest.approx(0.05)
    with pytest.raises(DeltaExhausted, match=r"the first certificate.*at most 0\.02"):
        ledger.charge("shifted", "again", 0.05)
    spent = ledger.charge("shifted", "the rest", 0.02)
    with pytest.raises(DeltaExhausted, match=r"0 of 0\.05 is left.*\. Label a fresh calibration split"):
        spent.charge("a", "more", 0.01)


def test_the_number_of_a_randomised_test_is_drawn_once_by_the_system() -> None:
    ledger = Ledger().with_uniform("split")
    assert ledger.with_uniform("split").uniform("split") == ledger.uniform("split")
    with pytest.raises(LedgerError, match="with_uniform"):
        ledger.uniform("other")
    drawn = np.array([Ledger().with_uniform("split").uniform("split") for _ in range(400)])
    assert len(set(drawn)) == 400
    assert abs(drawn.mean() - 0.5) < 0.08
