"""Experiments with a record: each change of a service is recorded, and what others record is adopted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.experiment_scene import Scene, never
from fakes.lineup_record import Record

from monitoring.experiments.changes import running_of
from monitoring.experiments.definition import AUTOMATIC, Definition
from service.errors import ChangeRefused, RecordUnreachable
from service.lineup.experiment_orders import Asked
from service.lineup.lineup import LineupPlan, label_of
from service.lineup.plans import with_challenger


@pytest.fixture
def record() -> Record:
    return Record()


@pytest.fixture
def scene(tmp_path: Path, record: Record) -> Scene:
    made = Scene(tmp_path)
    made.experiments.record = record
    return made


def withdraw(scene: Scene) -> None:
    scene.experiments.withdraw(scene.two, never, Asked(AUTOMATIC, "bad", "ramp", "guardrail risk"))


def test_every_change_is_an_entry_with_its_author(scene: Scene, record: Record) -> None:
    scene.share("three", 0.1)
    started = scene.start(two=0.1)
    scene.share("two", 0.2)
    withdraw(scene)
    held = scene.experiments.running
    scene.experiments.stop("ramp", ("Ada", "enough"), never)
    assert [(names, by) for names, _, by, _ in record.entries] == [
        (("three",), "Ada"),
        (("three", "two"), "Ada"),
        (("three", "two"), "Ada"),
        (("three",), AUTOMATIC),
        (("three",), "Ada"),
    ]
    experiments = [one for _, one, _, _ in record.entries]
    assert experiments[0] is None
    assert experiments[1] == started
    assert experiments[3] == held
    assert experiments[4] is None
    assert scene.folder.running() is None


@pytest.mark.parametrize("fault", [ChangeRefused("the record has moved on"), RecordUnreachable("it is away")])
def test_what_is_not_recorded_does_not_serve(scene: Scene, record: Record, fault: Exception) -> None:
    record.fault = fault
    with pytest.raises((ChangeRefused, OSError)):
        scene.start(two=0.1)
    assert (scene.shares, scene.experiments.running, scene.folder.names()) == ({}, None, [])


def test_a_bad_challenger_leaves_without_the_record_and_is_recorded_later(
    scene: Scene, record: Record
) -> None:
    scene.start(two=0.1)
    record.fault = RecordUnreachable("it is away")
    withdraw(scene)
    assert scene.shares == {}
    scene.experiments.keep_again()
    assert len(record.entries) == 1
    record.fault = None
    scene.experiments.keep_again()
    scene.experiments.keep_again()
    assert [(names, reason) for names, _, _, reason in record.entries[1:]] == [((), "bad")]


def test_a_record_that_has_moved_on_is_not_written_over(scene: Scene, record: Record) -> None:
    scene.start(two=0.1)
    record.fault = RecordUnreachable("it is away")
    withdraw(scene)
    record.fault = ChangeRefused("the record has moved on")
    scene.experiments.keep_again()
    record.fault = None
    scene.experiments.keep_again()
    assert len(record.entries) == 1


def test_of_two_services_beyond_one_limit_the_second_is_told(scene: Scene, record: Record) -> None:
    scene.start(two=0.1)
    record.fault = ChangeRefused("the record has moved on")
    with pytest.raises(ChangeRefused, match="moved on"):
        withdraw(scene)
    assert scene.shares == {"two": 0.1}


def adopted(scene: Scene, definition: Definition | None, build: Callable[[LineupPlan], LineupPlan]) -> None:
    scene.fleet.change(build, never, scene.experiments.adopt(definition))


def test_an_experiment_that_another_service_began_is_adopted_and_goes_on(
    tmp_path: Path, scene: Scene, record: Record
) -> None:
    other = Scene(tmp_path / "other")
    definition = other.start(two=0.1)

    def build(plan: LineupPlan) -> LineupPlan:
        plan = with_challenger(plan, scene.challenger("two", 0.1))
        return LineupPlan(plan.champion, plan.challengers, running_of(definition))

    adopted(scene, definition, build)
    assert scene.experiments.running == scene.folder.running() == definition
    assert record.entries == []
    adopted(scene, None, lambda plan: LineupPlan(plan.champion, plan.challengers))
    assert scene.experiments.running is None
    held = scene.folder.read("ramp")
    assert held is not None
    assert held.ended is not None
    assert held.ended.by == AUTOMATIC


def test_an_experiment_gives_way_to_another_one(tmp_path: Path, scene: Scene) -> None:
    scene.start(two=0.1)
    definition = Scene(tmp_path / "other").start("promotion-1", two=0.3)
    adopted(scene, definition, lambda plan: replace(plan, experiment=running_of(definition)))
    assert scene.experiments.running == definition
    assert [one.name for one in scene.folder.all() if one.running] == ["promotion-1"]


def test_a_full_disk_does_not_keep_a_service_from_its_fleet(
    tmp_path: Path, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    definition = Scene(tmp_path / "other").start(two=0.3)

    def full(_: Definition) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(scene.folder, "write", full)
    adopted(scene, definition, lambda plan: replace(plan, experiment=running_of(definition)))
    assert scene.experiments.running == definition
    monkeypatch.undo()
    scene.experiments.keep_again()
    assert scene.folder.running() == definition


def test_a_challenger_is_found_by_its_label(scene: Scene) -> None:
    scene.start(two=0.1)
    assert scene.experiments.folder_of(label_of(scene.two)) == scene.two
    assert scene.experiments.folder_of(label_of(scene.one)) is None
    assert scene.experiments.folder_of("nobody:1") is None
