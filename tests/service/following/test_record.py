"""Changes of this service in the record of its fleet, and their translation between folders and digests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from fakes.following_service import FollowingService, now_by_tests

from bundle.registry import changes
from monitoring.experiments.changes import Design, Entrant, running_of, started
from monitoring.experiments.definition import Arm, Definition, Note
from service.errors import ChangeRefused
from service.following.fleet_view import FollowedFleet
from service.following.lineups import definition_of, plan_of
from service.following.record import FollowedRecord
from service.lineup.lineup import LineupPlan
from service.settings import ChallengerSettings


@pytest.fixture
def record(service: FollowingService) -> FollowedRecord:
    view = FollowedFleet(service.shelf.registry, service.position, None, lambda: None)
    return FollowedRecord(view, service.position, service.pulled)


def challenged(service: FollowingService) -> tuple[LineupPlan, Definition]:
    """The line-up with the second bundle on a tenth of the units, in an experiment."""
    one, two = (service.pulled.fetch(ref) for ref in service.shelf.good[:2])
    arm = Arm(service.shelf.good[1].label, str(two))
    design = Design("canary", "salt")
    control = Arm(service.shelf.good[0].label, str(one))
    definition = started(design, control, [Entrant(arm, 0.1)], Note(1.0, "a", "b"), str(one))
    plan = LineupPlan(one, (ChallengerSettings(folder=two, share=0.1),), running_of(definition))
    return plan, definition


def test_a_change_is_a_record_that_reads_back_as_the_same_line_up(
    service: FollowingService, record: FollowedRecord
) -> None:
    plan, definition = challenged(service)
    record.keep(plan, definition, "anna", "to compare")
    newest = service.log.newest()
    assert newest is not None
    assert (newest.number, newest.change.by, newest.champion) == (2, "anna", service.shelf.good[0])
    assert [(one.bundle, one.share) for one in newest.challengers] == [(service.shelf.good[1], 0.1)]
    assert str(service.data_dir) not in str(newest.to_values())
    assert plan_of(newest, service.pulled.folder) == plan
    assert definition_of(newest, service.pulled.folder) == definition
    assert service.position.served == newest


def test_another_services_folders_are_its_own(
    service: FollowingService, record: FollowedRecord, tmp_path: Path
) -> None:
    plan, definition = challenged(service)
    record.keep(plan, definition, "anna", "to compare")
    newest = service.log.newest()
    assert newest is not None
    there = definition_of(newest, tmp_path / "elsewhere")
    assert there is not None
    assert there.arms[0].folder == str(tmp_path / "elsewhere" / service.shelf.good[1].digest)
    assert running_of(there) == running_of(definition)


def test_a_change_that_another_one_has_overtaken_is_refused_and_writes_nothing(
    service: FollowingService, record: FollowedRecord
) -> None:
    plan, definition = challenged(service)
    two = service.shelf.good[1]
    service.change(lambda now: changes.promoted(now, two, now_by_tests("somebody else")))
    with pytest.raises(ChangeRefused, match=r"is generation 2 \(somebody else\).*another change came first"):
        record.keep(plan, definition, "anna", "to compare")
    newest = service.log.newest()
    assert newest is not None
    assert newest.number == 2


def test_a_record_of_a_promotion_alone_overtakes_no_change(
    service: FollowingService, record: FollowedRecord
) -> None:
    plan, definition = challenged(service)

    def prepared(now: object) -> object:
        newest = service.log.newest()
        assert newest is not None
        return changes.with_next(newest, service.shelf.good[2], now_by_tests())

    service.change(prepared)  # type: ignore[arg-type]
    record.keep(plan, definition, "anna", "to compare")
    newest = service.log.newest()
    assert newest is not None
    assert (newest.number, newest.next) == (3, service.shelf.good[2])


def test_a_broken_champion_is_rolled_back_once(service: FollowingService, record: FollowedRecord) -> None:
    one, two = service.shelf.good[:2]
    service.change(lambda now: changes.promoted(now, two, now_by_tests()))
    assert record.roll_back(two.label, "automatic", "broken") == one.label
    assert record.roll_back(two.label, "automatic", "broken") is None
    with pytest.raises(ChangeRefused, match="no former champion"):
        record.roll_back(one.label, "automatic", "broken")


def test_a_challenger_is_named_by_label_or_digest_and_pulled(
    service: FollowingService, record: FollowedRecord
) -> None:
    two = service.shelf.good[1]
    assert record.folder_of(two.label) == record.folder_of(two.digest[:12]) == service.pulled.folder_of(two)
    with pytest.raises(ChangeRefused, match="has no bundle 'nothing:1'"):
        record.folder_of("nothing:1")


def test_an_ended_experiment_is_none(service: FollowingService, record: FollowedRecord) -> None:
    plan, definition = challenged(service)
    record.keep(plan, definition, "anna", "to compare")
    record.keep(replace(plan, experiment=None), None, "anna", "over")
    newest = service.log.newest()
    assert newest is not None
    assert definition_of(newest, service.pulled.folder) is None
