"""What the summary names if there is no promise, or too little coverage: effects and commands."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from demur.cli import app
from trainer.bundling.finish import RunResult
from trainer.certify.evidence import Policy
from trainer.reports.evaluation import Measurement, Report
from trainer.reports.summary import idle_stage_note
from trainer.reports.way_out import way_out
from trainer.run.folder import RunFolder, write_csv
from trainer.run.record import RunRecord, read_record

NEEDED = (
    "30 of the 300 calibration images answered first are wrong; a fresh split of 1200 images, 900 more "
    "labelled images than here, would be certified in about 83 %; on a fresh split of 300 alpha = 0.05 would "
    "be certified in about 91 %"
)


def infeasible(policy: Policy, needed: str = NEEDED) -> Policy:
    certificate = replace(
        policy.certificate, feasible=False, meets_coverage=False, needed=needed, threshold=None
    )
    return replace(policy, certificate=certificate)


def trained(record: RunRecord, stage_b: str, minutes: float = 12.0) -> RunRecord:
    """The record of a wrapped model as if it had been trained here."""
    config = {
        "minutes": minutes,
        "recipe": {"stage_b": {"model": {"name": stage_b}}},
        "data": {"source": "folder:my photos", "group": "drive"},
    }
    provenance = record.provenance.model_copy(update={"config": config})
    return record.model_copy(update={"provenance": provenance})


@pytest.fixture
def run(run_copy: Path) -> RunFolder:
    run = RunFolder(run_copy)
    run.given.write_text(yaml.safe_dump({"data": {"source": "folder:my photos", "group": "drive"}}))
    return run


def commands(lines: tuple[str, ...]) -> list[list[str]]:
    return [shlex.split(line) for line in lines if line.strip().startswith("demur ")]


def test_a_promise_with_the_coverage_asked_for_needs_no_way_out(wrapped: RunResult, run: RunFolder) -> None:
    assert wrapped.policy.certificate.meets_coverage
    assert way_out(read_record(run), wrapped.policy, wrapped.report, run) == ()


def test_a_run_from_random_weights_names_pretrained_ones_first(wrapped: RunResult, run: RunFolder) -> None:
    record = trained(read_record(run), "resnet-small")
    lines = way_out(record, infeasible(wrapped.policy), None, run)
    assert "Pretrained weights" in lines[1]
    first = commands(lines)[0]
    assert first[:4] == ["demur", "train", "--config", str(run.given)]
    assert first[4:6] == ["--backbone", "efficientnet-lite0"]
    assert "--certificate" not in first
    assert lines[-1].endswith("with 95 % confidence by itself, 90 % together with this run.")


def test_minutes_are_named_if_the_plan_was_cut_or_the_last_epochs_still_gained(
    wrapped: RunResult, run: RunFolder
) -> None:
    record = trained(read_record(run), "efficientnet-lite0", minutes=6.0)
    policy = infeasible(wrapped.policy)

    def with_metrics(*augrc: float) -> str:
        write_csv(run.training_metrics, ["stage", "augrc"], [["B", value] for value in augrc])
        return "\n".join(way_out(record, policy, None, run))

    assert "--minutes 18" in with_metrics(0.10, 0.08, 0.07, 0.06)
    assert "still fell by 14 %" in with_metrics(0.10, 0.08, 0.07, 0.06)
    assert "--minutes" not in with_metrics(0.10, 0.06, 0.06, 0.06)
    cut = record.stages[-1].model_copy(update={"epochs": 2, "planned_epochs": 8})
    record = record.model_copy(update={"stages": (*record.stages[:-1], cut)})
    assert "it trained 2 of 8 planned epochs" in with_metrics(0.10, 0.06, 0.06, 0.06)


def test_fresh_labels_and_a_larger_risk_come_with_their_chances(wrapped: RunResult, run: RunFolder) -> None:
    record = trained(read_record(run), "efficientnet-lite0")
    lines = way_out(record, infeasible(wrapped.policy), None, run)
    text = "\n".join(lines)
    assert "1,600 freshly labelled images: 1,200 of them calibrate" in text
    assert "about 83 %" in text
    assert "alpha 0.05: certified in about 91 %" in text
    labels, risk = (command for command in commands(lines) if command[1] == "wrap")
    assert labels[2:6] == ["--model", str(run.onnx("b")), "--fast", str(run.onnx("a"))]
    assert labels[labels.index("--group") + 1] == "drive"
    assert "--alpha" not in labels
    assert risk[risk.index("--alpha") + 1] == "0.05"


def test_the_class_that_is_missed_more_is_named(wrapped: RunResult, run: RunFolder) -> None:
    record = trained(read_record(run), "efficientnet-lite0")
    figures = {"forced_recall": 0.70, "forced_specificity": 0.95}
    report = Report(
        "val_test", "d", 100, 100, tuple(Measurement(n, v, None, None, 100, "") for n, v in figures.items())
    )
    text = "\n".join(way_out(record, infeasible(wrapped.policy), report, run))
    assert f"More images of {record.classes[1]!r}" in text
    assert "70.0 % are recognised" in text


def test_a_pretrained_stage_a_that_answers_nothing_needs_minutes_and_no_width(
    wrapped: RunResult, run: RunFolder
) -> None:
    stage_a, stage_b = wrapped.policy.point.stages
    idle = replace(
        wrapped.policy,
        point=replace(wrapped.policy.point, stages=(replace(stage_a, threshold=None), stage_b)),
    )
    record = read_record(run)
    for name, helps in (("efficientnet-lite0", "more minutes"), ("resnet-small", "a wider stage A")):
        config = {"recipe": {"stage_a": {"model": {"name": name}}}}
        stages = tuple(stage.model_copy(update={"macs": 1e6}) for stage in record.stages)
        provenance = record.provenance.model_copy(update={"config": config})
        changed = record.model_copy(update={"stages": stages, "provenance": provenance})
        (line,) = idle_stage_note(changed, idle)
        assert f"What helps: {helps}" in line


def test_a_wrapped_model_gets_no_advice_about_training(wrapped: RunResult, run_copy: Path) -> None:
    run = RunFolder(run_copy)
    lines = way_out(read_record(run), infeasible(wrapped.policy), wrapped.report, run)
    assert {command[1] for command in commands(lines)} == {"wrap"}


def test_every_command_is_one_that_the_command_line_takes(wrapped: RunResult, run: RunFolder) -> None:
    import typer

    record = trained(read_record(run), "resnet-small")
    verbs = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    found = commands(way_out(record, infeasible(wrapped.policy), wrapped.report, run))
    assert found
    for _, verb, *options in found:
        known = {spelled for parameter in verbs[verb].params for spelled in parameter.opts}
        assert {word for word in options if word.startswith("--")} <= known
