"""Labels of the arms: as many, and as soon."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from calibration.experiments.analysis import Terms, analyse
from calibration.experiments.arms import ArmTable
from calibration.experiments.labels import labels_comparable

Arms = Callable[..., ArmTable]


def missing(table: ArmTable, share: float) -> ArmTable:
    """Without the labels of a share of the challenger's units."""
    gone = (table.arm == 1) & (np.cumsum(table.arm == 1) % 100 < 100 * share)
    return replace(
        table,
        confusion=np.where(gone[:, None, None], 0, table.confusion),
        label_lag=np.where(gone, np.nan, table.label_lag),
    )


def test_equal_labels_are_comparable(two_arms: Arms) -> None:
    found = labels_comparable(two_arms((3400, 4000), (3640, 4000)))
    assert found.comparable is True
    assert "comparable" in found.sentence()


def test_missing_labels_of_one_arm_are_not(two_arms: Arms) -> None:
    table = missing(two_arms((3400, 4000), (3640, 4000)), 0.2)
    found = labels_comparable(table)
    assert found.comparable is False
    assert "100.0 % of the control's requests have a label, and 80.0 % of b:2's" in found.sentence()
    by_metric = {one.comparison.metric: one.comparison for one in analyse(table).arms[0].figures}
    assert by_metric["accuracy"].conclusion == by_metric["mcc"].conclusion == "inconclusive"
    assert "not comparable" in by_metric["accuracy"].reason
    assert by_metric["risk"].conclusion == "better"


def test_labels_that_come_later_are_not(two_arms: Arms) -> None:
    table = two_arms((3400, 4000), (3640, 4000))
    rng = np.random.default_rng(4)
    lag = rng.exponential(100.0, len(table)) * np.where(table.arm == 1, 1.5, 1.0)
    assert labels_comparable(replace(table, label_lag=lag)).comparable is False
    same = rng.exponential(100.0, len(table))
    assert labels_comparable(replace(table, label_lag=same)).comparable is True


def test_without_labels_nothing_is_said(two_arms: Arms) -> None:
    table = two_arms((340, 400), (340, 400))
    found = labels_comparable(replace(table, confusion=0 * table.confusion))
    assert found.comparable is None
    assert "too few" in found.sentence()


def test_a_mismatch_blocks_every_conclusion(two_arms: Arms) -> None:
    table = replace(two_arms((3400, 4000), (3640, 4000)), shares=np.array([[0.6, 0.4]]))
    found = analyse(table, Terms(mode="fixed"))
    assert found.blocked
    assert {one.comparison.conclusion for one in found.arms[0].figures} == {"inconclusive"}
    assert found.arms[0].conclusion == "inconclusive"
