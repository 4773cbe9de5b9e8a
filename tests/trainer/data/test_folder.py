"""Folders of images: classes by sub-folder, metadata files, and what people leave in them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from trainer.data.config import DataConfig
from trainer.data.source import NoImages, SourceNotFound, UnknownColumn, UnreadableSource, open_source

Writer = Callable[[dict[str, bytes | str]], Path]


def test_sub_folders_are_classes_in_sorted_order(write_folder: Writer) -> None:
    root = write_folder({"works/2.png": b"2", "clear/1.png": b"1", "works/t1/3.jpg": b"3"})
    source = open_source(DataConfig(source=f"folder:{root}"))
    assert source.class_names == ("clear", "works")
    assert source.paths == ["clear/1.png", "works/2.png", "works/t1/3.jpg"]
    assert source.labels.tolist() == [0, 1, 1]
    assert source.metadata["folder"].tolist() == ["", "", "t1"]
    assert source.read(2) == b"3"


def test_numbered_sub_folders_keep_their_own_numbers_as_names(write_folder: Writer) -> None:
    source = open_source(DataConfig(source=f"folder:{write_folder({'1/a.png': b'a', '2/b.png': b'b'})}"))
    assert source.class_names == ("1", "2")
    assert source.labels.tolist() == [0, 1]


def test_class_names_choose_the_order(write_folder: Writer) -> None:
    root = write_folder({"works/2.png": b"2", "clear/1.png": b"1"})
    assert open_source(
        DataConfig(source=f"folder:{root}", class_names=("works", "clear"))
    ).labels.tolist() == [1, 0]


def test_other_files_are_ignored_and_counted(write_folder: Writer) -> None:
    root = write_folder({"a/1.png": b"1", "b/2.png": b"2", "a/notes.txt": "x", ".hidden/3.png": b"3"})
    source = open_source(DataConfig(source=f"folder:{root}"))
    assert len(source) == 2
    assert "ignored, since they are no images: 1 files, the first a/notes.txt" in source.notices[0].message


def test_loose_images_are_unlabelled(write_folder: Writer) -> None:
    source = open_source(DataConfig(source=f"folder:{write_folder({'1.png': b'1', '2.webp': b'2'})}"))
    assert not source.labelled
    assert source.labels.tolist() == [-1, -1]


def test_metadata_csv_gives_labels_groups_and_columns(write_folder: Writer) -> None:
    lines = ["file_name,label,drive,hour,code", "x/1.png,works,d1,7,001", "x/2.png,clear,d2,,010"]
    root = write_folder({"metadata.csv": "\ufeff" + "\n".join(lines), "x/1.png": b"1", "x/2.png": b"2"})
    source = open_source(DataConfig(source=f"folder:{root}", group="drive"))
    assert source.class_names == ("clear", "works")
    assert source.labels.tolist() == [1, 0]
    assert source.groups is not None
    assert source.groups.tolist() == ["d1", "d2"]
    np.testing.assert_array_equal(source.metadata["hour"], [7, np.nan])
    assert source.metadata["code"].tolist() == ["001", "010"]
    assert source.read(0) == b"1"


def test_metadata_jsonl_is_flattened(write_folder: Writer) -> None:
    lines = (
        '{"file_name": "1.png", "label": true, "cam": {"id": 3}}\n\n{"file_name": "2.png", "label": false}\n'
    )
    source = open_source(
        DataConfig(source=f"folder:{write_folder({'metadata.jsonl': lines, '1.png': b'1', '2.png': b'2'})}")
    )
    assert source.labels.tolist() == [1, 0]
    np.testing.assert_array_equal(source.metadata["cam.id"], [3, np.nan])


def test_a_listed_file_that_is_missing_is_reported_when_read(write_folder: Writer) -> None:
    source = open_source(
        DataConfig(
            source=f"folder:{write_folder({'metadata.csv': 'file_name,label' + chr(10) + 'no.png,1'})}"
        )
    )
    with pytest.raises(UnreadableSource, match=r"no\.png cannot be read: No such file"):
        source.read(0)


@pytest.mark.parametrize(
    ("files", "error", "message"),
    [
        ({}, NoImages, "holds no image .* and no other file"),
        ({"a/readme.txt": "x"}, NoImages, r"other files in it: 1, the first a/readme\.txt"),
        ({"train/a/1.png": b"1", "test/a/2.png": b"2"}, UnreadableSource, "are splits .* folder:.*/test"),
        (
            {"metadata.csv": "file,label\n1.png,0"},
            UnknownColumn,
            "no column 'file_name'; the columns are file",
        ),
        ({"metadata.csv": "file_name,label\n1.png,0,7"}, UnreadableSource, "more cells than columns"),
        ({"metadata.csv": "file_name,label\n"}, NoImages, "lists no image"),
        ({"metadata.csv": b"file_name\n\xff\xfe"}, UnreadableSource, "cannot be read"),
        ({"metadata.jsonl": "{1}"}, UnreadableSource, "line 1 of .* is not JSON"),
        ({"metadata.jsonl": "[1]"}, UnreadableSource, "line 1 of .* is no JSON object"),
        ({"metadata.csv": "file_name\n", "metadata.jsonl": "{}"}, UnreadableSource, "keep one"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_sentence(
    write_folder: Writer, files: dict[str, bytes | str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        open_source(DataConfig(source=f"folder:{write_folder(files)}"))


def test_a_missing_folder_and_a_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"")
    with pytest.raises(SourceNotFound, match="there is no folder"):
        open_source(DataConfig(source=f"folder:{tmp_path}/none"))
    with pytest.raises(SourceNotFound, match="use parquet:"):
        open_source(DataConfig(source=f"folder:{tmp_path}/x.parquet"))


@pytest.mark.parametrize("spec", ["", "photos", "zip:a.zip", "parquet:", "hub:roadwork"])
def test_an_unknown_spec_lists_the_known_ones(spec: str) -> None:
    with pytest.raises(SourceNotFound, match="hub:OWNER/NAME"):
        open_source(DataConfig(source=spec))
