"""Folders as they are found: links, files without a suffix, names that are no UTF-8, splits."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from trainer.data.config import DataConfig
from trainer.data.image_files import find_files, printable
from trainer.data.images import ImageSource
from trainer.data.source import UnreadableSource, open_source

Writer = Callable[[dict[str, bytes | str]], Path]


def _open(root: Path) -> ImageSource:
    return open_source(DataConfig(source=f"folder:{root}"))


def test_links_to_folders_are_followed(write_folder: Writer, tmp_path: Path) -> None:
    root = write_folder({"a/1.png": b"1", "b/2.png": b"2"})
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    (tmp_path / "elsewhere" / "deep" / "3.png").write_bytes(b"3")
    (root / "c").symlink_to(tmp_path / "elsewhere")
    (root / "a" / "more").symlink_to(tmp_path / "elsewhere" / "deep")
    source = _open(root)
    assert source.class_names == ("a", "b", "c")
    assert source.paths == ["a/1.png", "a/more/3.png", "b/2.png", "c/deep/3.png"]
    assert source.read(3) == b"3"


def test_a_loop_of_links_ends_and_is_said(write_folder: Writer) -> None:
    root = write_folder({"a/1.png": b"1", "b/2.png": b"2"})
    (root / "a" / "up").symlink_to(root)
    (root / "b" / "itself").symlink_to("itself")
    (root / "b" / "gone.png").symlink_to("nothing.png")
    source = _open(root)
    assert len(source) == 2
    (notice,) = [notice for notice in source.notices if notice.code == "links-ignored"]
    assert "3 links, the first a/up" in notice.message


def test_content_decides_where_the_suffix_does_not(
    write_folder: Writer, encode: Callable[..., bytes]
) -> None:
    files = {"jpeg": "a/photo", "png": "a/photo.png_large", "webp": "b/photo.JFIF"}
    root = write_folder({name: encode(1, kind=kind.upper()) for kind, name in files.items()})
    (root / "b" / "list.txt").write_text("no image")
    found = find_files(root)
    assert [path.as_posix() for path in found.images] == ["a/photo", "a/photo.png_large", "b/photo.JFIF"]
    assert [path.as_posix() for path in found.others] == ["b/list.txt"]


def test_names_that_are_no_utf_8_are_carried_as_text(write_folder: Writer) -> None:
    root = write_folder({"a/1.png": b"1", "b/2.png": b"2"})
    os.rename(root / "a" / "1.png", os.fsencode(root / "a") + b"/caf\xe9.png")
    os.rename(root / "b", os.fsencode(root) + b"/gr\xfcn")
    source = _open(root)
    assert source.paths == ["a/caf\\xe9.png", "gr\\xfcn/2.png"]
    assert source.class_names == ("a", "gr\\xfcn")
    assert (source.read(0), source.read(1)) == (b"1", b"2")
    assert source.digest()
    assert json.dumps(source.paths).encode()
    assert printable("größer") == "größer"


@pytest.mark.parametrize(
    "names",
    [
        ("Train", "Test"),
        ("TRAIN", "VAL"),
        ("train", "dev"),
        ("training", "evaluation"),
        ("training_set", "test_set"),
        ("Train Images", "Validation Images"),
        ("train-data", "eval"),
        ("train", "test", "extra"),
        ("Testing",),
    ],
)
def test_splits_in_any_spelling_are_no_classes(write_folder: Writer, names: tuple[str, ...]) -> None:
    root = write_folder({f"{name}/cat/1.png": name for name in names})
    with pytest.raises(UnreadableSource, match=r"are splits .*, not classes: name one, for example folder:"):
        _open(root)


@pytest.mark.parametrize("names", [("valid", "damaged"), ("test", "control"), ("trained", "untrained")])
def test_classes_that_sound_like_one_split_are_classes(write_folder: Writer, names: tuple[str, ...]) -> None:
    assert set(_open(write_folder({f"{name}/1.png": name for name in names})).class_names) == set(names)


def test_numbered_folders_keep_numeric_order(write_folder: Writer) -> None:
    source = _open(write_folder({f"{number}/1.png": str(number) for number in range(12)}))
    assert source.class_names == tuple(str(number) for number in range(12))
    assert dict(zip(source.paths, source.labels.tolist(), strict=True))["10/1.png"] == 10
