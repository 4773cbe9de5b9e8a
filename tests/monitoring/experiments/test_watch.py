"""The watch: it reads the logs beside their writers, reports what must leave, and concludes nothing without
data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.experiment_events import AT, CHALLENGER, NOTE, Behaviour, definition, events
from fakes.waiting import eventually

from monitoring.delivery.event_log import EventLog, LogBounds
from monitoring.experiments import watch as watch_module
from monitoring.experiments.decided import LabelTimes
from monitoring.experiments.definition import Definition
from monitoring.experiments.guardrails import GuardReading
from monitoring.experiments.view import ExperimentView
from monitoring.experiments.watch import ExperimentWatch


class Recorder:
    """Keeps what the watch reports."""

    def __init__(self) -> None:
        self.views: list[ExperimentView] = []
        self.mismatches = 0
        self.left: list[str] = []

    def show(self, view: ExperimentView) -> None:
        self.views.append(view)

    def mismatched(self, view: ExperimentView) -> None:
        self.mismatches += 1

    def beyond(self, reading: GuardReading) -> None:
        self.left.append(f"{reading.guard} {reading.arm}")


class Scene:
    def __init__(self, folder: Path) -> None:
        self.running: Definition | None = definition()
        self.seen = Recorder()
        self.log = EventLog.claim(folder, LogBounds())
        self.watch = ExperimentWatch(
            [folder], lambda: self.running, self.seen, LabelTimes(), clock=lambda: AT + 9
        )


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path / "events")
    yield made
    made.watch.close()
    made.log.close()


def test_nothing_runs_and_nothing_is_there(scene: Scene) -> None:
    view = scene.watch.look()
    assert view is not None
    assert (view.units, view.ratio, view.blocked) == ({"control": 0, CHALLENGER: 0}, None, False)
    assert (scene.seen.mismatches, scene.seen.left) == (0, [])
    scene.running = None
    assert scene.watch.look() is None
    assert len(scene.seen.views) == 1


def test_an_experiment_is_followed_as_its_log_grows(scene: Scene) -> None:
    scene.log.append(list(events(100)))
    first = scene.watch.look()
    scene.log.append(list(events(100, first=100, seed=2)))
    second = scene.watch.look()
    assert first is not None
    assert second is not None
    assert (sum(first.units.values()), sum(second.units.values())) == (100, 200)
    assert sum(second.requests.values()) == 600
    assert {one.metric for one in second.figures} == {"accuracy", "risk", "coverage", "mcc", "reward"}
    assert not second.blocked
    assert scene.seen.left == []
    values = json.loads(json.dumps(second.to_values(), allow_nan=False))
    assert [(arm["arm"], arm["bundle"], arm["share"]) for arm in values["arms"]] == [
        ("control", "one:1", 0.5),
        (CHALLENGER, CHALLENGER, 0.5),
    ]
    assert set(second.public()) == {"name", "began", "stratum", "arms", "blocked", "services"}


def test_a_bad_arm_is_reported_until_it_has_left(scene: Scene) -> None:
    scene.log.append(list(events(400, challenger=Behaviour(answers=0.3))))
    scene.watch.look()
    scene.watch.look()
    assert scene.seen.left == [f"coverage {CHALLENGER}"] * 2
    running = scene.running
    assert running is not None
    scene.running = running.with_stratum(replace(running.strata[0], shares={}))
    scene.watch.look()
    assert len(scene.seen.left) == 2


def test_lost_exposures_of_one_arm_block_every_conclusion(scene: Scene) -> None:
    scene.log.append(list(events(3000, challenger=Behaviour(dropped=0.3, wrong=0.5), per_unit=1)))
    view = scene.watch.look()
    assert view is not None
    assert view.blocked
    assert scene.seen.mismatches == 1
    assert {one["conclusion"] for one in view.to_values()["figures"]} == {"inconclusive"}
    assert scene.running is not None
    scene.running = replace(scene.running, mismatch=NOTE)
    again = scene.watch.look()
    assert again is not None
    assert again.blocked
    assert scene.seen.mismatches == 1


def test_another_experiment_begins_from_nothing(scene: Scene) -> None:
    scene.log.append(list(events(50)))
    scene.watch.look()
    assert scene.running is not None
    scene.running = replace(scene.running, name="other")
    view = scene.watch.look()
    assert view is not None
    assert sum(view.units.values()) == 0


def test_a_look_that_fails_does_not_end_the_watch(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(watch_module, "INTERVAL", 0.01)
    running, failures = scene.running, iter([True, True])

    def fails_twice() -> Definition | None:
        if next(failures, False):
            raise OSError("the disk is away")
        return running

    watch = ExperimentWatch([], fails_twice, scene.seen, LabelTimes())
    watch.start()
    eventually(lambda: bool(scene.seen.views))
    watch.close()
    assert not watch._thread.is_alive()
