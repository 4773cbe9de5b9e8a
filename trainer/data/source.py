"""Any source of images, opened by its name: `scenes`, `parquet:PATH`, `folder:PATH` or `hub:OWNER/NAME`."""

from __future__ import annotations

from collections.abc import Callable

from trainer.data.annotate import Annotation
from trainer.data.config import DataConfig
from trainer.data.folder import open_folder
from trainer.data.grouping import unused_group
from trainer.data.hub import open_hub
from trainer.data.images import (
    UNLABELLED,
    BadLabels,
    HubUnreachable,
    ImageSet,
    ImageSource,
    LeakyColumn,
    NoImages,
    Notice,
    SourceNotFound,
    UnknownColumn,
    UnreadableSource,
)
from trainer.data.parquet import open_parquet
from trainer.errors import DataError

__all__ = [
    "UNLABELLED",
    "BadLabels",
    "DataError",
    "HubUnreachable",
    "ImageSource",
    "LeakyColumn",
    "NoImages",
    "Notice",
    "SourceNotFound",
    "UnknownColumn",
    "UnreadableSource",
    "open_source",
]

SPECS = "scenes, parquet:PATH, folder:PATH or hub:OWNER/NAME"


def open_source(
    data: DataConfig, *, processes: int = 2, on_progress: Callable[[int, int], None] | None = None
) -> ImageSource:
    """Open the source that `data` names.

    Scenes are rendered here by `processes` processes, which report to `on_progress(done, total)`; their
    options are `data.scenes`, or part of the name: `scenes:sequences=200,difficulty=0.3`. Of other sources
    only a small sample of images is decoded.

    The source's `notices` hold what a user must see. Labels that fit no class are faults of their rows,
    which `trainer.data.faults` reports. Raises `DataError`.
    """
    kind, _, place = data.source.partition(":")
    annotation = Annotation(
        group=data.group,
        label_column=data.label_column,
        class_names=data.class_names,
        label_map=data.label_map,
        classes=data.classes,
    )
    if kind == "scenes":
        from trainer.data.rendered import open_scenes, scene_options

        options = scene_options(place, data.scenes)
        return open_scenes(options, annotation, processes=processes, on_progress=on_progress)
    if not place:
        raise SourceNotFound(f"the data source is {data.source!r}; it must be {SPECS}")
    source = _open_stored(kind, place, annotation, data.image_column)
    notice = unused_group(source)
    return source if notice is None else source.with_notices(notice)


def _open_stored(kind: str, place: str, annotation: Annotation, image_column: str) -> ImageSet:
    if kind == "parquet":
        return open_parquet(place, annotation, image_column=image_column)
    if kind == "folder":
        return open_folder(place, annotation)
    if kind == "hub":
        return open_hub(place, annotation, image_column=image_column)
    raise SourceNotFound(f"the data source is '{kind}:{place}'; it must be {SPECS}")
