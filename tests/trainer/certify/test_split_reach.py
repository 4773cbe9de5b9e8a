"""What a calibration split can prove is said for every kind of promise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fakes.channel_models import channel_images

from trainer.certify.split_reach import SplitReach, split_reach
from trainer.data.images import ImageSet
from trainer.data.splits import Splits, SplitSizes, make_splits
from trainer.errors import RunError
from trainer.run.promise import PromiseConfig


def split(source: ImageSet, calib: int) -> Splits:
    return make_splits(source.labels, source.groups, SplitSizes(20, calib, 20), seed=0)


def reach_of(source: ImageSet, calib: int, **promise: Any) -> SplitReach:
    config = PromiseConfig.model_validate(promise)
    return split_reach(source, split(source, calib), config, lambda units: units // 4)


def test_a_promise_within_reach_says_what_it_takes() -> None:
    found = reach_of(channel_images(1500), 374)
    first, typical = found.lines()
    assert found.possible
    assert "With 374 calibration images a promise of at most 1 % wrong answers at 95 % confidence" in first
    assert "if at most 0 of them are answered wrongly" in first
    assert "299 answered without an error (80 %) are the least" in first
    assert "0.8 % is the smallest risk" in first
    assert "right on 90, 95, 98 % of all images" in typical


def test_a_promise_out_of_reach_says_how_many_labels_and_which_risk() -> None:
    found = reach_of(channel_images(600), 150)
    (line,) = found.lines()
    assert not found.possible
    assert "299 calibration images answered without an error are the least, and there are 150" in line
    assert found.units_in_all == 4 * 299
    assert "About 596 more labelled images in all" in line
    assert "--alpha 0.02" in line
    assert reach_of(channel_images(600), 150, alpha=0.02).possible


def test_each_end_of_an_interval_of_shares_must_be_reached() -> None:
    found = reach_of(channel_images(2400), 1200, prevalence=(0.1, 0.8))
    assert [part.name for part in found.parts] == ["10 % busy", "80 % busy"]
    assert found.possible
    assert "For 80 % busy: with about " in found.lines()[1]
    far = reach_of(channel_images(1200), 400, prevalence=(0.5, 0.99))
    assert not far.possible
    with pytest.raises(RunError, match="3 intervals for 2 classes"):
        reach_of(channel_images(600), 150, prevalence=((0.1, 0.2), (0.3, 0.4), (0.5, 0.6)))


def test_fixed_sizes_ask_for_a_larger_calibration_split() -> None:
    source = channel_images(600)
    found = split_reach(source, split(source, 150), PromiseConfig(), None)
    assert "149 more calibration images are needed (splits.val_calib)" in found.lines()[0]


def test_groups_count_and_not_their_images() -> None:
    source = channel_images(3000, frames=6, group=True)
    one = reach_of(source, 310, frames="one")
    assert (one.unit, one.units, one.images) == ("group", 310, 1860)
    assert one.possible
    betting = reach_of(source, 310, frames="all")
    assert not betting.possible
    assert betting.parts[0].reach.fewest == 332
    assert "calibration groups" in betting.lines()[0]
    capped = reach_of(source, 310, unit="image", max_group_size=12)
    assert capped.units == pytest.approx(155, abs=40), "half of the groups are kept"


@pytest.mark.parametrize("certificate", ["exact", "look-ahead", "scrc-i", "scrc-t"])
def test_every_method_has_its_least(certificate: str) -> None:
    found = reach_of(channel_images(1500), 374, certificate=certificate)
    (part,) = found.parts
    assert part.reach.fewest == {"exact": 299, "look-ahead": 299, "scrc-i": 34095, "scrc-t": 101}[certificate]
    assert found.possible == (certificate != "scrc-i")
    assert ("on average over calibration draws" in found.lines()[0]) == (certificate == "scrc-t")


def test_each_answer_and_each_slice_must_be_reached() -> None:
    source = channel_images(3000)
    rare = replace(source, labels=(np.arange(3000) % 10 == 0).astype(np.int64))
    each = reach_of(rare, 1000, each_answer=True)
    assert [(part.name, part.reach.units) for part in each.parts] == [
        ("answer 'calm'", 900),
        ("answer 'busy'", 100),
    ]
    assert not each.possible
    assert each.units_in_all == 4 * 2990
    assert "for answer 'busy'" in each.lines()[0]
    slices = reach_of(source, 1000, slices="weather")
    assert [part.name for part in slices.parts] == ["weather 'rain'", "weather 'sun'"]
    assert sum(part.reach.units for part in slices.parts) == 1000
    assert len(slices.lines()) == 2


def test_several_risks_share_delta() -> None:
    found = reach_of(channel_images(1500), 400, alphas=(0.01, 0.02), alpha=0.01)
    assert [(part.name, part.reach.fewest) for part in found.parts] == [
        ("alpha 0.01", 368),
        ("alpha 0.02", 183),
    ]


def test_without_a_certificate_nothing_is_promised() -> None:
    found = reach_of(channel_images(200), 20, certificate="none")
    assert found.possible
    assert found.lines() == ("No certificate is asked for, so nothing will be promised.",)
    assert found.to_dict()["parts"] == []


def test_an_empty_calibration_split_is_told() -> None:
    found = reach_of(channel_images(200), 0)
    assert "there are 0" in found.lines()[0]
    assert "--alpha" not in found.lines()[0]
