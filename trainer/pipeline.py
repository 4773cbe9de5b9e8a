"""One training run, from labelled images to a certified bundle; `train` reads from top to bottom."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from bundle.manifest import Provenance
from calibration.decision import STAGE_NAMES
from calibration.errors import DeltaExhausted
from trainer.bundling.finish import RunResult, finish_run
from trainer.certify.outlook import OTHER_SEEDS, outlook
from trainer.config import TrainConfig, given, resolved
from trainer.data.faults import PreparedData
from trainer.data.grouping import question_of
from trainer.data.images import Notice
from trainer.data.splits import Splits
from trainer.fit.context import RunContext
from trainer.fit.device import describe
from trainer.preparation import PreparedRun, prepare_run
from trainer.reports.training_plan import PlannedData, PlannedStage, TrainingPlan
from trainer.run.build import build_record
from trainer.run.console import RunConsole
from trainer.run.folder import RunFolder, write_yaml
from trainer.run.lock import locked
from trainer.run.origin import Origin
from trainer.run.record import RunRecord, StageRecord, library_versions
from trainer.stages import train_stages


def train(config: TrainConfig, out: Path, console: RunConsole) -> RunResult:
    """The whole run. A second call in the same folder resumes an interrupted run.

    Raises `FolderInUse` while another process runs there.
    """
    run = RunFolder(out)
    with locked(out), console.logged_to(run.log):
        return _train(config, run, console)


def plan(config: TrainConfig, console: RunConsole) -> TrainingPlan:
    """What `train` would do up to its first step: data, splits, what they can prove, and the recipe.

    Trains nothing, charges no delta, and leaves no file.
    """
    with TemporaryDirectory(prefix="demur-plan-") as folder:
        run = RunFolder(Path(folder))
        prepared = prepare_run(config, run, console)
        try:
            said = _outlook(prepared, run)
        except DeltaExhausted as error:
            said = str(error)
        source, recipe = prepared.data.source, prepared.recipe
        stages = zip(STAGE_NAMES, (recipe.stage_a, recipe.stage_b), strict=True)
        found = TrainingPlan(
            data=PlannedData.of(source, prepared.splits, prepared.data.dropped, prepared.notices),
            reach=prepared.reach,
            minutes=config.minutes,
            stages=tuple(
                PlannedStage(name, stage.model.name, stage.image_size, stage.loop.epochs)
                for name, stage in stages
            ),
        )
    for line in (*found.lines(), *([said] if said else [])):
        console.note(line)
    return found


def _train(config: TrainConfig, run: RunFolder, console: RunConsole) -> RunResult:
    prepared = prepare_run(config, run, console)
    if said := _outlook(prepared, run):
        console.note(said)
    write_yaml(run.given, given(config))
    config, splits = prepared.config, prepared.splits
    console.heading("Training")
    write_yaml(run.config, resolved(config))
    context = RunContext(run, console, config.compute, config.seed)
    stages = train_stages(prepared.training, prepared.recipe, context, prepared.models)
    threads = [count for stage in stages for count in stage.threads]
    config = config.model_copy(update={"compute": config.compute.with_threads(threads)})
    write_yaml(run.config, resolved(config))
    record = _record(config, prepared.data, splits, stages, prepared.notices)
    result = finish_run(record, prepared.data.source, splits, run, console)
    for line in prepared.times.comparison(console.step_seconds, console.seconds):
        console.note(line)
    return result


def _outlook(prepared: PreparedRun, run: RunFolder) -> str | None:
    """What is left of the calibration split's delta; `DeltaExhausted` before training, not after."""
    config, splits = prepared.config, prepared.splits
    content = [prepared.data.pixels.content[row] for row in splits.val_calib.tolist()]
    origin, digest = Origin.of(resolved(config), config.promise), splits.digests["val_calib"]
    return outlook(content, digest, config.promise, run, origin, seeds=OTHER_SEEDS)


def _record(
    config: TrainConfig,
    data: PreparedData,
    splits: Splits,
    stages: tuple[StageRecord, ...],
    notices: Sequence[Notice],
) -> RunRecord:
    source = data.source
    return RunRecord(
        name=config.name,
        task=f"Tells apart: {', '.join(source.class_names)}.",
        named_task=config.task,
        classes=source.class_names,
        stages=stages,
        promise=config.promise,
        question=question_of(source.notices),
        provenance=Provenance(
            source=source.name,
            config=resolved(config),
            data_digests={"source": source.digest()},
            split_digests=dict(splits.digests),
            versions=library_versions() | describe(config.compute),
            seed=config.seed,
            builds=(build_record(),),
            notices=tuple(notice.message for notice in source.notices if not notice.doubt)
            + ((f"{len(data.dropped)} images were left out, see faults.json",) if data.dropped else ())
            + tuple(notice.message for notice in notices),
        ),
    )
