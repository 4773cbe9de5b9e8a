"""Groups that the names of files show."""

from __future__ import annotations

import pytest

from trainer.data.file_names import in_name_order, name_columns, numbers_frames


@pytest.mark.parametrize(
    ("path", "folder", "prefix"),
    [
        ("cats/drive7_frame12.jpg", "cats", "drive7_frame"),
        ("IMG_0001.jpg", "", "IMG"),
        ("IMG_20210304_120501.jpg", "", "IMG_20210304"),
        ("a/b/holiday (3).png", "a/b", "holiday"),
        ("cat.17.jpg", "", "cat"),
        ("0001.jpg", "", ""),
        ("portrait.jpg", "", "portrait"),
        ("drive7\\0001.jpg", "drive7", ""),
        ("train-0.parquet#12", "", ""),
    ],
)
def test_folder_and_prefix_of_a_name(path: str, folder: str, prefix: str) -> None:
    found = name_columns([path])
    assert (found["folder"][0], found["file_prefix"][0]) == (folder, prefix)


@pytest.mark.parametrize(
    "name", ["frame_0001.jpg", "drive7_frame12.jpg", "a/video3.png", "clip-3_seq_10.jpg"]
)
def test_names_that_number_frames(name: str) -> None:
    assert numbers_frames([name] * 3 + ["portrait.jpg"])
    assert not numbers_frames([name] + ["portrait.jpg"] * 3)


@pytest.mark.parametrize("name", ["IMG_0001.jpg", "cat.12.jpg", "unframed1.jpg", "consequence3.png"])
def test_names_that_merely_count(name: str) -> None:
    assert not numbers_frames([name])


def test_numbers_are_ordered_by_value() -> None:
    paths = ["f10.jpg", "f9.jpg", "f1.jpg", "e.jpg", "10.jpg"]
    assert [paths[row] for row in in_name_order(paths)] == ["10.jpg", "e.jpg", "f1.jpg", "f9.jpg", "f10.jpg"]
