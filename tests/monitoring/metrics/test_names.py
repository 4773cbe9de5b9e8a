"""Names and units of the metrics, as Prometheus asks for them."""

from __future__ import annotations

from typing import get_args

import pytest

from monitoring.metrics import names

METRICS = names.by_name()
BASE_UNITS = get_args(names.BaseUnit)
WITHOUT_SUFFIX = {
    *("demur_bundle_share", "demur_expected_accuracy", "demur_expected_risk"),
    *("demur_rolling_acc", "demur_rolling_acc_low", "demur_rolling_acc_high"),
    *("demur_window_accuracy", "demur_window_precision", "demur_window_recall"),
    *("demur_window_specificity", "demur_window_coverage", "demur_window_stage_b"),
    *("demur_label_coverage", "demur_promise_risk_low", "demur_promise_risk_high"),
}
"""Ratios that are older than the rule; a new name would break the dashboards of those who have them."""


@pytest.mark.parametrize("name", METRICS)
def test_a_name_ends_in_its_base_unit(name: str) -> None:
    last = name.removesuffix("_total").rpartition("_")[2]
    unit = METRICS[name].unit
    if unit in BASE_UNITS and name not in WITHOUT_SUFFIX:
        assert last == unit
    assert last not in BASE_UNITS or last == unit, "the name speaks of another unit"


@pytest.mark.parametrize("name", METRICS)
def test_counters_end_in_total_and_nothing_else_does(name: str) -> None:
    assert name.endswith("_total") == isinstance(METRICS[name], names.Counter)


@pytest.mark.parametrize("name", METRICS)
def test_a_help_text_is_a_sentence(name: str) -> None:
    assert METRICS[name].help.endswith(".")


def test_the_names_without_a_suffix_exist() -> None:
    assert set(METRICS) >= WITHOUT_SUFFIX
