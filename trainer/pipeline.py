"""One training run, from labelled images to a certified bundle. `train` reads from top to bottom."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bundle.engine import open_engine
from bundle.manifest import BundleManifest, Provenance
from bundle.runner import CascadeRunner, CascadeStage
from calibration.ledger import Ledger
from trainer.certification import Evidence, Policy, certify_policy, read_ledger, write_policy
from trainer.collect import Rows, collect_scores
from trainer.config import TrainConfig, resolved
from trainer.data.faults import PreparedData, prepare
from trainer.data.images import ImageSource
from trainer.data.pixels import typical_size
from trainer.data.source import open_source
from trainer.evaluate import Report, evaluate, write_report
from trainer.gate import GateFit, fit_gate, write_gate
from trainer.packing import keep_golden, pack_bundle
from trainer.progress import RunConsole
from trainer.recipe import Recipe, default_recipe
from trainer.reports.drawing import draw_run
from trainer.reports.summary import closing_lines
from trainer.run_folder import RunFolder, write_json, write_yaml
from trainer.run_record import RunRecord, StageRecord, library_versions, write_record
from trainer.score_table import SplitScores, save_scores
from trainer.splits import Splits, SplitSizes, make_splits
from trainer.stages import TrainingData, preprocessing, train_stages

MAX_PIXEL_BYTES = 2 * 2**30
"""Decoded images above this size live in memory-mapped files of the run folder."""
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
    summary: tuple[str, ...] = field(default=())
    """The outcome in plain words, a line each"""


def train(config: TrainConfig, out: Path, console: RunConsole) -> RunResult:
    """The whole run. Running it again in the same folder goes on where it was interrupted."""
    run = RunFolder(out)
    out.mkdir(parents=True, exist_ok=True)

    console.heading("Data")
    source = _open(config, console)
    sizes = _recipe(config, source, len(source))
    data = _decode(config, source, sizes, run, console)
    splits = _split(config, data, run, console)
    recipe = _recipe(config, data.source, len(splits.train))
    write_yaml(run.config, resolved(config.model_copy(update={"recipe": recipe})))

    console.heading("Training")
    training = TrainingData(
        data.pixels, data.source.labels, splits.train, splits.val_select, len(data.source.class_names)
    )
    stages = train_stages(training, recipe, config.seed, run, console)
    record = _record(config, data, splits, stages)
    write_record(record, run)
    keep_golden(data.source, splits.val_select, run)

    console.heading("Scores and gate, on val_select")
    runner = open_runner(record, run)
    select = _collect(data.source, splits, "val_select", runner, run, console)
    gate = fit_gate(select, config.promise, splits.units["val_calib"])
    write_gate(gate, run)
    for sentence in gate.sentences():
        console.note(sentence)

    console.heading("Certificate, on val_calib")
    calib = _collect(data.source, splits, "val_calib", runner, run, console)
    evidence = Evidence(select, calib, gate.rules, record.costs, config.promise)
    policy = _certify(evidence, run, console)

    console.heading("Report, on val_test")
    test = _collect(data.source, splits, "val_test", runner, run, console)
    report = report_on(test, policy, config.seed, run)

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


def _open(config: TrainConfig, console: RunConsole) -> ImageSource:
    data = config.data
    with console.bar("Opening the images", 1) as bar:
        source = open_source(
            data.source,
            group=data.group,
            image_column=data.image_column,
            label_column=data.label_column,
            class_names=data.class_names,
            label_map=data.label_map,
            classes=data.classes,
            scenes=data.scenes,
            on_progress=lambda done, total: bar.at(done, total, "Rendering street scenes"),
        )
        bar.at(len(source), len(source))
    for notice in source.notices:
        (console.warn if notice.level == "warning" else console.note)(notice.message)
    return source


def _decode(
    config: TrainConfig, source: ImageSource, recipe: Recipe, run: RunFolder, console: RunConsole
) -> PreparedData:
    """Every image decoded once, all faults told at once."""
    specs = (preprocessing(recipe.stage_a), preprocessing(recipe.stage_b))
    size = len(source) * sum(3 * spec.height * spec.width for spec in specs)
    with console.bar("Decoding", len(source)) as bar:
        data = prepare(
            source,
            specs,
            skip_bad=config.data.skip_bad,
            cache=run.root / "pixels" if size > MAX_PIXEL_BYTES else None,
            advance=bar.advance,
        )
    write_json(run.faults, data.report.to_dict(dropped_paths=data.dropped))
    for line in data.report.lines():
        console.note(line)
    return data


def _split(config: TrainConfig, data: PreparedData, run: RunFolder, console: RunConsole) -> Splits:
    asked = config.splits
    sizes = None
    if asked.val_select is not None and asked.val_calib is not None and asked.val_test is not None:
        sizes = SplitSizes(asked.val_select, asked.val_calib, asked.val_test)
    splits = make_splits(
        data.source.labels,
        data.source.groups,
        target=config.promise.target,
        seed=config.seed,
        sizes=sizes,
        ids=data.pixels.content,
    )
    write_json(run.splits, splits.to_dict())
    unit = "images" if data.source.groups is None else f"groups by {data.source.group_column!r}"
    counts = ", ".join(f"{name} {len(rows):,} ({splits.units[name]:,})" for name, rows in splits)
    console.note(f"Images (and {unit}): {counts}")
    return splits


def _recipe(config: TrainConfig, source: ImageSource, n_train: int) -> Recipe:
    """The configured recipe, or the default for so many training images of this source's size."""
    recipe = config.recipe
    if recipe is None:
        recipe = default_recipe(n_train, min(typical_size(source)), config.minutes, seed=config.seed)
    selection = {"checkpoint_selection": config.checkpoint_selection}
    return Recipe(
        stage_a=recipe.stage_a.model_copy(update={"loop": recipe.stage_a.loop.model_copy(update=selection)}),
        stage_b=recipe.stage_b.model_copy(update={"loop": recipe.stage_b.loop.model_copy(update=selection)}),
    )


def _record(
    config: TrainConfig, data: PreparedData, splits: Splits, stages: tuple[StageRecord, ...]
) -> RunRecord:
    source = data.source
    return RunRecord(
        name=config.name,
        task=f"Tells apart: {', '.join(source.class_names)}.",
        classes=source.class_names,
        stages=stages,
        promise=config.promise,
        provenance=Provenance(
            source=source.name,
            config=resolved(config),
            data_digests={"source": source.digest()},
            split_digests=dict(splits.digests),
            versions=library_versions(),
            seed=config.seed,
            notices=tuple(notice.message for notice in source.notices)
            + ((f"{len(data.dropped)} images could not be used and were left out",) if data.dropped else ()),
        ),
    )


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


def _certify(evidence: Evidence, run: RunFolder, console: RunConsole) -> Policy:
    ledger: Ledger = read_ledger(run, evidence.promise.delta)
    with console.bar("Certifying", 1, "certificates") as bar:
        policy, ledger = certify_policy(evidence, ledger)
        bar.advance(1)
    write_policy(policy, ledger, run)
    console.note(policy.certificate.sentence())
    return policy
