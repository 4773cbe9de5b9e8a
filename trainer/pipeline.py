"""One training run, from labelled images to a certified bundle. `train` reads from top to bottom."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bundle.manifest import Provenance
from bundle.preprocess import PreprocessSpec
from trainer.compute import describe
from trainer.config import TrainConfig, resolved
from trainer.data.faults import PreparedData, prepare
from trainer.data.grouping import near_copies_in
from trainer.data.images import ImageSource, Notice
from trainer.data.pixels import typical_size
from trainer.data.source import open_source
from trainer.models.registry import SMALLEST_IMAGE, require_weights
from trainer.progress import RunConsole
from trainer.proof import RunResult, prove_and_pack
from trainer.recipe import Recipe, default_recipe, input_size
from trainer.run_folder import RunFolder, write_json, write_yaml
from trainer.run_record import RunRecord, StageRecord, library_versions
from trainer.splits import Splits, make_splits
from trainer.stages import TrainingData, preprocessing, train_stages
from trainer.symmetry import check_mirroring

MAX_PIXEL_BYTES = 2 * 2**30
"""Decoded images above this size live in memory-mapped files of the run folder."""


def train(config: TrainConfig, out: Path, console: RunConsole) -> RunResult:
    """The whole run. Running it again in the same folder goes on where it was interrupted."""
    run = RunFolder(out)
    out.mkdir(parents=True, exist_ok=True)
    config = config.model_copy(update={"compute": config.compute.resolved()})
    if config.recipe is not None:
        for stage in (config.recipe.stage_a, config.recipe.stage_b):
            require_weights(stage.model)

    console.heading("Data")
    source = _open(config, console)
    size = max(min(typical_size(source)), SMALLEST_IMAGE)
    specs = _preprocessing(config, size)
    data = _decode(config, source, specs, run, console)
    splits = _split(config, data, run, console)
    alike = near_copies_in(data.source, splits.val_calib, data.pixels.arrays[0])
    if alike is not None:
        (console.warn if alike.level == "warning" else console.note)(alike.message)

    console.heading("Training")
    training = TrainingData(
        arrays=tuple(data.pixels.arrays[_distinct(specs).index(spec)] for spec in specs),
        labels=data.source.labels,
        train=splits.train,
        val_select=splits.val_select,
        n_classes=len(data.source.class_names),
    )
    recipe = _recipe(config, training, size, console)
    config = config.model_copy(update={"recipe": recipe})
    write_yaml(run.config, resolved(config))
    stages = train_stages(training, recipe, config.seed, run, console, compute=config.compute)
    record = _record(config, data, splits, stages, alike)
    return prove_and_pack(record, data.source, splits, run, console)


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


def _preprocessing(config: TrainConfig, size: int) -> tuple[PreprocessSpec, PreprocessSpec]:
    """Of stages A and B, for images of `size` pixels a side; known before anything is decoded."""
    if config.recipe is not None:
        return preprocessing(config.recipe.stage_a), preprocessing(config.recipe.stage_b)
    side = input_size(size)
    spec = PreprocessSpec(height=side, width=side)
    return spec, spec


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
    splits = make_splits(
        data.source.labels,
        data.source.groups,
        target=config.promise.target,
        seed=config.seed,
        sizes=config.splits.sizes(),
        ids=data.pixels.content,
    )
    write_json(run.splits, splits.to_dict())
    unit = "images" if data.source.groups is None else f"groups by {data.source.group_column!r}"
    counts = ", ".join(f"{name} {len(rows):,} ({splits.units[name]:,})" for name, rows in splits)
    console.note(f"Images (and {unit}): {counts}")
    return splits


def _recipe(config: TrainConfig, data: TrainingData, size: int, console: RunConsole) -> Recipe:
    """The configured recipe, or the default for so many training images of `size` pixels a side."""
    recipe = config.recipe
    if recipe is None:
        mirror = config.mirror
        if mirror is None:
            train = data.rows(1, data.train)
            found = check_mirroring(train.pixels, train.labels, seed=config.seed)
            mirror = found.allowed
            console.note(f"Training {'mirrors' if mirror else 'does not mirror'} images: {found.reason}")
        recipe = default_recipe(len(data.train), size, config.minutes, seed=config.seed, mirror=mirror)
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
    alike: Notice | None,
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
            + ((alike.message,) if alike is not None else ()),
        ),
    )
