"""The front door to images: one spec, one word and a place, opens any source."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from trainer.data.annotate import Annotation
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

if TYPE_CHECKING:
    from trainer.scenes import SceneOptions

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
    spec: str,
    *,
    group: str | None = None,
    image_column: str = "image",
    label_column: str | None = None,
    class_names: Sequence[str] = (),
    label_map: Mapping[str, int] | None = None,
    classes: int = 2,
    scenes: SceneOptions | None = None,
    processes: int = 2,
    on_progress: Callable[[int, int], None] | None = None,
) -> ImageSource:
    """Open `scenes`, `parquet:PATH`, `folder:PATH` or `hub:OWNER/NAME`.

    Scenes are rendered here, by `processes`, with `on_progress(done, total)`; their options are
    `scenes`, or written into the spec: `scenes:sequences=200,difficulty=0.3`. Of the other sources no
    image is decoded but a small sample.

    `group` names the metadata column whose images are not independent of each other. `label_column`
    None means "label" where there is one, and an unlabelled source otherwise. Whole-number labels must
    lie in 0..classes-1. What a person must see is in the source's `notices`; labels that fit no class
    are faults of their rows, reported by `trainer.data.faults`. Raises `DataError`.
    """
    kind, _, place = spec.partition(":")
    how = Annotation(
        group=group,
        label_column=label_column,
        class_names=tuple(class_names),
        label_map=label_map,
        classes=classes,
    )
    if kind == "scenes":
        from trainer.data.rendered import open_scenes, scene_options

        options = scene_options(place, scenes)
        return open_scenes(options, how, processes=processes, on_progress=on_progress)
    if not place:
        raise SourceNotFound(f"the data source is {spec!r}; it must be {SPECS}")
    source = _open_stored(kind, place, how, image_column)
    notice = unused_group(source)
    return source if notice is None else source.with_notices(notice)


def _open_stored(kind: str, place: str, how: Annotation, image_column: str) -> ImageSet:
    if kind == "parquet":
        return open_parquet(place, how, image_column=image_column)
    if kind == "folder":
        return open_folder(place, how)
    if kind == "hub":
        return open_hub(place, how, image_column=image_column)
    raise SourceNotFound(f"the data source is '{kind}:{place}'; it must be {SPECS}")
