"""The roll-back of a broken promise: once, and only to a bundle that is not in alarm itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.tiny_bundle import write_tiny_bundle
from fakes.waiting import eventually

from monitoring.promise.archive import Archive
from monitoring.promise.latch import Alarm
from service.errors import ChangeRefused
from service.lineup.fleet import Fleet, Keep
from service.lineup.lineup import LineupPlan, label_of
from service.lineup.promises import Exchange, note_activation

ALARM = Alarm("broken", "", 100.0, 25.0, trusted=True)


class RecordingFleet(Fleet):
    """Rolls back without workers."""

    def __init__(self, champion: Path, former: list[Path]) -> None:
        super().__init__(LineupPlan(champion))
        self._former = former
        self.rolled: list[Path] = []
        self.refuses = False

    def roll_back(
        self, champion: Path, previous: Path, cancelled: object = None, *, end: Keep | None = None
    ) -> str:
        if self.refuses:
            raise ChangeRefused("another change came first")
        self.rolled.append(champion)
        self.plan = LineupPlan(previous)
        self._former = []
        return label_of(previous)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "data", None, "tiny")


@pytest.fixture
def bundles(tmp_path: Path) -> tuple[Path, Path]:
    write_tiny_bundle(tmp_path / "one")
    write_tiny_bundle(tmp_path / "two", stages=1, name="other")
    return tmp_path / "one", tmp_path / "two"


def run(exchange: Exchange, bundle: str) -> None:
    exchange._run(bundle)


def test_several_reports_roll_back_once(bundles: tuple[Path, Path], archive: Archive) -> None:
    one, two = bundles
    fleet = RecordingFleet(two, [one])
    exchange = Exchange(fleet, archive)
    for _ in range(3):
        exchange.begin(label_of(two))
    eventually(lambda: fleet.rolled == [two])
    run(exchange, label_of(two))
    assert fleet.rolled == [two]


def test_a_bundle_that_is_in_alarm_itself_does_not_return(
    bundles: tuple[Path, Path], archive: Archive
) -> None:
    one, two = bundles
    archive.change_latch(lambda latch: latch.alarmed(label_of(one), ALARM, 0.0))
    fleet = RecordingFleet(two, [one])
    run(Exchange(fleet, archive), label_of(two))
    assert fleet.rolled == []


def test_without_an_earlier_champion_nothing_changes(bundles: tuple[Path, Path], archive: Archive) -> None:
    fleet = RecordingFleet(bundles[1], [])
    run(Exchange(fleet, archive), label_of(bundles[1]))
    assert fleet.rolled == []


def test_a_challenger_is_never_rolled_back(bundles: tuple[Path, Path], archive: Archive) -> None:
    one, two = bundles
    fleet = RecordingFleet(two, [one])
    run(Exchange(fleet, archive), label_of(one))
    assert fleet.rolled == []


def test_a_refused_change_leaves_the_bundle_suspended(bundles: tuple[Path, Path], archive: Archive) -> None:
    one, two = bundles
    fleet = RecordingFleet(two, [one])
    fleet.refuses = True
    run(Exchange(fleet, archive), label_of(two))
    assert fleet.plan.champion == two


def test_an_activation_begins_the_monitor_anew(archive: Archive) -> None:
    note_activation(archive, "tiny:1")
    assert archive.latch().of("tiny:1").begin > 1e9
