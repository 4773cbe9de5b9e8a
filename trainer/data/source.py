"""Any source of images, opened by its name: `scenes`, `folder:PATH`, `hub:OWNER/NAME`, a plain path, ..."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from trainer.data.annotate import Annotation
from trainer.data.config import DataConfig
from trainer.data.folder import open_folder
from trainer.data.grouping import unnamed_groups
from trainer.data.hub import open_hub
from trainer.data.images import (
    UNLABELLED,
    AmbiguousSource,
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
from trainer.data.location import Location, locate
from trainer.data.parquet import open_parquet
from trainer.errors import DataError

__all__ = [
    "UNLABELLED",
    "AmbiguousSource",
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
    location = locate(data.source)
    annotation = Annotation(
        group=data.group,
        label_column=data.label_column,
        class_names=data.class_names,
        label_map=data.label_map,
        classes=data.classes,
    )
    if data.splits == "folders" and location.scheme != "folder":
        raise SourceNotFound(
            f"splits are 'folders', but the data source is {data.source!r}; only folder:PATH has folders "
            "that name splits. Leave the option out, so that demur draws the splits itself"
        )
    if location.scheme == "scenes":
        from trainer.data.rendered import open_scenes, scene_options

        options = scene_options(location.place, data.scenes)
        source = open_scenes(options, annotation, processes=processes, on_progress=on_progress)
        return source.with_notices(*_found(location.notice))
    source = _open_stored(location, annotation, data)
    return source.with_notices(*_found(location.notice, unnamed_groups(source, data.group)))


def _open_stored(location: Location, annotation: Annotation, data: DataConfig) -> ImageSet:
    if location.scheme == "parquet":
        return open_parquet(location.place, annotation, image_column=data.image_column)
    if location.scheme == "folder":
        return open_folder(location.place, annotation, by_split=data.splits == "folders")
    return open_hub(location.place, annotation, image_column=data.image_column)


def _found(*notices: Notice | None) -> Iterator[Notice]:
    return (notice for notice in notices if notice is not None)
