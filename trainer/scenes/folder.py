"""Scenes on disk, in the image-folder convention of Hugging Face datasets."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from pathlib import Path

from trainer.scenes.options import CLASS_NAMES, Frame


def write_folder(
    frames: Iterable[Frame], folder: str | Path, on_progress: Callable[[int], None] | None = None
) -> int:
    """Write images/*.jpg, metadata.csv and objects.csv below `folder`; return the number of images.

    metadata.csv has file_name, label, label_name, group, frame and the metadata columns. What is visible
    gives the label away, so it stands apart, in objects.csv (file_name, objects joined by ";").
    `on_progress` is called with the number of images written so far. FileExistsError if `folder` has
    a metadata.csv already.
    """
    root = Path(folder)
    if (root / "metadata.csv").exists():
        raise FileExistsError(f"{root} holds a metadata.csv already; name a new folder or remove it first")
    (root / "images").mkdir(parents=True, exist_ok=True)
    count = 0
    with (
        (root / "metadata.csv").open("w", newline="", encoding="utf-8") as metadata_file,
        (root / "objects.csv").open("w", newline="", encoding="utf-8") as objects_file,
    ):
        metadata, objects = csv.writer(metadata_file), csv.writer(objects_file)
        for frame in frames:
            if count == 0:
                metadata.writerow(["file_name", "label", "label_name", "group", "frame", *frame.metadata])
                objects.writerow(["file_name", "objects"])
            name = f"images/{frame.group}-{frame.frame:02d}.jpg"
            (root / name).write_bytes(frame.jpeg)
            known = [frame.label, CLASS_NAMES[frame.label], frame.group, frame.frame]
            metadata.writerow([name, *known, *frame.metadata.values()])
            objects.writerow([name, ";".join(frame.objects)])
            count += 1
            if on_progress is not None:
                on_progress(count)
    return count
