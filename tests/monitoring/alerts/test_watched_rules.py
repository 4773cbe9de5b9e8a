"""A rules file that changes while the service runs: taken as a whole, or refused with its faults."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from fakes.alert_days import FILE

from monitoring.alerts import watched_rules
from monitoring.alerts.rule_file import built_in_rules, read_rules
from monitoring.alerts.signals import labels_of
from monitoring.alerts.watched_rules import Found, WatchedRules

OWN = labels_of({"service": "a:8000"})


def write(path: Path, text: str, age: float = 60.0) -> None:
    """Write a file as it was left `age` seconds ago."""
    path.write_text(text)
    os.utime(path, (time.time() - age,) * 2)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write(tmp_path / "alerts.yaml", FILE, age=3600)
    return tmp_path / "alerts.yaml"


@pytest.fixture
def watched(path: Path) -> WatchedRules:
    return WatchedRules(path, read_rules(path, {}))


def looked(watched: WatchedRules) -> tuple[Found, float | None]:
    """What a look finds, and the threshold of the only rule then."""
    return watched.look(), watched.now.rules[0].below


def test_a_changed_file_is_taken_once(watched: WatchedRules, path: Path) -> None:
    assert looked(watched) == ("the same", 0.8)
    write(path, FILE.replace("below: 0.8", "below: 0.7"))
    assert looked(watched) == ("taken", 0.7)
    assert looked(watched) == ("the same", 0.7)


def test_a_file_that_was_written_just_now_may_not_be_whole(
    watched: WatchedRules, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched_rules.time, "time", lambda: 1000.0)
    path.write_text(FILE.replace("below: 0.8", "below: 0.7"))
    os.utime(path, (999.5, 999.5))
    assert looked(watched) == ("the same", 0.8)
    monkeypatch.setattr(watched_rules.time, "time", lambda: 1001.0)
    assert looked(watched) == ("taken", 0.7)


def test_a_file_with_faults_changes_nothing_and_is_said_until_it_is_mended(
    watched: WatchedRules, path: Path
) -> None:
    write(path, FILE.replace("below: 0.8", "below: 7").replace("for: 1m", "for: soon"))
    assert looked(watched) == ("refused", 0.8)
    assert looked(watched) == ("the same", 0.8)
    said = watched.reading(OWN, 1000.0)
    assert (said.value, said.labels, said.at) == (1.0, OWN, 1000.0)
    assert said.since is not None
    # Every fault at once, with its line.
    assert "has 2 faults" in said.text
    assert "line 18: rules[0].for: it is 'soon'" in said.text

    write(path, FILE.replace("below: 0.8", "below: 0.6"), age=30)
    assert looked(watched) == ("taken", 0.6)
    assert watched.reading(OWN, 1000.0).value == 0.0


def test_a_file_that_is_gone_changes_nothing_and_returns(watched: WatchedRules, path: Path) -> None:
    path.unlink()
    assert looked(watched) == ("refused", 0.8)
    assert "cannot be read" in watched.why
    write(path, FILE.replace("below: 0.8", "below: 0.5"))
    assert looked(watched) == ("taken", 0.5)


def test_a_link_that_leads_elsewhere_is_a_change(tmp_path: Path) -> None:
    """So does the mount of a ConfigMap change."""
    for name, level in (("one", "0.8"), ("two", "0.7")):
        write(tmp_path / name, FILE.replace("below: 0.8", f"below: {level}"))
    link = tmp_path / "alerts.yaml"
    link.symlink_to("one")
    watched = WatchedRules(link, read_rules(link, {}))
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").replace(link)
    assert looked(watched) == ("taken", 0.7)


def test_a_variable_that_is_not_set_is_a_fault_like_any_other(watched: WatchedRules, path: Path) -> None:
    write(path, FILE.replace("people:", "heartbeat: {url: '${NOT_SET_ANYWHERE}'}\npeople:"))
    assert looked(watched) == ("refused", 0.8)
    assert "NOT_SET_ANYWHERE is not set" in watched.why


def test_built_in_rules_never_change() -> None:
    watched = WatchedRules(None, built_in_rules())
    assert watched.look() == "the same"
    assert watched.reading(OWN, 0.0).value == 0.0
