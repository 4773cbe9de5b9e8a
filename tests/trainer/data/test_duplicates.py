"""Copies and near-copies, found across groups and nowhere else."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

from trainer.data.config import DataConfig
from trainer.data.duplicates import exact_copies, fingerprints, near_copies
from trainer.data.source import open_source

Writer = Callable[..., Path]


def changed(encoded: bytes) -> bytes:
    """The same picture, brighter, smaller and as a JPEG."""
    picture = Image.open(io.BytesIO(encoded)).convert("RGB")
    stream = io.BytesIO()
    ImageEnhance.Brightness(picture).enhance(0.8).resize((70, 58)).save(stream, "JPEG", quality=80)
    return stream.getvalue()


def test_copies_are_found_by_bytes_and_near_copies_by_looks(
    write_parquet: Writer, encode: Callable[..., bytes]
) -> None:
    images = [encode(row, (96, 80)) for row in range(40)]
    images[11], images[12], images[30] = images[3], images[3], changed(images[20])
    flat = io.BytesIO()
    Image.new("RGB", (9, 9), "grey").save(flat, "PNG")
    images[38], images[39] = flat.getvalue(), b"no image"
    prints = fingerprints(open_source(DataConfig(source=f"parquet:{write_parquet(images=images)}")))
    assert [rows.tolist() for rows in exact_copies(prints.content)] == [[3, 11, 12]]
    assert list(prints.faults) == [39]
    alone = np.arange(40)
    assert near_copies(prints, alone).tolist() == [[3, 11], [3, 12], [11, 12], [20, 30]]
    one_group = np.where(np.isin(alone, [3, 11, 20, 30]), 0, alone)
    assert near_copies(prints, one_group).tolist() == [[3, 12], [11, 12]]


def test_different_pictures_are_not_taken_for_copies(
    write_parquet: Writer, encode: Callable[..., bytes]
) -> None:
    source = open_source(
        DataConfig(source=f"parquet:{write_parquet(images=[encode(row) for row in range(600)])}")
    )
    prints = fingerprints(source)
    assert exact_copies(prints.content) == []
    assert near_copies(prints, np.arange(600)).shape == (0, 2)


def test_the_cats_and_dogs_hold_the_known_handful(cats_and_dogs: Path) -> None:
    whole = open_source(DataConfig(source=f"parquet:{cats_and_dogs}"))
    known = ("cat.12408.jpg", "cat.2339.jpg", "dog.2027.jpg", "dog.3082.jpg")
    rows = [row for row, path in enumerate(whole.paths) if path in known or row % 20 == 0]
    source = whole.take(np.array(rows))
    prints = fingerprints(source)
    copies = [tuple(source.paths[row] for row in rows) for rows in exact_copies(prints.content)]
    assert copies == [("cat.12408.jpg", "cat.2339.jpg"), ("dog.2027.jpg", "dog.3082.jpg")]
    assert len(near_copies(prints, np.arange(len(source)))) == 2
