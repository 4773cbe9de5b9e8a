"""Any source as a folder of images, and back."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from trainer.data.config import DataConfig
from trainer.data.export import write_folder as export
from trainer.data.source import open_source
from trainer.errors import DataError
from trainer.run.disk import DiskError
from trainer.scenes import SceneOptions

Writer = Callable[..., Path]


def _nothing(_: int) -> None:
    return None


def _open(path: Path, **options: object) -> object:
    return open_source(DataConfig(source=f"folder:{path}", **options))


def test_scenes_come_back_from_their_folder(tmp_path: Path) -> None:
    scenes = open_source(
        DataConfig(source="scenes", scenes=SceneOptions(sequences=6, frames=2, size=64)), processes=1
    )
    told: list[int] = []
    written = export(scenes, tmp_path / "photos", told.append)
    assert (written.images, written.left_out, written.order_kept) == (12, (), True)
    assert sum(told) == 12
    back = _open(tmp_path / "photos", group="sequence")
    assert back.class_names == scenes.class_names
    assert back.labels.tolist() == scenes.labels.tolist()
    assert back.groups.tolist() == scenes.groups.tolist()
    assert back.metadata["weather"].tolist() == scenes.metadata["weather"].tolist()
    assert [back.read(row) for row in range(12)] == [scenes.read(row) for row in range(12)]


def test_there_is_a_sub_folder_per_class(tmp_path: Path, write_parquet: Writer) -> None:
    source = open_source(DataConfig(source=f"parquet:{write_parquet(n=6, label=['cat', 'dog'] * 3)}"))
    export(source, tmp_path / "out", _nothing)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["cat", "dog", "metadata.csv"]
    (tmp_path / "out" / "metadata.csv").unlink()
    assert _open(tmp_path / "out").class_names == ("cat", "dog")


def test_files_of_one_name_stay_different_files(tmp_path: Path, write_folder: Writer) -> None:
    root = write_folder({"a/x/1.png": b"1", "a/x-1.png": b"2", "a/X/1.PNG": b"3", "b/x/1.png": b"4"})
    source = open_source(DataConfig(source=f"folder:{root}"))
    export(source, tmp_path / "out", _nothing)
    back = _open(tmp_path / "out")
    assert [back.read(row) for row in range(4)] == [source.read(row) for row in range(4)]
    assert len({path.name.casefold() for path in (tmp_path / "out" / "a").iterdir()}) == 3


def test_a_class_of_any_name_is_a_plain_folder_and_keeps_its_name(
    tmp_path: Path, write_parquet: Writer
) -> None:
    names = ["../up", "a/b", "..", "a/b", "../up", ".."]
    source = open_source(DataConfig(source=f"parquet:{write_parquet(n=6, label=names)}"))
    export(source, tmp_path / "in" / "out", _nothing)
    assert [path.name for path in tmp_path.iterdir() if path.name != "set.parquet"] == ["in"]
    assert _open(tmp_path / "in" / "out").class_names == ("..", "../up", "a/b")


def test_another_order_of_the_classes_is_reported(tmp_path: Path, write_parquet: Writer) -> None:
    path = write_parquet(n=4, label=["works", "clear"] * 2)
    source = open_source(DataConfig(source=f"parquet:{path}", class_names=("works", "clear")))
    assert not export(source, tmp_path / "out", _nothing).order_kept


def test_an_unlabelled_source_stays_unlabelled(tmp_path: Path, write_parquet: Writer) -> None:
    source = open_source(DataConfig(source=f"parquet:{write_parquet(n=3)}"))
    export(source, tmp_path / "out", _nothing)
    assert not _open(tmp_path / "out").labelled


def test_what_cannot_be_read_is_left_out_and_named(tmp_path: Path, write_folder: Writer) -> None:
    root = write_folder(
        {"metadata.csv": "file_name,label\n1.png,0\ngone.png,1\n3.png,1", "1.png": b"1", "3.png": b"3"}
    )
    written = export(open_source(DataConfig(source=f"folder:{root}")), tmp_path / "out", _nothing)
    assert written.images == 2
    assert "gone.png" in written.left_out[0]
    with (tmp_path / "out" / "metadata.csv").open(newline="") as stream:
        assert [row["label"] for row in csv.DictReader(stream)] == ["0", "1"]


@pytest.mark.parametrize("inside", ["metadata.csv", "other.txt"])
def test_a_folder_in_use_is_refused_and_left_alone(
    tmp_path: Path, write_parquet: Writer, inside: str
) -> None:
    source = open_source(DataConfig(source=f"parquet:{write_parquet(n=2)}"))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / inside).write_text("mine")
    with pytest.raises(DataError, match="not empty"):
        export(source, tmp_path / "out", _nothing)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [inside]


def test_an_interrupted_export_leaves_nothing(tmp_path: Path, write_parquet: Writer) -> None:
    source = open_source(DataConfig(source=f"parquet:{write_parquet(n=4)}"))

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(source, tmp_path / "out", stop)
    assert [path.name for path in tmp_path.iterdir()] == ["set.parquet"]


def test_a_path_through_a_file_is_a_sentence(tmp_path: Path, write_parquet: Writer) -> None:
    source = open_source(DataConfig(source=f"parquet:{write_parquet(n=2)}"))
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskError, match="cannot be written"):
        export(source, tmp_path / "file" / "out", _nothing)


def test_metadata_keeps_numbers_and_gaps(tmp_path: Path, write_parquet: Writer) -> None:
    path = write_parquet(n=3, label=[0, 1, 0], speed=[1.5, None, 2.0], drive=["007", "7", ""])
    export(open_source(DataConfig(source=f"parquet:{path}")), tmp_path / "out", _nothing)
    back = _open(tmp_path / "out")
    np.testing.assert_array_equal(back.metadata["speed"], [1.5, np.nan, 2.0])
    assert back.metadata["drive"].tolist() == ["007", "7", ""]
