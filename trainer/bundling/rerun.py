"""Single steps of a finished run, from the files of its folder, without the model or the source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bundle.manifest import BundleError, BundleManifest
from bundle.verify import read_manifest
from trainer.bundling.finish import report_on
from trainer.bundling.pack import lost_signature, pack_bundle
from trainer.bundling.unlabelled import with_unlabelled
from trainer.certify.certification import certify_run, read_policy
from trainer.certify.evidence import Evidence, Policy
from trainer.certify.gate import GateFit, fit_gate, read_rules, write_gate
from trainer.choices import ScoreChoice
from trainer.data.annotate import NO_GROUPS
from trainer.data.grouping import GROUPS_DENIED
from trainer.errors import RunError
from trainer.reports.evaluation import Report
from trainer.reports.summary import closing_lines
from trainer.run.console import RunConsole
from trainer.run.folder import RunFolder
from trainer.run.lock import locks_run
from trainer.run.record import RunRecord, read_record, write_record
from trainer.scoring.split_scores import SplitScores, load_scores


@dataclass(frozen=True, slots=True)
class Recalibration:
    """The result of a new certificate on a finished run."""

    policy: Policy
    report: Report | None
    manifest: BundleManifest
    summary: tuple[str, ...]


@locks_run
def recalibrate(
    folder: Path,
    changes: Mapping[str, Any],
    *,
    no_groups: bool = False,
    prevalence_from: str | None = None,
    console: RunConsole | None = None,
) -> Recalibration:
    """`demur calibrate RUN`: certify, report and write the bundle again.

    `changes`: field of `PromiseConfig` -> value; None replaces nothing. `no_groups` answers the question
    which images belong together: none do; certificates then no longer state it. `prevalence_from`: a source
    of unlabelled images, in which the shares of the classes are found. The same promise costs no
    delta; another one needs enough delta in the ledger of the calibration split, or `DeltaExhausted` lists
    the charges.
    """
    run, record = _open(folder)
    record = _answered(record) if no_groups else record
    promise = record.promise.changed(changes)
    if promise.score not in ("best", record.promise.score):
        raise RunError(
            f"score is {promise.score!r}; the scores are fitted on val_select: `demur gate` changes them"
        )
    evidence = Evidence(
        _scores(run, "val_select"),
        _scores(run, "val_calib"),
        read_rules(run),
        record.costs,
        promise,
        record.classes,
        record.doubt,
    )
    if prevalence_from is not None:
        evidence = with_unlabelled(evidence, prevalence_from, record, run, console or RunConsole())
    policy = certify_run(evidence, run)
    promise = evidence.promise
    if promise.unlabelled is not None:
        promise = promise.changed({"prevalence": policy.certificate.prevalence})
    record = record.model_copy(update={"promise": promise})
    write_record(record, run)
    report = report_on(_scores(run, "val_test"), policy, record, run)
    before, lost = _engines_of(run), lost_signature(run)
    manifest = pack_bundle(record, policy, report, run)
    summary = closing_lines(record, policy, report, run) + lost
    if gone := sorted(before - {entry.key for entry in manifest.certificates}):
        summary += (f"No longer certified on {', '.join(gone)}: `demur bundle` proves them again",)
    return Recalibration(policy, report, manifest, summary)


@locks_run
def evaluate_run(folder: Path) -> tuple[Report, Policy]:
    """`demur evaluate RUN`: report, metrics_selective.csv and pictures, from the scores of val_test."""
    run, record = _open(folder)
    policy = read_policy(run)
    report = report_on(_scores(run, "val_test"), policy, record, run)
    if report is None:
        raise RunError(f"val_test of {folder} is empty; there is nothing to report on")
    return report, policy


@locks_run
def refit_gate(folder: Path, score: ScoreChoice | None = None) -> GateFit:
    """`demur gate RUN`: temperature, Platt scaling and choice of the score, from the scores of val_select.

    Writes gateparams.json and metrics/gate_training.csv. The bundle keeps its policy until
    `demur calibrate` certifies one with the new rules.
    """
    run, record = _open(folder)
    promise = record.promise.changed({"score": score})
    fit = fit_gate(_scores(run, "val_select"), promise, _scores(run, "val_calib").n_groups)
    write_gate(fit, run)
    write_record(record.model_copy(update={"promise": promise}), run)
    return fit


def _answered(record: RunRecord) -> RunRecord:
    """The record of a run whose images all stand alone, as its user says now."""
    if record.question is None:
        return record
    provenance = record.provenance
    notices = (*provenance.notices, GROUPS_DENIED)
    config = dict(provenance.config)
    if isinstance(data := config.get("data"), dict):
        config["data"] = {**data, "group": NO_GROUPS}
    provenance = provenance.model_copy(update={"notices": notices, "config": config})
    return record.model_copy(update={"question": None, "provenance": provenance})


def _engines_of(run: RunFolder) -> set[str]:
    """Engines and precisions that the bundle of the run is certified on; empty without a bundle."""
    try:
        return {entry.key for entry in read_manifest(run.bundle).certificates}
    except BundleError:
        return set()


def _open(folder: Path) -> tuple[RunFolder, RunRecord]:
    run = RunFolder(folder)
    return run, read_record(run)


def _scores(run: RunFolder, split: str) -> SplitScores:
    return load_scores(run.need(run.scores(split), "demur train"))
