"""Experiments as signals of the alerts."""

from __future__ import annotations

from pathlib import Path

from monitoring.alerts.alert import Alert
from monitoring.alerts.signals import Reading, labels_of
from monitoring.experiments.definition import Arm, Definition, Note, Stratum, Withdrawal
from monitoring.experiments.folder import ExperimentFolder
from service.alerting.experiment_signals import experiment_readings

NOW = 1_790_000_000.0
NOTE = Note(NOW, "Ada", "we compare")


def a_definition(**changes: object) -> Definition:
    arm = Arm("b:2", "b")
    stratum = Stratum(NOTE, {"b:2": 0.1}, ((0, 100, "b:2", True),))
    values = {"withdrawals": (), "mismatch": None, "ended": None, **changes}
    return Definition("trial", "salt", Arm("a:1", "a"), (arm,), (stratum,), NOTE, "a", **values)  # type: ignore[arg-type]


def readings(folder: ExperimentFolder, *alerts: Alert) -> dict[str, Reading]:
    return {one.signal: one for one in experiment_readings(folder, alerts, NOW)}


def test_a_mismatch_and_a_withdrawn_arm_are_readings_until_the_experiment_ends(tmp_path: Path) -> None:
    folder = ExperimentFolder(tmp_path)
    folder.write(a_definition())
    quiet = readings(folder)
    assert (quiet["sample_ratio"].value, quiet["experiment_withdrawn"].value) == (None, 0.0)

    folder.keep_view("trial", {"sample_ratio": {"highest": 3.5}, "arms": [{"arm": "b:2", "units": 70}]})
    assert (readings(folder)["sample_ratio"].value, readings(folder)["sample_ratio"].n) == (3.5, 70)

    left = Withdrawal("b:2", Note(NOW, "the watch", "too few answers"), "guardrail coverage")
    folder.write(a_definition(withdrawals=(left,), mismatch=Note(NOW, "the watch", "units are missing")))
    found = readings(folder)
    assert found["experiment_withdrawn"].value == 1.0
    assert "guardrail coverage: too few answers" in found["experiment_withdrawn"].text
    assert (found["sample_ratio"].value or 0.0) > 1000.0

    folder.write(a_definition(ended=NOTE))
    assert readings(folder) == {}
    labels = labels_of({"experiment": "trial"})
    alert = Alert("f", "r", labels, 1, NOW, fired_at=NOW, reading=found["sample_ratio"])
    assert readings(folder, alert)["sample_ratio"].over
