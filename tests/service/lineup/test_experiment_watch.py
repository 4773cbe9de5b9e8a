"""What the parent does when an arm is beyond a limit, or units are missing."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.experiment_scene import NOTE, Scene, never

from calibration.experiments.sample_ratio import SampleRatio, StratumRatio
from monitoring.experiments.changes import Design
from monitoring.experiments.definition import AUTOMATIC, OnMismatch
from monitoring.experiments.guardrails import GuardReading
from monitoring.experiments.view import ExperimentView
from monitoring.metrics.experiment_instruments import ExperimentInstruments
from service.lineup.experiment_orders import Start
from service.lineup.experiment_watch import Observer
from service.lineup.lineup import label_of


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def observer(scene: Scene, *, labels_may_act: bool = True) -> Observer:
    return Observer(scene.experiments, ExperimentInstruments(), never, labels_may_act=labels_may_act)


def beyond(arm: str, guard: str = "coverage") -> GuardReading:
    figures = (0.9, 0.5, 0.4, 0.3, 0.5)
    return GuardReading(guard, arm, 0.1, "beyond", *figures, (50, 50), f"{guard} of {arm} fell.")  # type: ignore[arg-type]


def withdrawals(observed: Observer) -> dict[str, float]:
    samples = next(iter(observed._instruments.withdrawals.collect())).samples
    return {sample.labels["reason"]: sample.value for sample in samples if sample.name.endswith("_total")}


def test_an_arm_leaves_once(scene: Scene) -> None:
    two = label_of(scene.two)
    scene.start(two=0.1, three=0.2)
    watching = observer(scene)
    for _ in range(3):
        watching.beyond(beyond(two))
    assert scene.shares == {"three": 0.2}
    held = scene.folder.running()
    assert held is not None
    (left,) = held.withdrawals
    assert (left.cause, left.note.by, left.note.reason) == (
        "guardrail coverage",
        AUTOMATIC,
        f"coverage of {two} fell.",
    )
    assert withdrawals(watching) == {"guardrail coverage": 1.0}


def test_open_labels_withdraw_nobody(scene: Scene) -> None:
    two = label_of(scene.two)
    scene.start(two=0.1)
    watching = observer(scene, labels_may_act=False)
    watching.beyond(beyond(two, "risk"))
    assert scene.shares == {"two": 0.1}
    watching.beyond(beyond(two, "latency"))
    assert scene.shares == {}


@pytest.mark.parametrize(("on_mismatch", "left"), [("hold", {"two": 0.1, "three": 0.2}), ("withdraw", {})])
def test_a_mismatch_holds_or_withdraws(scene: Scene, on_mismatch: OnMismatch, left: dict[str, float]) -> None:
    challengers = [scene.challenger("two", 0.1), scene.challenger("three", 0.2)]
    start = Start(Design("ramp", "salt", on_mismatch=on_mismatch), *NOTE, challengers)
    definition = scene.experiments.start(start, never)
    stratum = StratumRatio(0, (900, 5, 200), (0.7, 0.1, 0.2), 1e9)
    ratio = SampleRatio(definition.names, 1e9, float("inf"), (stratum,))
    units = dict(zip(definition.names, stratum.units, strict=True))
    view = ExperimentView(definition, time.time(), units, units, ratio, (), (), {})
    watching = observer(scene)
    watching.mismatched(view)
    assert scene.shares == left
    held = scene.folder.running()
    assert held is not None
    assert held.mismatch is not None
    assert "designed [0.7, 0.1, 0.2]" in held.mismatch.reason
    assert {one.cause for one in held.withdrawals} == ({"mismatch"} if on_mismatch == "withdraw" else set())
    watching.show(replace(view, definition=held))
    shown = scene.folder.view("ramp")
    assert shown is not None
    assert shown["blocked"]


def test_a_disk_that_keeps_no_view_costs_nothing_else(scene: Scene) -> None:
    definition = scene.start(two=0.1)
    view = ExperimentView(definition, 0.0, {}, {}, None, (), (), {})
    views = scene.folder.path / "views"
    views.write_text("a file where a folder should be")
    watching = observer(scene)
    watching.show(view)
    watching.show(view)
    assert scene.folder.view("ramp") is None
