"""Train both stages and export them: B first, then A, which learns from B as well as from the labels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bundle.images.preprocess import PreprocessSpec
from calibration.decision import FAST_STAGE, STAGE_NAMES, STRONG_STAGE, StageName
from calibration.scores import IntArray
from trainer.fit.batches import FitData, LabelledPixels
from trainer.fit.checkpoint import save_checkpoint
from trainer.fit.checkpoint_selection import EpochMetrics
from trainer.fit.context import RunContext
from trainer.fit.loop import Callbacks, FitResult, StepProgress, fit
from trainer.fit.threads import numbers_of, several_numbers
from trainer.models import VARIANTS, ResolvedModel, StageModel, build_model, macs, n_parameters
from trainer.models.onnx_export import export_onnx
from trainer.planning.pretrained_recipe import PLANNED, StageModels
from trainer.planning.recipe import Recipe, StageRecipe
from trainer.run.console import Bar, RunConsole
from trainer.run.digests import file_digest
from trainer.run.folder import RunFolder, write_csv, write_json
from trainer.run.record import StageRecord
from trainer.transfer.frozen_backbone import (
    CachedViews,
    TeacherOutputs,
    fit_frozen_backbone,
    teacher_outputs,
)
from trainer.transfer.merging import merge_for_export


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Decoded images of a whole source; training reads the rows of two splits only."""

    arrays: tuple[NDArray[np.uint8], ...]
    """Pixels for stages A, B: uint8 [n, size, size, 3]"""
    labels: IntArray
    """[n]"""
    train: IntArray
    val_select: IntArray
    n_classes: int

    def rows(self, stage: StageName, rows: IntArray) -> LabelledPixels:
        """Rows at the input size of one stage."""
        chosen = np.ascontiguousarray(self.arrays[STAGE_NAMES.index(stage)][rows])
        return LabelledPixels(torch.from_numpy(chosen), torch.from_numpy(self.labels[rows]))


@dataclass(frozen=True, slots=True)
class StageJob:
    """One stage to train: its recipe, its images, and the teacher that it learns from."""

    name: StageName
    recipe: StageRecipe
    model: ResolvedModel
    train: LabelledPixels
    select: LabelledPixels
    n_classes: int
    teacher: StageModel | None = None
    start: StageModel | None = None
    """A trained stage of the same network, whose weights this one starts from"""

    @property
    def spec(self) -> PreprocessSpec:
        return preprocessing(self.recipe)

    @property
    def data(self) -> FitData:
        return FitData(self.train, self.select, (self.spec.mean, self.spec.std))

    @property
    def folder(self) -> str:
        """Name of the stage in file names."""
        return self.name.lower()


def preprocessing(stage: StageRecipe) -> PreprocessSpec:
    """Preprocessing of a stage's input, by its size."""
    return PreprocessSpec(height=stage.image_size, width=stage.image_size)


def train_stages(
    data: TrainingData, recipe: Recipe, context: RunContext, models: StageModels = PLANNED
) -> tuple[StageRecord, StageRecord]:
    """Fit B, then A with B as its teacher, and export both; returns their records in the order A, B.

    Writes metrics.csv, the weights as safetensors and both ONNX files. Both stages train on the same
    augmented views, made at B's input size; A is selected on pixels of its own size, as it will be served.
    A pretrained B is too slow to run on every view: it runs once over the images, before A is trained.
    """
    model_a, model_b = models.completed(recipe.stage_a.model, recipe.stage_b.model)
    train, n_classes = data.rows(STRONG_STAGE, data.train), data.n_classes
    job_b = StageJob(
        STRONG_STAGE, recipe.stage_b, model_b, train, data.rows(STRONG_STAGE, data.val_select), n_classes
    )
    fitted_b = fit_stage(job_b, context)
    job_a = StageJob(
        FAST_STAGE,
        recipe.stage_a,
        model_a,
        train,
        data.rows(FAST_STAGE, data.val_select),
        n_classes,
        teacher=fitted_b.model,
    )
    if fitted_b.model.backbone.is_pretrained:
        taught = _teacher_outputs(fitted_b, job_b, context)
        fitted_b = replace(fitted_b, threads=(*fitted_b.threads, *taught.threads))
        images = replace(data.rows(FAST_STAGE, data.train), teacher_logits=taught.logits)
        job_a = replace(job_a, train=images, teacher=None)
    fitted_a = fit_stage(replace(job_a, start=start_of_a(model_a, model_b, fitted_b.model)), context)
    run = context.run
    _write_metrics({STRONG_STAGE: fitted_b, FAST_STAGE: fitted_a}, run)
    _write_weights({"stage_a": fitted_a.model, "stage_b": fitted_b.model}, run)
    with context.console.bar("Exporting to ONNX", 2, "models") as bar:
        record_a = _export(job_a, fitted_a, run)
        bar.advance(1)
        record_b = _export(job_b, fitted_b, run)
        bar.advance(1)
    return record_a, record_b


def start_of_a(model_a: ResolvedModel, model_b: ResolvedModel, trained_b: StageModel) -> StageModel | None:
    """Stage B as the start of a stage A that is the same network on a smaller input: it knows the classes."""
    same = model_a.config.name in VARIANTS and model_a.config.name == model_b.config.name
    return trained_b if same else None


def _export(job: StageJob, fitted: FitResult, run: RunFolder) -> StageRecord:
    model = fitted.model
    export_onnx(model, job.spec.size, run.onnx(job.folder))
    work = macs(model, job.spec.height)
    return StageRecord(
        preprocess=job.spec,
        macs=work,
        parameters=n_parameters(model),
        epochs=len(fitted.history),
        planned_epochs=len(fitted.history)
        if fitted.ended_early
        else max(job.recipe.loop.epochs, len(fitted.history)),
        threads=numbers_of(fitted.threads),
        digest=file_digest(run.onnx(job.folder)),
        cost=work,
    )


def fit_stage(job: StageJob, context: RunContext) -> FitResult:
    """Train one stage, merge its adapter if it has one, and print how it went."""
    recipe, run, console = job.recipe, context.run, context.console
    model = build_model(job.model, recipe.image_size, job.n_classes, seed=context.seed)
    if job.start is not None:
        model.load_state_dict(job.start.state_dict())
    title = f"Training stage {job.name}"
    with console.bar(title, recipe.loop.epochs * len(job.train)) as bar:
        if model.backbone.is_frozen:
            result = fit_frozen_backbone(
                model,
                job.data,
                recipe.loop,
                CachedViews(recipe.views, run.features(job.folder)),
                compute=context.compute,
                advance=lambda done, total: bar.at(done, total, f"{title}, embedding its images"),
            )
        else:
            result = fit(
                model,
                job.data,
                recipe.loop,
                compute=context.compute,
                teacher=job.teacher,
                callbacks=_callbacks(title, recipe.loop.batch_size, bar, console),
                out=run.stage(job.folder),
            )
        bar.finish(f"{title}, {len(result.history)} epochs")
    merged = merge_for_export(result.model, run.adapter(job.folder))
    if merged is not None:
        write_json(run.metrics / f"stage_{job.folder}_adaptation.json", merged.to_dict())
        console.note(merged.sentence(job.name))
    _report(job, result, console)
    return result


def _callbacks(title: str, batch_size: int, bar: Bar, console: RunConsole) -> Callbacks:
    """A moving bar on a terminal, and a line per epoch elsewhere and in the log."""
    newest: StepProgress | None = None

    def show(progress: StepProgress) -> None:
        nonlocal newest
        newest = progress
        done, total = progress.step * batch_size, progress.steps * batch_size
        bar.at(done, total, f"{title}, epoch {progress.epoch}")

    def print_epoch(metrics: EpochMetrics) -> None:
        if newest is None:
            return
        console.detail(
            f"epoch {metrics.epoch}: loss {metrics.loss:.4f}, accuracy {metrics.accuracy:.4f}, balanced "
            f"MCC {metrics.balanced_mcc:.3f}, AUGRC x 1000 {1000 * metrics.augrc:.2f}; "
            f"{newest.images_per_second:,.0f} images/s, {newest.seconds_left:.0f} s left"
        )

    return Callbacks(on_step=show, on_epoch=print_epoch, on_note=console.warn)


def _report(job: StageJob, result: FitResult, console: RunConsole) -> None:
    best = result.history[result.best_epoch - 1]
    console.note(
        f"Stage {job.name}, best of {len(result.history)} epochs on val_select: accuracy "
        f"{100 * best.accuracy:.2f} %, balanced MCC {best.balanced_mcc:.3f}, AUGRC x 1000 "
        f"{1000 * best.augrc:.2f}; {n_parameters(result.model):,} weights, "
        f"{macs(result.model, job.spec.height) / 1e6:,.0f} million multiply-accumulates per image"
    )
    if note := several_numbers(f"Stage {job.name}", numbers_of(result.threads)):
        console.note(note)
    if result.ended_early:
        console.note(
            f"Stage {job.name} ended after {len(result.history)} of {job.recipe.loop.epochs} planned epochs: "
            "the last ones gained nothing on val_select"
        )
    elif result.shortened:
        console.note(
            f"Stage {job.name} trained on a shortened plan to keep to its "
            f"{job.recipe.loop.time_budget_s:.0f} s; another run may differ in the last digits"
        )


def _teacher_outputs(fitted: FitResult, job: StageJob, context: RunContext) -> TeacherOutputs:
    """Outputs of a pretrained B on the training images."""
    views = job.recipe.views if fitted.model.backbone.is_frozen else 0
    with context.console.bar("Computing the outputs of stage B", len(job.train) * (1 + views)) as bar:
        return teacher_outputs(
            fitted.model,
            job.train,
            job.data.mean_std,
            job.recipe.loop,
            CachedViews(views, context.run.features(job.folder)),
            compute=context.compute,
            before=fitted.threads,
            advance=bar.at,
        )


def _write_metrics(results: dict[str, FitResult], run: RunFolder) -> None:
    """metrics.csv: one row per epoch and stage, without times, so that one seed repeats the file."""
    rows = [
        {"stage": name, **metrics.row(), "kept": metrics.epoch == result.best_epoch}
        for name, result in results.items()
        for metrics in result.history
    ]
    write_csv(run.training_metrics, list(rows[0]), [list(row.values()) for row in rows])


def _write_weights(models: dict[str, StageModel], run: RunFolder) -> None:
    """model_best.safetensors (everything but the gates) and gate_best.safetensors."""
    tensors: dict[str, Tensor] = {
        f"{stage}.{name}": tensor.detach().contiguous()
        for stage, model in models.items()
        for name, tensor in model.state_dict().items()
    }
    gates = {name: tensor for name, tensor in tensors.items() if name.split(".")[1] == "gate"}
    others = {name: tensor for name, tensor in tensors.items() if name not in gates}
    for part, path in ((others, run.model_weights), (gates, run.gate_weights)):
        save_checkpoint(path, part, {})
