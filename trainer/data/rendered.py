"""Synthetic street scenes as an image source, rendered into memory on opening."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
from pydantic import ValidationError

from trainer.data.annotate import Annotation, annotate
from trainer.data.images import Column, ImageSet, SourceNotFound
from trainer.scenes import CLASS_NAMES, Frame, SceneOptions, render

GROUP_COLUMN = "sequence"


class FrameReader:
    """JPEG bytes of rendered frames."""

    def __init__(self, frames: Sequence[Frame]) -> None:
        self._frames = frames

    def read(self, row: int) -> bytes:
        return self._frames[row].jpeg

    def digest(self) -> str:
        whole = hashlib.sha256()
        for frame in self._frames:
            whole.update(hashlib.sha256(frame.jpeg).digest())
        return whole.hexdigest()


def scene_options(text: str, base: SceneOptions | None = None) -> SceneOptions:
    """`base` with options such as `sequences=200,frames=3,difficulty=0.3` on top; may be empty."""
    pairs = [item.partition("=") for item in text.split(",") if item.strip()]
    written = {name.strip(): value.strip() for name, _, value in pairs}
    try:
        return SceneOptions.model_validate((base.model_dump() if base else {}) | written)
    except ValidationError as error:
        faults = "; ".join(f"{fault['loc'][0]}: {fault['msg']}" for fault in error.errors())
        known = ", ".join(SceneOptions.model_fields)
        raise SourceNotFound(
            f"scenes:{text} cannot be rendered ({faults}); the options are {known}"
        ) from error


def open_scenes(
    options: SceneOptions,
    annotation: Annotation,
    *,
    processes: int = 2,
    on_progress: Callable[[int, int], None] | None = None,
) -> ImageSet:
    """Render the scenes; grouped by sequence if a sequence has several frames."""
    frames = render(options, processes, on_progress)
    columns: dict[str, Column] = {
        "label": np.array([frame.label for frame in frames], dtype=np.int64),
        GROUP_COLUMN: np.array([frame.group for frame in frames], dtype=np.str_),
        "frame": np.array([frame.frame for frame in frames], dtype=np.int64),
    }
    for name in frames[0].metadata:
        columns[name] = np.array([frame.metadata[name] for frame in frames])
    grouped = GROUP_COLUMN if options.frames > 1 else None
    annotation = Annotation(
        group=annotation.group or grouped, class_names=CLASS_NAMES, notices=annotation.notices
    )
    paths = [f"{frame.group}/{frame.frame:03d}.jpg" for frame in frames]
    return annotate("scenes", FrameReader(frames), columns, paths, annotation)
