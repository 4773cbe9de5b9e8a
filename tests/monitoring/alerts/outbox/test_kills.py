"""A process that tells alerts is killed at random moments: a kill loses nothing and doubles at most one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from alert_kills import kill_senders


def test_a_kill_loses_nothing_and_doubles_at_most_one(tmp_path: Path) -> None:
    found = kill_senders(tmp_path, 3)
    assert found.faults == []
    assert found.confirmed > 3


@pytest.mark.slow
@pytest.mark.skipif(os.environ.get("DEMUR_SLOW") != "1", reason="DEMUR_SLOW=1 kills fifty times")
def test_fifty_kills(tmp_path: Path) -> None:
    found = kill_senders(tmp_path, 50, seed=1)
    assert found.faults == []
