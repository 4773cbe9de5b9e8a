"""Train both stages and export them: B first, then A, which learns from B as well as from the labels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from bundle.images.preprocess import PreprocessSpec
from calibration.scores import IntArray
from trainer.fit.batches import LabelledPixels
from trainer.fit.checkpoint_selection import EpochMetrics
from trainer.fit.device import EXACT, ComputeConfig
from trainer.fit.loop import FitResult, StepProgress, fit
from trainer.models import StageModel, build_model, macs, n_parameters
from trainer.models.onnx_export import export_onnx
from trainer.recipe import Recipe, StageRecipe
from trainer.run.console import RunConsole
from trainer.run.folder import RunFolder, write_csv, write_json
from trainer.run.record import StageRecord
from trainer.transfer.frozen_backbone import fit_frozen, lessons
from trainer.transfer.merging import settle


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Decoded images of a whole source; training reads the rows of two splits alone."""

    arrays: tuple[NDArray[np.uint8], ...]
    """Of stages A, B: uint8 [n, size, size, 3]"""
    labels: IntArray
    """[n]"""
    train: IntArray
    val_select: IntArray
    n_classes: int

    def rows(self, stage: int, rows: IntArray) -> LabelledPixels:
        """Pixels at one stage's input size."""
        chosen = np.ascontiguousarray(self.arrays[stage][rows])
        return LabelledPixels(torch.from_numpy(chosen), torch.from_numpy(self.labels[rows]))


def preprocessing(stage: StageRecipe) -> PreprocessSpec:
    return PreprocessSpec(height=stage.image_size, width=stage.image_size)


def train_stages(
    data: TrainingData,
    recipe: Recipe,
    seed: int,
    run: RunFolder,
    console: RunConsole,
    *,
    compute: ComputeConfig = EXACT,
) -> tuple[StageRecord, StageRecord]:
    """Fit B, then A with B as its teacher, and export both; returns their records in the order A, B.

    Leaves metrics.csv, the weights as safetensors and both ONNX files. Both see the same augmented
    views, made at B's input size; A is selected on pixels of its own size, as it will be served. A
    pretrained B is too large to be asked about every view: it is asked once, before A is trained.
    """
    train = data.rows(1, data.train)
    fitted_b = _fit_stage("B", 1, recipe.stage_b, train, data, None, seed, run, console, compute)
    teacher: StageModel | None = fitted_b.model
    if fitted_b.model.backbone.is_pretrained:
        taught = _taught(fitted_b.model, recipe.stage_b, train, run, console, compute)
        train, teacher = replace(data.rows(0, data.train), taught=taught), None
    fitted_a = _fit_stage("A", 0, recipe.stage_a, train, data, teacher, seed, run, console, compute)
    _write_metrics({"B": fitted_b, "A": fitted_a}, run)
    _write_weights({"stage_a": fitted_a.model, "stage_b": fitted_b.model}, run)
    with console.bar("Exporting to ONNX", 2, "models") as bar:
        record_a = _export("a", fitted_a.model, recipe.stage_a, run)
        bar.advance(1)
        record_b = _export("b", fitted_b.model, recipe.stage_b, run)
        bar.advance(1)
    return record_a, record_b


def _export(name: str, model: StageModel, recipe: StageRecipe, run: RunFolder) -> StageRecord:
    spec = preprocessing(recipe)
    export_onnx(model, spec.size, run.onnx(name))
    work = macs(model, spec.height)
    return StageRecord(preprocess=spec, macs=work, parameters=n_parameters(model), cost=work)


def _fit_stage(
    name: str,
    stage: int,
    recipe: StageRecipe,
    train: LabelledPixels,
    data: TrainingData,
    teacher: StageModel | None,
    seed: int,
    run: RunFolder,
    console: RunConsole,
    compute: ComputeConfig,
) -> FitResult:
    model = build_model(recipe.model, recipe.image_size, data.n_classes, seed=seed)
    spec = preprocessing(recipe)
    title = f"Training stage {name}"
    with console.bar(title, recipe.loop.epochs * len(data.train)) as bar:
        newest: StepProgress | None = None

        def show(progress: StepProgress) -> None:
            nonlocal newest
            newest = progress
            batch = recipe.loop.batch_size
            bar.at(progress.step * batch, progress.steps * batch, f"{title}, epoch {progress.epoch}")

        def tell(metrics: EpochMetrics) -> None:
            if console.console.is_terminal or newest is None:
                return
            console.note(  # where no bar moves, a line an epoch
                f"epoch {metrics.epoch}: loss {metrics.loss:.4f}, accuracy {metrics.accuracy:.4f}, balanced "
                f"MCC {metrics.balanced_mcc:.3f}, AUGRC x 1000 {1000 * metrics.augrc:.2f}; "
                f"{newest.images_per_second:,.0f} images/s, {newest.seconds_left:.0f} s left"
            )

        select, mean_std = data.rows(stage, data.val_select), (spec.mean, spec.std)
        if model.backbone.is_frozen:
            result = fit_frozen(
                model,
                train,
                select,
                mean_std,
                recipe.loop,
                views=recipe.views,
                cache=run.features(name.lower()),
                compute=compute,
                advance=lambda done, total: bar.at(done, total, f"{title}, looking at its images"),
            )
        else:
            result = fit(
                model,
                train,
                select,
                mean_std,
                recipe.loop,
                compute=compute,
                teacher=teacher,
                on_step=show,
                on_epoch=tell,
                on_note=console.warn,
                out=run.stage(name.lower()),
            )
        bar.finish(f"{title}, {len(result.history)} epochs")
    adaptation = settle(result.model, run.adapter(name.lower()))
    if adaptation is not None:
        write_json(run.metrics / f"stage_{name.lower()}_adaptation.json", adaptation.to_dict())
        console.note(adaptation.sentence(name))
    best = result.history[result.best_epoch - 1]
    console.note(
        f"Stage {name}, best of {len(result.history)} epochs on val_select: accuracy "
        f"{100 * best.accuracy:.2f} %, balanced MCC {best.balanced_mcc:.3f}, AUGRC x 1000 "
        f"{1000 * best.augrc:.2f}; {n_parameters(model):,} weights, {macs(model, spec.height) / 1e6:,.0f} "
        f"million multiply-accumulates an image"
    )
    if result.shortened:
        console.note(
            f"Stage {name} trained on a shortened plan to keep to its {recipe.loop.time_budget_s:.0f} s; "
            "another run may differ in the last digits"
        )
    return result


def _taught(
    model: StageModel,
    recipe: StageRecipe,
    train: LabelledPixels,
    run: RunFolder,
    console: RunConsole,
    compute: ComputeConfig,
) -> Tensor:
    """What a pretrained B says about the training images, float32 [n, K]."""
    spec = preprocessing(recipe)
    views = recipe.views if model.backbone.is_frozen else 0
    with console.bar("Asking stage B about its images", len(train) * (1 + views)) as bar:
        return lessons(
            model,
            train,
            (spec.mean, spec.std),
            recipe.loop,
            views=views,
            cache=run.features("b"),
            compute=compute,
            advance=bar.at,
        )


def _write_metrics(results: dict[str, FitResult], run: RunFolder) -> None:
    """metrics.csv: a row an epoch of each stage, with no times, so that a seed repeats the file."""
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
    save_file({name: t for name, t in tensors.items() if name not in gates}, run.model_weights)
    save_file(gates, run.gate_weights)
