"""The second half of a run, from exported stages: scores, gate, certificate, report and bundle.

It needs no training library, so models that were trained elsewhere take the same steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bundle.manifest import BundleManifest
from trainer.bundling.class_order import check_class_order
from trainer.bundling.pack import keep_golden, lost_signature, pack_bundle
from trainer.bundling.reference import keep_signals
from trainer.certify.certification import certify_run
from trainer.certify.evidence import Evidence, Policy
from trainer.certify.exact import correlation_of_errors, reads_all_frames
from trainer.certify.gate import GateFit, fit_gate, write_gate
from trainer.data.images import ImageSource
from trainer.data.splits import Splits
from trainer.reports.drawing import draw_run
from trainer.reports.evaluation import Report, evaluate, write_report
from trainer.reports.summary import closing_lines
from trainer.run.console import RunConsole
from trainer.run.folder import RunFolder
from trainer.run.record import RunRecord, same_models, write_record
from trainer.scoring.collect import open_runner, score_split
from trainer.scoring.split_scores import SplitScores


@dataclass(frozen=True, slots=True)
class RunResult:
    """The result of a run; the run folder holds all of it as well."""

    run: RunFolder
    policy: Policy
    gate: GateFit
    report: Report | None
    """None if val_test is empty"""
    manifest: BundleManifest
    summary: tuple[str, ...]
    """The result in plain words, one line each"""


def finish_run(
    record: RunRecord, source: ImageSource, splits: Splits, run: RunFolder, console: RunConsole
) -> RunResult:
    """Score, certify, report and pack the exported stages of the run folder.

    In this order: val_select fits and plans, val_calib proves, and val_test is reported on once.
    """
    same = same_models(record, run)
    write_record(record, run)
    keep_golden(source, splits.val_select, run)
    runner = open_runner(record, run)

    console.heading("Scores and gate, on val_select")
    select = score_split(source, splits, "val_select", runner, run, console, same_models=same)
    check_class_order(select, record.classes)
    keep_signals(source, splits.val_select, select, runner, run, console)
    gate = fit_gate(select, record.promise, splits.units["val_calib"])
    write_gate(gate, run)
    for sentence in gate.sentences():
        console.note(sentence)

    console.heading("Certificate, on val_calib")
    calib = score_split(source, splits, "val_calib", runner, run, console, same_models=same)
    # Scored before the certificate is charged: an image without a score is noticed before it costs delta.
    test = score_split(source, splits, "val_test", runner, run, console, same_models=same)
    evidence = Evidence(select, calib, gate.rules, record.costs, record.promise, record.classes, record.doubt)
    for sentence in _group_sentences(evidence):
        console.note(sentence)
    with console.bar("Certifying", 1, "certificates") as bar:
        policy = certify_run(evidence, run)
        bar.advance(1)

    console.heading("Report, on val_test")
    report = report_on(test, policy, record, run)

    lost = lost_signature(run)
    manifest = pack_bundle(record, policy, report, run)
    summary = closing_lines(record, policy, report, run) + lost
    console.heading("Result")
    for line in summary:
        console.note(line)
    return RunResult(run, policy, gate, report, manifest, summary)


def report_on(test: SplitScores, policy: Policy, record: RunRecord, run: RunFolder) -> Report | None:
    """Write metrics_selective.csv, report.json and the pictures; None for an empty split."""
    if len(test) == 0:
        return None
    report = evaluate(test, policy.point, seed=record.promise.seed, named_task=record.named_task)
    write_report(report, run)
    draw_run(test, policy, report, run)
    return report


def _group_sentences(evidence: Evidence) -> tuple[str, ...]:
    """The independent units that the certificate counts, if there are groups."""
    calib = evidence.calib
    if calib.groups is None:
        return ()
    value = correlation_of_errors(evidence.select)
    alike = "cannot be told (no errors)" if np.isnan(value) else f"is {value:.2f}"
    read = (
        "all frames, by betting on group means" if reads_all_frames(evidence) else "one random frame of each"
    )
    return (
        f"The correlation of errors within a group {alike}: the certificate counts {calib.n_groups:,} "
        f"independent groups, not {len(calib):,} images, and reads {read}",
    )
