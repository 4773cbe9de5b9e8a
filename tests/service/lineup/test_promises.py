"""The roll-back of a broken promise: once, and only to a bundle that is not in alarm itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.experiment_scene import Scene, never
from fakes.tiny_bundle import write_tiny_bundle
from fakes.waiting import eventually

from monitoring.experiments.definition import AUTOMATIC, Definition
from monitoring.metrics.experiment_instruments import ExperimentInstruments
from monitoring.promise.archive import Archive
from monitoring.promise.latch import Alarm
from service.errors import ChangeRefused, RecordUnreachable
from service.lineup import promises
from service.lineup.experiments import Experiments
from service.lineup.fleet import Fleet, Keep
from service.lineup.lineup import LineupPlan, label_of
from service.lineup.promises import Exchange, note_activation
from service.lineup.withdrawals import Withdrawals

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


class SharedRecord:
    """A record that every service of a fleet has; `away`: how often it is not reached first."""

    def __init__(self, champion: str, away: int = 0) -> None:
        self.champion, self.away = champion, away
        self.rolled: list[str] = []

    def keep(self, plan: LineupPlan, experiment: Definition | None, by: str, reason: str) -> None:
        raise AssertionError("no line-up changes here")

    def folder_of(self, name: str) -> Path:
        raise AssertionError("no bundle is named here")

    def roll_back(self, champion: str, by: str, reason: str) -> str | None:
        if self.away:
            self.away -= 1
            raise RecordUnreachable("the registry does not answer")
        if champion != self.champion:
            return None
        self.rolled.append(reason)
        self.champion = "tiny:1"
        return self.champion


@pytest.mark.parametrize("away", [0, 2])
def test_a_fleet_is_rolled_back_once_by_whoever_comes_first(
    bundles: tuple[Path, Path], archive: Archive, monkeypatch: pytest.MonkeyPatch, away: int
) -> None:
    monkeypatch.setattr(promises, "_RETRY", 0.0)
    one, two = bundles
    record = SharedRecord(label_of(two), away)
    archive.change_latch(lambda latch: latch.alarmed(label_of(two), ALARM, 0.0))
    fleets = [RecordingFleet(two, [one]), RecordingFleet(two, [])]
    for fleet in fleets:
        run(Exchange(fleet, archive, Experiments(fleet, record=record)), label_of(two))
    assert len(record.rolled) == 1
    assert "e-value of 25" in record.rolled[0]
    assert [fleet.rolled for fleet in fleets] == [[], []]


def test_a_champion_stays_if_only_an_alert_is_wished(bundles: tuple[Path, Path], archive: Archive) -> None:
    one, two = bundles
    fleet = RecordingFleet(two, [one])
    run(Exchange(fleet, archive, rolls_back=False), label_of(two))
    assert fleet.rolled == []


def test_a_challenger_whose_promise_is_broken_leaves_the_experiment(tmp_path: Path, archive: Archive) -> None:
    scene = Scene(tmp_path)
    scene.start(two=0.1, three=0.1)
    instruments = ExperimentInstruments()
    withdrawals = Withdrawals(scene.experiments, instruments, never)
    label = label_of(scene.two)
    archive.change_latch(lambda latch: latch.alarmed(label, ALARM, 0.0))
    exchange = Exchange(scene.fleet, archive, scene.experiments, withdrawals, rolls_back=False)
    for _ in range(2):
        run(exchange, label)
    assert scene.shares == {"three": 0.1}
    held = scene.folder.running()
    assert held is not None
    (left,) = held.withdrawals
    assert (left.arm, left.cause, left.note.by) == (label, "broken", AUTOMATIC)
    assert label in left.note.reason
    with pytest.raises(ChangeRefused, match="does not return"):
        scene.share("two", 0.1)


def test_a_challenger_without_an_experiment_leaves_as_well(tmp_path: Path, archive: Archive) -> None:
    scene = Scene(tmp_path)
    scene.share("two", 0.1)
    withdrawals = Withdrawals(scene.experiments, ExperimentInstruments(), never)
    run(Exchange(scene.fleet, archive, scene.experiments, withdrawals), label_of(scene.two))
    assert scene.shares == {}
