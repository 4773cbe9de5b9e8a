"""Open the images that a configuration names, with everything that a person must see told, and split them."""

from __future__ import annotations

from trainer.data.config import DataConfig, SplitConfig
from trainer.data.faults import PreparedData
from trainer.data.images import ImageSource
from trainer.data.source import open_source
from trainer.data.splits import ERRORS_AT_START, ERRORS_WHEN_PRETRAINED, Splits, make_splits, rarest_share
from trainer.run.console import RunConsole
from trainer.run.promise import PromiseConfig


def open_data(data: DataConfig, console: RunConsole) -> ImageSource:
    """The source of `data`; rendering shows its progress, notices are printed. Raises `DataError`."""
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


def split_data(
    data: PreparedData, sizes: SplitConfig, promise: PromiseConfig, *, seed: int, pretrained: bool
) -> Splits:
    """The splits of a training run; `pretrained`: of one whose stage B starts from pretrained weights.

    Pretraining and comparisons draw them here too, so that no image that a backbone learns from is tested
    or certified on afterwards.
    """
    labels = data.source.labels
    return make_splits(
        labels,
        data.source.groups,
        target=promise.target,
        seed=seed,
        sizes=sizes.sizes(),
        errors=ERRORS_WHEN_PRETRAINED if pretrained else ERRORS_AT_START,
        smallest_part=rarest_share(labels) if promise.each_answer else 1.0,
        ids=data.pixels.content,
    )
