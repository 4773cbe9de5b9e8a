"""A process that tells alerts is killed at random moments: a kill loses nothing and doubles at most one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from alert_kills import kill_senders

KILLS = 50 if os.environ.get("DEMUR_SLOW") == "1" else 3


@pytest.mark.slow
def test_a_kill_loses_nothing_and_doubles_at_most_one(tmp_path: Path) -> None:
    found = kill_senders(tmp_path, KILLS, seed=1)
    assert found.faults == []
    assert found.confirmed > KILLS
