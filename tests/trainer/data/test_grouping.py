"""The warning that images come in series although no group is used."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainer.data.config import DataConfig
from trainer.data.grouping import near_copies_in
from trainer.data.source import open_source

Writer = Callable[..., Path]


def codes(spec: str, group: str | None = None) -> list[str]:
    return [notice.code for notice in open_source(DataConfig(source=spec, group=group)).notices]


@pytest.mark.parametrize("name", ["track", "seq_id", "Patient-ID", "video_info.vid", "burst"])
def test_a_column_with_the_name_of_a_series_warns_unless_used(write_parquet: Writer, name: str) -> None:
    path = write_parquet(label=[0, 1] * 12, **{name: [f"s{row // 4}" for row in range(24)]})
    assert codes(f"parquet:{path}") == ["group-unused"]
    assert codes(f"parquet:{path}", name) == []


def test_columns_that_merely_repeat_do_not_warn(write_parquet: Writer) -> None:
    path = write_parquet(label=[0, 1] * 12, hour=[row // 4 for row in range(24)], camera=["a", "b"] * 12)
    assert codes(f"parquet:{path}") == []


def test_a_series_name_that_never_repeats_does_not_warn(write_parquet: Writer) -> None:
    assert codes(f"parquet:{write_parquet(label=[0, 1] * 12, track=list(range(24)))}") == []


@pytest.mark.parametrize("column", [[], ["strip"]])
def test_neighbours_that_look_alike_warn_and_propose_the_column_that_fits(
    write_parquet: Writer, encode: Callable[..., bytes], column: Sequence[str]
) -> None:
    images = [encode(row // 5) for row in range(200)]
    columns = {name: [f"x{row // 5}" for row in range(200)] for name in column}
    source = open_source(
        DataConfig(source=f"parquet:{write_parquet(images=images, label=[0, 1] * 100, **columns)}")
    )
    (notice,) = source.notices
    assert notice.code == "group-unknown"
    assert ("--group strip" in notice.message) == bool(column)


def test_independent_pictures_do_not_warn(write_parquet: Writer) -> None:
    assert codes(f"parquet:{write_parquet(n=200, label=[0, 1] * 100)}") == []


def test_the_real_sets(road_signs: Path, cats_and_dogs: Path) -> None:
    signs = open_source(DataConfig(source=f"parquet:{road_signs}"))
    assert [notice.code for notice in signs.notices] == ["group-unused"]
    assert "Use --group track" in signs.notices[0].message
    assert codes(f"parquet:{cats_and_dogs}") == []


def test_near_copies_among_the_calibration_images_are_reported(
    write_parquet: Callable[..., Path], encode: Callable[..., bytes]
) -> None:
    images = [encode(row) for row in range(24)]
    source = open_source(DataConfig(source=f"parquet:{write_parquet(images=images, label=[0, 1] * 12)}"))
    pixels = np.stack([np.asarray(Image.open(io.BytesIO(image)).resize((32, 32))) for image in images])
    rows = np.arange(4, 20)
    assert near_copies_in(source, rows, pixels) is None
    pixels[7] = pixels[15] // 4 * 3  # the same, darker
    pixels[2] = pixels[9]  # not among the rows
    notice = near_copies_in(source, rows, pixels)
    assert notice is not None
    assert notice.level == "warning"
    assert notice.message.startswith("2 of 16 calibration images have a near-copy among them (for example")
    assert "img/007.png ~ img/015.png" in notice.message
    path = write_parquet("g.parquet", images=images, label=[0, 1] * 12, track=list(range(24)))
    grouped = open_source(DataConfig(source=f"parquet:{path}", group="track"))
    assert near_copies_in(grouped, rows, pixels) is None
