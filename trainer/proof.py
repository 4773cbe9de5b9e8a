"""The second half of a run, once the stages are ONNX files: scores, gate, certificate, report, bundle.

Needs no training library, so models that were trained elsewhere go through the same steps.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from bundle.engine import open_engine
from bundle.manifest import BundleManifest
from bundle.runner import CascadeRunner, CascadeStage
from calibration.groups import intra_group_correlation
from trainer.certification import certify_run
from trainer.collect import Rows, collect_scores
from trainer.data.images import ImageSource
from trainer.evaluate import Report, evaluate, write_report
from trainer.evidence import Evidence, Policy
from trainer.gate import GateFit, fit_gate, write_gate
from trainer.packing import keep_golden, pack_bundle
from trainer.progress import RunConsole
from trainer.reports.drawing import draw_run
from trainer.reports.summary import closing_lines
from trainer.run_folder import RunFolder
from trainer.run_record import RunRecord, write_record
from trainer.score_table import SplitScores, save_scores
from trainer.splits import Splits

MAX_SLICE_VALUES = 24
"""A metadata column with more different values than this is no slice to report by."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run found; all of it lies in the folder as well."""

    run: RunFolder
    policy: Policy
    gate: GateFit
    report: Report | None
    """None where val_test is empty"""
    manifest: BundleManifest
    summary: tuple[str, ...]
    """The outcome in plain words, a line each"""


def prove_and_pack(
    record: RunRecord, source: ImageSource, splits: Splits, run: RunFolder, console: RunConsole
) -> RunResult:
    """From exported stages in the run folder to a verified bundle.

    val_select fits and plans, val_calib proves, val_test is reported on once, in this order.
    """
    write_record(record, run)
    keep_golden(source, splits.val_select, run)
    runner = open_runner(record, run)

    console.heading("Scores and gate, on val_select")
    select = _collect(source, splits, "val_select", runner, run, console)
    gate = fit_gate(select, record.promise, splits.units["val_calib"])
    write_gate(gate, run)
    for sentence in (*gate.sentences(), *_correlation(select)):
        console.note(sentence)

    console.heading("Certificate, on val_calib")
    calib = _collect(source, splits, "val_calib", runner, run, console)
    evidence = Evidence(select, calib, gate.rules, record.costs, record.promise)
    with console.bar("Certifying", 1, "certificates") as bar:
        policy = certify_run(evidence, run)
        bar.advance(1)

    console.heading("Report, on val_test")
    test = _collect(source, splits, "val_test", runner, run, console)
    report = report_on(test, policy, record.promise.seed, run)

    manifest = pack_bundle(record, policy, report, run)
    summary = closing_lines(record, policy, report, run)
    console.heading("Result")
    for line in summary:
        console.note(line)
    return RunResult(run, policy, gate, report, manifest, summary)


def open_runner(record: RunRecord, run: RunFolder) -> CascadeRunner:
    """The exported stages on the engine that serves."""
    stages = [
        CascadeStage(
            stage.preprocess,
            open_engine(run.onnx(name), image_size=stage.preprocess.size, output=stage.output),
            stage.macs,
        )
        for name, stage in zip("ab", record.stages, strict=False)
    ]
    return CascadeRunner(stages, threads=os.cpu_count() or 1)


def report_on(test: SplitScores, policy: Policy, seed: int, run: RunFolder) -> Report | None:
    """metrics_selective.csv, report.json and the pictures; None for an empty split."""
    if len(test) == 0:
        return None
    report = evaluate(test, policy.point, seed=seed)
    write_report(report, run)
    draw_run(test, policy, report, run)
    return report


def _collect(
    source: ImageSource, splits: Splits, name: str, runner: CascadeRunner, run: RunFolder, console: RunConsole
) -> SplitScores:
    indices = getattr(splits, name)
    slices = {
        column: values
        for column, values in source.metadata.items()
        if values.dtype.kind in "US" and 2 <= len(np.unique(values)) <= MAX_SLICE_VALUES
    }
    with console.bar(f"Scoring {name}", len(indices)) as bar:
        scores = collect_scores(
            source, Rows(name, indices, splits.digests[name], slices), runner, advance=bar.advance
        )
    save_scores(scores, run.scores(name))
    return scores


def _correlation(select: SplitScores) -> tuple[str, ...]:
    """How alike the frames of a group are in being answered wrongly, where there are groups."""
    if select.groups is None or len(select) == 0:
        return ()
    errors = select.stages[-1].logits.argmax(axis=-1) != select.labels
    value = intra_group_correlation(errors, select.groups)
    if np.isnan(value):
        return ()
    return (
        f"Errors within a group correlate at {value:.2f}: the certificate counts {select.n_groups:,} "
        f"independent groups here, not {len(select):,} images",
    )
