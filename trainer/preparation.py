"""Everything that a run decides before it trains: data, splits, what they can prove, and both recipes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bundle.images.preprocess import PreprocessSpec
from calibration.decision import STRONG_STAGE
from trainer.certify.split_reach import SplitReach, split_reach
from trainer.config import TrainConfig
from trainer.data.config import SplitConfig
from trainer.data.faults import PreparedData, prepare
from trainer.data.folder_splits import mapping_sentence
from trainer.data.grouping import near_copies_in
from trainer.data.images import ImageSource, Notice
from trainer.data.opening import calibration_need, open_data, split_data
from trainer.data.pixels import MAX_PIXEL_BYTES, typical_size
from trainer.data.splits import Splits, SplitSizes, keep_splits
from trainer.fit.mirror_check import check_mirroring
from trainer.models.registry import SMALLEST_IMAGE
from trainer.planning.backbone_choice import AUTO
from trainer.planning.pretrained_recipe import StageModels
from trainer.planning.recipe import PartialRecipe, PlanInputs, Recipe, complete_recipe, input_size
from trainer.planning.time_plan import TimePlan, plan_time
from trainer.pretrain.weights import overlap_notices
from trainer.run.console import RunConsole
from trainer.run.folder import RunFolder, read_json, write_json
from trainer.scoring.collect import require_slices
from trainer.stage_models import named_models, with_backbone
from trainer.stages import TrainingData


@dataclass(frozen=True, slots=True)
class PreparedRun:
    """Everything that a run decides before it trains."""

    config: TrainConfig
    """With the resolved device, and the resolved recipe in place of `backbone` and `adapt`"""
    models: StageModels
    data: PreparedData
    splits: Splits
    reach: SplitReach
    notices: tuple[Notice, ...]
    """Beside those of the source"""
    training: TrainingData
    recipe: Recipe
    times: TimePlan


def prepare_run(config: TrainConfig, run: RunFolder, console: RunConsole) -> PreparedRun:
    """Look at the data, split it, and plan the training; nothing is trained and no delta is charged.

    Decoded images, splits and faults are written into the run folder. Raises `TrainerError` with the way out.
    """
    resolved_now = {
        "compute": config.compute.resolved(),
        "splits": _split_seed(config, run),
        "task": config.named_task,
    }
    config = config.model_copy(update=resolved_now)
    models = named_models(config)

    console.heading("Data")
    source = open_data(config.data, console)
    size = max(min(typical_size(source)), SMALLEST_IMAGE)
    config, models = with_backbone(config, models, (len(source), size), run, console)
    specs = _preprocessing(config.recipe, models, size)
    require_slices(source, config.promise.slices)
    data = _decode(config, source, specs, run, console)
    splits = _split(config, models, data, run, console)
    alike = near_copies_in(data.source, splits.val_calib, data.pixels.arrays[0])
    notices = [*([] if alike is None else [alike]), *_pretraining_overlap(models, data, splits)]
    for notice in notices:
        (console.warn if notice.level == "warning" else console.note)(notice.message)
    reach = _reach(config, models, data.source, splits)
    reach.print(console)

    console.heading("Plan")
    training = TrainingData(
        arrays=tuple(data.pixels.arrays[_distinct(specs).index(spec)] for spec in specs),
        labels=data.source.labels,
        train=splits.train,
        val_select=splits.val_select,
        n_classes=len(data.source.class_names),
    )
    recipe = _recipe(config, models, training, size, console)
    # The resolved recipe replaces `backbone` and `adapt`.
    config = config.model_copy(update={"recipe": recipe, "backbone": AUTO, "adapt": None})
    times = _time_plan(recipe, models, splits, data, console)
    console.note(times.sentence())
    return PreparedRun(config, models, data, splits, reach, tuple(notices), training, recipe, times)


def _time_plan(
    recipe: Recipe, models: StageModels, splits: Splits, data: PreparedData, console: RunConsole
) -> TimePlan:
    scored = (splits.val_select, splits.val_calib, splits.val_test)
    return plan_time(
        recipe,
        models.completed(recipe.stage_a.model, recipe.stage_b.model),
        n_train=len(splits.train),
        n_scored=sum(map(len, scored)),
        decode_seconds=console.step_seconds["Decoding"] / len(data.source),
    )


def _reach(config: TrainConfig, models: StageModels, source: ImageSource, splits: Splits) -> SplitReach:
    """What the calibration split can prove; splits that are given are not planned anew."""
    need = calibration_need(source.labels, config.promise, pretrained=models.b_is_pretrained)

    def calibration_of(units: int) -> int:
        return SplitSizes.planned(units, need).val_calib

    planned = config.splits.sizes() is None and source.roles is None
    return split_reach(source, splits, config.promise, calibration_of if planned else None)


def _split_seed(config: TrainConfig, run: RunFolder) -> SplitConfig:
    """The splits with their seed: as configured, or as in the folder, whose older version drew by `seed`."""
    if config.splits.seed is not None:
        return config.splits
    drawn = read_json(run.splits).get("seed", 0) if run.splits.is_file() else 0
    return config.splits.model_copy(update={"seed": drawn})


def _preprocessing(
    given: PartialRecipe, models: StageModels, size: int
) -> tuple[PreprocessSpec, PreprocessSpec]:
    """Preprocessing of stages A and B for images of `size` pixels per side, known before decoding."""
    planned = input_size(size)
    side_a = planned if given.stage_a is None else given.stage_a.image_size
    side_b = models.size_b or planned if given.stage_b is None else given.stage_b.image_size
    return PreprocessSpec(height=side_a, width=side_a), PreprocessSpec(height=side_b, width=side_b)


def _distinct(specs: Sequence[PreprocessSpec]) -> list[PreprocessSpec]:
    return list(dict.fromkeys(specs))


def _decode(
    config: TrainConfig,
    source: ImageSource,
    specs: Sequence[PreprocessSpec],
    run: RunFolder,
    console: RunConsole,
) -> PreparedData:
    """Decode every image once and report all faults together."""
    sizes = _distinct(specs)
    memory = len(source) * sum(3 * spec.height * spec.width for spec in sizes)
    with console.bar("Decoding", len(source)) as bar:
        data = prepare(
            source,
            sizes,
            skip_bad=config.data.skip_bad,
            cache=run.root / "pixels" if memory > MAX_PIXEL_BYTES else None,
            advance=bar.advance,
        )
    write_json(run.faults, data.report.to_dict(dropped_paths=data.dropped))
    for line in data.report.lines():
        console.note(line)
    return data


def _split(
    config: TrainConfig, models: StageModels, data: PreparedData, run: RunFolder, console: RunConsole
) -> Splits:
    drawn = split_data(
        data, config.splits, config.promise, seed=config.splits.seed or 0, pretrained=models.b_is_pretrained
    )
    splits = keep_splits(drawn, run.splits)
    unit = "images" if data.source.groups is None else f"groups by {data.source.group_column!r}"
    counts = ", ".join(f"{name} {len(rows):,} ({splits.units[name]:,})" for name, rows in splits)
    console.note(f"Images (and {unit}): {counts}")
    if data.source.roles is not None:
        console.note(mapping_sentence(data.source.roles, splits.names))
    return splits


def _pretraining_overlap(models: StageModels, data: PreparedData, splits: Splits) -> list[Notice]:
    """Warnings about weights that were pretrained on images of val_calib or val_test."""
    return [
        notice
        for folder in models.weight_folders
        for notice in overlap_notices(folder, data.pixels.content, splits)
    ]


def _recipe(
    config: TrainConfig, models: StageModels, data: TrainingData, size: int, console: RunConsole
) -> Recipe:
    """The configured recipe; missing stages are planned for images of `size` pixels per side."""
    mirror = config.mirror
    if mirror is None and (config.recipe.stage_a is None or config.recipe.stage_b is None):
        train = data.rows(STRONG_STAGE, data.train)
        found = check_mirroring(train.pixels, train.labels, seed=config.seed)
        mirror = found.allowed
        console.note(f"Training {'mirrors' if mirror else 'does not mirror'} images: {found.reason}")
    inputs = PlanInputs(
        len(data.train),
        size,
        config.minutes,
        n_select=len(data.val_select),
        size_b=models.size_b,
        seed=config.seed,
        mirror=bool(mirror),
        augment=config.augment,
    )
    recipe = complete_recipe(config.recipe, models.stage_b, inputs)
    selection = {"checkpoint_selection": config.checkpoint_selection}
    return Recipe(
        stage_a=recipe.stage_a.model_copy(update={"loop": recipe.stage_a.loop.model_copy(update=selection)}),
        stage_b=recipe.stage_b.model_copy(update={"loop": recipe.stage_b.loop.model_copy(update=selection)}),
    )
