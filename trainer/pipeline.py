"""One training run, from labelled images to a certified bundle. `train` reads from top to bottom."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bundle.images.preprocess import PreprocessSpec
from bundle.manifest import Provenance
from trainer.bundling.finish import RunResult, finish_run
from trainer.config import TrainConfig, resolved
from trainer.data.faults import PreparedData, prepare
from trainer.data.grouping import near_copies_in
from trainer.data.images import ImageSource, Notice
from trainer.data.opening import open_data, split_data
from trainer.data.pixels import typical_size
from trainer.data.splits import Splits
from trainer.fit.device import describe
from trainer.fit.mirror_check import check_mirroring
from trainer.models import VARIANTS
from trainer.models.registry import SMALLEST_IMAGE, ModelConfig, require_weights
from trainer.pretrain.weights import seen_by
from trainer.pretrained_recipe import choose_model, is_pretrained, pretrained_size
from trainer.recipe import PartialRecipe, Recipe, complete_recipe, input_size
from trainer.run.console import RunConsole
from trainer.run.folder import RunFolder, write_json, write_yaml
from trainer.run.record import RunRecord, StageRecord, library_versions
from trainer.scoring.collect import require_slices
from trainer.stages import TrainingData, train_stages

MAX_PIXEL_BYTES = 2 * 2**30
"""Decoded images above this size live in memory-mapped files of the run folder."""


def train(config: TrainConfig, out: Path, console: RunConsole) -> RunResult:
    """The whole run. Running it again in the same folder goes on where it was interrupted."""
    run = RunFolder(out)
    out.mkdir(parents=True, exist_ok=True)
    config = config.model_copy(update={"compute": config.compute.resolved()})
    backbone = None if config.backbone is None else choose_model(config.backbone, config.adapt)
    for stage in (config.recipe.stage_a, config.recipe.stage_b):
        if stage is not None:
            require_weights(stage.model)
    if backbone is not None:
        require_weights(backbone)

    console.heading("Data")
    source = open_data(config.data, console)
    size = max(min(typical_size(source)), SMALLEST_IMAGE)
    specs = _preprocessing(config.recipe, backbone, size)
    require_slices(source, config.promise.slices)
    data = _decode(config, source, specs, run, console)
    splits = _split(config, data, run, console)
    alike = near_copies_in(data.source, splits.val_calib, data.pixels.arrays[0])
    told = [*([] if alike is None else [alike]), *_seen_before(config, data, splits)]
    for notice in told:
        (console.warn if notice.level == "warning" else console.note)(notice.message)

    console.heading("Training")
    training = TrainingData(
        arrays=tuple(data.pixels.arrays[_distinct(specs).index(spec)] for spec in specs),
        labels=data.source.labels,
        train=splits.train,
        val_select=splits.val_select,
        n_classes=len(data.source.class_names),
    )
    recipe = _recipe(config, backbone, training, size, console)
    # The whole recipe says what `backbone` and `adapt` led to.
    config = config.model_copy(update={"recipe": recipe, "backbone": None, "adapt": None})
    write_yaml(run.config, resolved(config))
    stages = train_stages(training, recipe, config.seed, run, console, compute=config.compute)
    record = _record(config, data, splits, stages, told)
    return finish_run(record, data.source, splits, run, console)


def _preprocessing(
    given: PartialRecipe, backbone: ModelConfig | None, size: int
) -> tuple[PreprocessSpec, PreprocessSpec]:
    """Of stages A and B, for images of `size` pixels a side; known before anything is decoded."""
    usual = input_size(size)
    side_a = usual if given.stage_a is None else given.stage_a.image_size
    side_b = usual if backbone is None else pretrained_size(backbone, size)
    if given.stage_b is not None:
        side_b = given.stage_b.image_size
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
    """Every image decoded once, all faults told at once."""
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


def _split(config: TrainConfig, data: PreparedData, run: RunFolder, console: RunConsole) -> Splits:
    splits = split_data(
        data, config.splits, config.promise, seed=config.seed, pretrained=_is_pretrained(config)
    )
    write_json(run.splits, splits.to_dict())
    unit = "images" if data.source.groups is None else f"groups by {data.source.group_column!r}"
    counts = ", ".join(f"{name} {len(rows):,} ({splits.units[name]:,})" for name, rows in splits)
    console.note(f"Images (and {unit}): {counts}")
    return splits


def _is_pretrained(config: TrainConfig) -> bool:
    """Whether stage B starts from weights that others have trained."""
    given = config.recipe.stage_b
    return config.backbone is not None or (given is not None and is_pretrained(given.model))


def _seen_before(config: TrainConfig, data: PreparedData, splits: Splits) -> list[Notice]:
    """What is to be told of pretrained weights that know images which are to prove or to judge."""
    stages = (config.recipe.stage_a, config.recipe.stage_b)
    given = [stage.model.transformer for stage in stages if stage is not None]
    names = {one.weights for one in given if one is not None and one.is_pretrained}
    if config.backbone is not None and config.backbone not in VARIANTS:
        names.add(config.backbone)
    return [notice for name in sorted(names) for notice in seen_by(name, data.pixels.content, splits)]


def _recipe(
    config: TrainConfig, backbone: ModelConfig | None, data: TrainingData, size: int, console: RunConsole
) -> Recipe:
    """The configured recipe; what it leaves out is planned for images of `size` pixels a side."""
    mirror = config.mirror
    if mirror is None and (config.recipe.stage_a is None or config.recipe.stage_b is None):
        train = data.rows(1, data.train)
        found = check_mirroring(train.pixels, train.labels, seed=config.seed)
        mirror = found.allowed
        console.note(f"Training {'mirrors' if mirror else 'does not mirror'} images: {found.reason}")
    recipe = complete_recipe(
        config.recipe,
        backbone,
        len(data.train),
        size,
        config.minutes,
        seed=config.seed,
        mirror=bool(mirror),
        augment=config.augment,
    )
    selection = {"checkpoint_selection": config.checkpoint_selection}
    return Recipe(
        stage_a=recipe.stage_a.model_copy(update={"loop": recipe.stage_a.loop.model_copy(update=selection)}),
        stage_b=recipe.stage_b.model_copy(update={"loop": recipe.stage_b.loop.model_copy(update=selection)}),
    )


def _record(
    config: TrainConfig,
    data: PreparedData,
    splits: Splits,
    stages: tuple[StageRecord, ...],
    told: Sequence[Notice],
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
            versions=library_versions() | describe(config.compute),
            seed=config.seed,
            notices=tuple(notice.message for notice in source.notices)
            + ((f"{len(data.dropped)} images were left out, see faults.json",) if data.dropped else ())
            + tuple(notice.message for notice in told),
        ),
    )
