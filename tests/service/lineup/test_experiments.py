"""Experiments in the parent: every change is on the disk, reaches the workers and survives a restart."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from fakes.experiment_scene import ASKED, NOTE, Scene, never
from fakes.tiny_bundle import write_tiny_bundle

from monitoring.experiments.changes import running_of
from monitoring.experiments.dealing import POINTS
from monitoring.experiments.definition import AUTOMATIC
from service.errors import ChangeRefused
from service.lineup.experiment_orders import Asked
from service.lineup.lineup import label_of


def leaving(guard: str, reason: str) -> Asked:
    return Asked(AUTOMATIC, reason, "ramp", f"guardrail {guard}")


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_a_start_deals_and_is_kept(scene: Scene) -> None:
    definition = scene.start(two=0.1, three=None)
    running = scene.fleet.plan.experiment
    assert running is not None
    assert (running.name, running.stratum) == ("ramp", 0)
    assert running.dealing.shares() == {label_of(scene.two): 0.1}
    assert scene.shares == {"two": 0.1, "three": None}
    assert scene.folder.read("ramp") == scene.folder.running() == definition
    assert definition.designed() == [[0.9, 0.1, 0.0]]
    assert definition.strata[0].shadows == (label_of(scene.three),)
    assert definition.started.by == "Ada"


def test_a_restart_goes_on_where_it_was(scene: Scene) -> None:
    scene.start(two=0.1, three=0.1)
    scene.share("two", 0.3)
    before = scene.fleet.plan
    scene.restart()
    assert scene.fleet.plan == before
    assert scene.experiments.running == scene.folder.running()
    # The settings' challengers are those without an experiment.
    scene.restart(challengers=f"{scene.two}=0.9")
    assert scene.fleet.plan == before


def test_a_ramp_leaves_the_other_arm_its_units(scene: Scene) -> None:
    scene.start(two=0.1, three=0.1)
    other = label_of(scene.three)
    before = [one for one in running_of(scene.folder.running()).dealing.segments if one.arm == other]
    for share in (0.5, 0.2, 0.7):
        scene.share("two", share)
    held = scene.folder.running()
    assert held is not None
    assert [one for one in running_of(held).dealing.segments if one.arm == other] == before
    assert [round(row[0], 9) for row in held.designed()] == [0.8, 0.4, 0.7, 0.2]
    assert [one.note.reason for one in held.strata] == ["because"] * 4
    assert sum(row[1] for row in held.designed()) == pytest.approx(1.5)


def test_a_withdrawal_is_kept_with_its_reason(scene: Scene) -> None:
    scene.start(two=0.1, three=0.2)
    scene.experiments.withdraw(scene.two, never, leaving("coverage", "it answers less"))
    assert scene.shares == {"three": 0.2}
    scene.restart()
    assert scene.shares == {"three": 0.2}
    held = scene.folder.running()
    assert held is not None
    (left,) = held.withdrawals
    assert (left.arm, left.cause, left.note.reason) == (
        label_of(scene.two),
        "guardrail coverage",
        "it answers less",
    )
    with pytest.raises(ChangeRefused, match=r"withdrawn from ramp \(it answers less\).*start another"):
        scene.share("two", 0.1)
    with pytest.raises(KeyError):
        scene.experiments.withdraw(scene.two, never)


def test_an_arm_that_a_person_has_withdrawn_may_return_to_its_units(scene: Scene) -> None:
    first = scene.start(two=0.1)
    scene.experiments.withdraw(scene.two, never, ASKED)
    scene.share("two", 0.1)
    held = scene.folder.running()
    assert held is not None
    assert (
        held.strata[2].segments
        == first.strata[0].segments
        == ((0, round(0.1 * POINTS), first.names[1], True),)
    )


def test_an_arm_becomes_a_shadow_and_a_new_one_joins(scene: Scene) -> None:
    scene.start(two=0.1)
    scene.share("two", None)
    scene.share("three", 0.4)
    assert scene.shares == {"two": None, "three": 0.4}
    held = scene.folder.running()
    assert held is not None
    assert held.names == ("control", label_of(scene.two), label_of(scene.three))
    assert held.designed() == [[0.9, 0.1, 0.0], [1.0, 0.0, 0.0], [0.6, 0.0, 0.4]]
    before = scene.fleet.plan
    scene.restart()
    assert scene.fleet.plan == before


def test_the_champion_stays_while_an_experiment_runs(scene: Scene) -> None:
    scene.start(two=0.1)
    with pytest.raises(ChangeRefused, match="demur experiment stop ramp"):
        scene.fleet.activate(scene.three)
    ended = scene.experiments.stop("ramp", NOTE, never)
    assert ended.ended is not None
    assert scene.fleet.plan.experiment is None
    assert scene.shares == {"two": 0.1}
    assert scene.folder.running() is None
    scene.fleet.activate(scene.three)
    with pytest.raises(KeyError):
        scene.experiments.stop("ramp", NOTE, never)


def test_a_broken_promise_ends_the_experiment(scene: Scene) -> None:
    scene.fleet.activate(scene.three)
    scene.start(two=0.1)
    with pytest.raises(ChangeRefused, match="stop it first"):
        scene.fleet.roll_back(scene.three, scene.one)
    end = scene.experiments.ending("the promise is broken")
    scene.fleet.roll_back(scene.three, scene.one, end=end)
    held = scene.folder.read("ramp")
    assert held is not None
    assert held.ended is not None
    assert (held.ended.by, held.ended.reason) == (AUTOMATIC, "the promise is broken")
    assert (scene.fleet.plan.champion, scene.fleet.plan.experiment) == (scene.one, None)
    assert scene.experiments.running is None


def test_one_at_a_time_and_each_name_once(scene: Scene) -> None:
    with pytest.raises(ChangeRefused, match="no challenger"):
        scene.start()
    scene.start(two=0.1)
    with pytest.raises(ChangeRefused, match="the experiment ramp runs"):
        scene.start("other", three=0.1)
    scene.experiments.stop("ramp", NOTE, never)
    with pytest.raises(ChangeRefused, match="has been an experiment ramp"):
        scene.start()
    assert scene.start("other").designed() == [[0.9, 0.1]]


def test_a_disk_that_keeps_nothing_refuses_what_people_ask_and_not_a_withdrawal(scene: Scene) -> None:
    scene.start(two=0.1, three=0.1)
    hidden = scene.data / "hidden"
    scene.folder.path.rename(hidden)
    scene.folder.path.write_text("a file where the folder was")
    with pytest.raises(ChangeRefused, match="the data folder does not keep it"):
        scene.share("two", 0.2)
    assert scene.shares == {"two": 0.1, "three": 0.1}
    scene.experiments.withdraw(scene.two, never, leaving("latency", "slow"))
    assert scene.shares == {"three": 0.1}
    scene.folder.path.unlink()
    hidden.rename(scene.folder.path)
    scene.experiments.keep_again()
    scene.restart()
    assert scene.shares == {"three": 0.1}


@pytest.mark.parametrize("what", ["bundle", "folder", "control"])
def test_other_bundles_than_before_end_the_experiment(scene: Scene, what: str) -> None:
    scene.start(two=0.1)
    if what == "bundle":
        scene.restart(bundle=scene.three)
    else:
        folder = scene.two if what == "folder" else scene.one
        shutil.rmtree(folder)
        if what == "control":
            write_tiny_bundle(folder, stages=1, name="new")
        scene.restart()
    assert scene.fleet.plan.experiment is None
    held = scene.folder.read("ramp")
    assert held is not None
    assert held.ended is not None
    assert held.ended.reason.startswith(
        {"bundle": "the service was started with three", "folder": "other:", "control": "one holds new:"}[
            what
        ]
    )


def test_without_an_experiment_challengers_change_as_before(scene: Scene) -> None:
    scene.share("two", 0.3)
    assert (scene.shares, scene.folder.names()) == ({"two": 0.3}, [])
    scene.experiments.withdraw(scene.two, never)
    assert scene.shares == {}
    with pytest.raises(KeyError):
        scene.experiments.withdraw(scene.two, never)
    with pytest.raises(ChangeRefused, match="champion already"):
        scene.share("one", 0.3)
