"""The trials of promotions find nothing in a fleet that is whole, and say what they find."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

from fakes.s3_server import program
from harness.promotion_kills import Kills
from harness.writers_trial import Writers

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "promotion.py"


def test_kills_and_writers_at_once_leave_one_champion() -> None:
    program()
    # A process of its own: the trial forks, and must have one thread.
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--parts", "steps,writers", "--times", "1", "--writers", "3"],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    for step in ("gates 1", "prepare 1", "shadow 1", "canary 1", "canary 2", "everything 1", "rolled-back 1"):
        assert f"| {step} | " in done.stdout
    assert "| folder | 3 | 0 | 0 | 0 |" in done.stdout
    assert "| S3 server | 3 | 0 | 0 | 0 |" in done.stdout
    assert "refusals={'PromotionRunning'}" in done.stdout


def test_writers_that_both_win_are_a_fault() -> None:
    faults = Writers(200, two_winners=1, wrongly_told=0, lost=2, unlike=0).faults
    assert faults == ["1 rounds without exactly one winner", "2 changes were lost"]
    assert Writers(200, two_winners=0, wrongly_told=0, lost=0, unlike=0).faults == []


def test_a_report_of_another_champion_is_a_fault() -> None:
    found = Kills(endings=Counter({"promoted": 1}), two_champions=["service-1 has another"], orphans=2)
    assert found.faults == ["service-1 has another", "2 processes of killed promoters lived on"]
