"""The warning that images come in series although no group is used."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainer.data.config import DataConfig
from trainer.data.grouping import near_copies_in, open_signs, unnamed_groups
from trainer.data.source import open_source

Writer = Callable[..., Path]


def codes(spec: str, group: str | None = None) -> list[str]:
    return [notice.code for notice in open_source(DataConfig(source=spec, group=group)).notices]


@pytest.mark.parametrize("name", ["track", "seq_id", "Patient-ID", "video_info.vid", "burst"])
def test_a_column_with_the_name_of_a_series_warns_unless_used(write_parquet: Writer, name: str) -> None:
    path = write_parquet(label=[0, 1] * 12, **{name: [f"s{row // 4}" for row in range(24)]})
    assert codes(f"parquet:{path}") == ["group-unused"]
    assert codes(f"parquet:{path}", name) == []


def test_any_column_that_repeats_is_a_question_until_it_is_answered(write_parquet: Writer) -> None:
    path = write_parquet(label=[0, 1] * 12, hour=[row // 4 for row in range(24)], camera=["a", "b"] * 12)
    (notice,) = open_source(DataConfig(source=f"parquet:{path}")).notices
    assert notice.code == "group-unused"
    assert "hour: 6 values, 4 images each" in notice.message
    assert "--group hour" in notice.message
    assert "--group none" in notice.message
    assert "camera" not in notice.message, "two values cannot be split into four"
    assert "one hour (6 values, 4 images each)" in notice.doubt
    assert codes(f"parquet:{path}", "hour") == []
    answered = open_source(DataConfig(source=f"parquet:{path}", group="none"))
    assert answered.groups is None
    assert [(found.code, found.level, found.doubt) for found in answered.notices] == [
        ("group-none", "info", "")
    ]


def test_many_questions_are_one_notice(write_parquet: Writer) -> None:
    columns = {f"c{k}": [f"{(row * (k + 1)) // 4 % 7}" for row in range(24)] for k in range(5)}
    (notice,) = open_source(
        DataConfig(source=f"parquet:{write_parquet(label=[0, 1] * 12, **columns)}")
    ).notices
    assert notice.message.count("use --group c") == 3
    assert "Further columns whose values repeat: " in notice.message


def numbered(write_folder: Writer, encode: Callable[..., bytes], name: Callable[[int], str]) -> Path:
    return write_folder({f"{'ab'[row % 2]}/{name(row)}": encode(row) for row in range(40)})


def test_prefixes_of_file_names_are_a_question_and_can_be_the_group(
    write_folder: Writer, encode: Callable[..., bytes]
) -> None:
    root = numbered(write_folder, encode, lambda row: f"drive{row // 8}_frame{row:03d}.png")
    (notice,) = open_source(DataConfig(source=f"folder:{root}")).notices
    assert "file_prefix: 5 values, 8 images each" in notice.message
    assert "number the frames of a recording" in notice.message
    source = open_source(DataConfig(source=f"folder:{root}", group="file_prefix"))
    assert source.groups is not None
    assert sorted(set(source.groups.tolist())) == [f"drive{k}_frame" for k in range(5)]
    assert source.notices == ()


def test_folders_below_the_classes_and_in_listed_names_are_a_question(
    write_folder: Writer, encode: Callable[..., bytes]
) -> None:
    root = numbered(write_folder, encode, lambda row: f"trip{row // 8}/{row:03d}.png")
    (notice,) = open_source(DataConfig(source=f"folder:{root}")).notices
    assert "folder: 5 values, 8 images each" in notice.message
    root = write_folder({f"trip{row // 4}/{row:03d}.png": encode(row) for row in range(40)}, "listed")
    listed = [f"trip{row // 4}/{row:03d}.png,{row % 2}" for row in range(40)]
    (root / "metadata.csv").write_text("\n".join(["file_name,label", *listed]))
    (notice,) = open_source(DataConfig(source=f"folder:{root}")).notices
    assert "folder: 10 values, 4 images each" in notice.message
    assert open_source(DataConfig(source=f"folder:{root}", group="folder")).groups is not None


def test_numbered_photographs_of_no_series_are_no_question(
    write_folder: Writer, encode: Callable[..., bytes]
) -> None:
    root = numbered(write_folder, encode, lambda row: f"IMG_{row:04d}.png")
    assert codes(f"folder:{root}") == []
    frames = numbered(write_folder, encode, lambda row: f"frame_{row:04d}.png")
    for image in frames.rglob("IMG_*.png"):
        image.unlink()
    assert codes(f"folder:{frames}") == ["group-unknown"]


def test_series_are_seen_in_the_order_of_the_names(
    write_parquet: Writer, encode: Callable[..., bytes]
) -> None:
    """Rows in any order: the pictures are neighbours by the numbers in their names."""
    order = np.random.default_rng(0).permutation(200)
    path = write_parquet(images=[encode(row // 5) for row in range(200)], label=[0, 1] * 100)
    source = open_source(DataConfig(source=f"parquet:{path}", group="none")).take(order)
    notice = unnamed_groups(source, None)
    assert notice is not None
    assert notice.code == "group-unknown"


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
    assert notice.code == ("group-unused" if column else "group-unknown")
    assert "look alike" in notice.message
    assert [("look alike" in sign) for sign in open_signs(source)] == [True] * len(column), "beside questions"
    assert ("--group strip" in notice.message) == bool(column)


def test_independent_pictures_do_not_warn(write_parquet: Writer) -> None:
    assert codes(f"parquet:{write_parquet(n=200, label=[0, 1] * 100)}") == []


def test_the_real_sets(road_signs: Path, cats_and_dogs: Path) -> None:
    signs = open_source(DataConfig(source=f"parquet:{road_signs}"))
    assert [notice.code for notice in signs.notices] == ["group-unused"]
    assert "track: 1,307 values" in signs.notices[0].message
    assert "use --group track" in signs.notices[0].message
    assert "class_id" not in signs.notices[0].message, "it determines the label"
    assert "frame:" not in signs.notices[0].message, "it counts"
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
