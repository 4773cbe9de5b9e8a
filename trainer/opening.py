"""Open the images that a configuration names, with everything that a person must see told."""

from __future__ import annotations

from trainer.config import DataConfig
from trainer.data.images import ImageSource
from trainer.data.source import open_source
from trainer.progress import RunConsole


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
