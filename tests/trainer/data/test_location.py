"""What the name of a source means, with a scheme and without one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from trainer.data.config import DataConfig
from trainer.data.images import AmbiguousSource, SourceNotFound
from trainer.data.location import locate
from trainer.data.source import open_source

Writer = Callable[..., Path]


@pytest.fixture
def here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_parquet: Writer, write_folder: Writer
) -> Path:
    """A working folder with photographs, tables and things that are neither."""
    write_folder({"cats/1.jpg": b"\xff\xd8\xff", "dogs/2.jpg": b"\xff\xd8\xff"})
    write_parquet("table.parquet", label=[0, 1] * 12)
    write_parquet("shards/train-0.parquet", label=[0, 1] * 12)
    write_parquet("shards/train-1.parquet", label=[0, 1] * 12)
    write_parquet("noname", label=[0, 1] * 12)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "scheme"),
    [
        ("pictures", "folder"),
        ("./pictures", "folder"),
        ("pictures/", "folder"),
        ("folder:pictures", "folder"),
        ("table.parquet", "parquet"),
        ("./table.parquet", "parquet"),
        ("noname", "parquet"),
        ("shards", "parquet"),
        ("shards/train-*.parquet", "parquet"),
        ("*.parquet", "parquet"),
        ("parquet:nowhere", "parquet"),
        ("hub:owner/name", "hub"),
        ("scenes", "scenes"),
        ("scenes:sequences=3", "scenes"),
    ],
)
def test_a_name_means_what_lies_there(here: Path, name: str, scheme: str) -> None:
    found = locate(name)
    assert found.scheme == scheme
    assert found.place == name.removeprefix(f"{scheme}:").removeprefix("scenes" if name == "scenes" else "")


def test_a_folder_without_a_scheme_is_opened_wherever_a_source_is(here: Path) -> None:
    assert open_source(DataConfig(source="pictures")).name == "folder:pictures"
    assert open_source(DataConfig(source=str(here / "pictures"))).class_names == ("cats", "dogs")
    assert len(open_source(DataConfig(source="table.parquet"))) == 24
    assert (
        len(open_source(DataConfig(source="shards")))
        == len(open_source(DataConfig(source="sh*/*.parquet")))
        == 48
    )


@pytest.mark.parametrize(
    "name",
    ["C:\\photos", "a:b", "s3:mine", "name with: colon"],
)
def test_a_path_with_a_colon_is_a_path_if_it_exists(here: Path, name: str) -> None:
    (here / name).mkdir()
    (here / name / "1.jpg").write_bytes(b"\xff\xd8\xff")
    assert locate(name).scheme == "folder"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("folders:photos", "write folder:photos"),
        ("Folder:photos", "write folder:photos"),
        ("file:photos", "write folder:photos"),
        ("file:", "write folder:PATH"),
        ("file:///data/photos", "write folder:/data/photos"),
        ("file:table.parquet", "write parquet:table.parquet"),
        ("parqet:a.parquet", "write parquet:a.parquet"),
        ("hf:owner/name", "write hub:owner/name"),
        ("scene:frames=3", "write scenes:frames=3"),
        ("s3://bucket/photos", "s3: is no scheme that is read here"),
        ("s3:photos", "s3: is no scheme that is read here"),
        ("https://example.org/photos", "https: is no scheme that is read here"),
        ("C:\\photos", "on this machine, which is no Windows"),
        ("C:/photos", "on this machine, which is no Windows"),
        ("owner/name", "write hub:owner/name"),
        ("scene", "the generator is scenes"),
        ("photos", "there is no folder or file photos"),
        ("none*.parquet", "nothing matches none*.parquet"),
        ("pictures/*", "which is no parquet file"),
        ("pictures/cats/1.jpg", "name its folder: folder:pictures/cats"),
        ("", "must be"),
        ("folder:", "must be"),
        ("a\0b", "there is no folder or file"),
        ("x" * 5000, "there is no folder or file"),
    ],
)
def test_a_name_that_means_nothing_is_one_sentence_with_a_way_out(here: Path, name: str, says: str) -> None:
    with pytest.raises(SourceNotFound) as refused:
        locate(name)
    message = str(refused.value)
    assert says in message
    assert "\n" not in message
    assert any(spelling in message for spelling in ("folder:", "parquet:", "hub:", "scenes"))


def test_what_could_mean_two_things_is_refused_with_both_spellings(here: Path, write_parquet: Writer) -> None:
    write_parquet("pictures/extra.parquet", label=[0, 1] * 12)
    with pytest.raises(AmbiguousSource) as refused:
        locate("pictures")
    assert "folder:pictures" in str(refused.value)
    assert "parquet:pictures" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert locate("folder:pictures").scheme == "folder"
    assert locate("parquet:pictures").scheme == "parquet"


def test_a_list_of_images_beside_parquet_files_is_ambiguous_too(here: Path, write_parquet: Writer) -> None:
    write_parquet("listed/extra.parquet", label=[0, 1] * 12)
    (here / "listed" / "Metadata.csv").write_text("file_name,label\n1.jpg,0\n")
    with pytest.raises(AmbiguousSource):
        locate("listed")


def test_a_path_that_the_hub_may_have_too_is_read_and_told(here: Path) -> None:
    (here / "owner").mkdir()
    (here / "pictures").rename(here / "owner" / "name")
    found = locate("owner/name")
    assert found.scheme == "folder"
    assert found.notice is not None
    assert "hub:owner/name" in found.notice.message
    assert found.notice.level == "info"
    assert locate("./owner/name").notice is None


def test_a_folder_called_scenes_does_not_hide_the_generator(here: Path) -> None:
    assert locate("scenes").notice is None
    (here / "pictures").rename(here / "scenes")
    assert locate("scenes").scheme == "scenes"
    assert "./scenes" in locate("scenes").notice.message  # type: ignore[union-attr]
    assert locate("./scenes").scheme == "folder"
