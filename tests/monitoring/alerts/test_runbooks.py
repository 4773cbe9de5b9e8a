"""Each signal has a page that says what to do, and the page names the signal."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitoring.alerts.default_rules import DEFAULT_RULES
from monitoring.alerts.signals import SIGNALS

RUNBOOKS = Path(__file__).parents[3] / "docs" / "runbooks"


@pytest.mark.parametrize("signal", SIGNALS)
def test_each_signal_has_its_runbook(signal: str) -> None:
    page = (RUNBOOKS / f"{SIGNALS[signal].runbook}.md").read_text("utf-8")
    assert f"`{signal}`" in page
    for heading in ("## Look first", "## What to do", "## It ends"):
        assert heading in page


def test_each_built_in_rule_says_what_to_do() -> None:
    assert all(rule.action for rule in DEFAULT_RULES)
