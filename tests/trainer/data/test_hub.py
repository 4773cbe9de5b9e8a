"""Data sets on the hub, against a small server that speaks the part of its interface that we use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fakes.hub import small_hub

from trainer.data.config import DataConfig
from trainer.data.hub import shards_of_split
from trainer.data.source import HubUnreachable, NoImages, SourceNotFound, open_source


@pytest.fixture
def hub(
    write_parquet: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[str]]:
    """Serves someone/roadwork; yields the paths that were asked for."""
    names = (
        "data/train-00000-of-00002.parquet",
        "data/train-00001-of-00002.parquet",
        "data/test-00000.parquet",
    )
    files = {
        name: write_parquet(name, n=index + 1, label=[index % 2] * (index + 1)).read_bytes()
        for index, name in enumerate(names)
    }
    files["README.md"] = b"# Roadwork"
    with small_hub("datasets", "someone/roadwork", files, tmp_path / "hub", monkeypatch) as asked:
        yield asked


def test_the_shards_of_one_split_become_a_source(hub: list[str], tmp_path: Path) -> None:
    source = open_source(DataConfig(source="hub:someone/roadwork"))
    assert source.labels.tolist() == [0, 1, 1]
    assert source.read(2).startswith(b"\x89PNG")
    assert len(open_source(DataConfig(source="hub:someone/roadwork/test"))) == 3
    assert any("train-00001" in path for path in hub)


def test_what_the_hub_does_not_have_is_refused(hub: list[str]) -> None:
    with pytest.raises(NoImages, match="no parquet file of the split 'dev' among its"):
        open_source(DataConfig(source="hub:someone/roadwork/dev"))
    with pytest.raises(HubUnreachable, match=r"someone/else could not be fetched .*check its name"):
        open_source(DataConfig(source="hub:someone/else"))
    with pytest.raises(SourceNotFound, match="no name that a data set"):
        open_source(DataConfig(source="hub:some one/road work"))


def test_a_hub_out_of_reach_is_reported_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(HubUnreachable, match=r"could not be fetched .*use parquet:FOLDER$"):
        open_source(DataConfig(source="hub:natix-network-org/roadwork"))


def test_splits_are_recognised_by_folder_or_by_name() -> None:
    files = ["README.md", "data/train-0.parquet", "data/test-0.parquet", "train/a.parquet", "x.parquet"]
    assert shards_of_split(files, "train") == ["data/train-0.parquet", "train/a.parquet"]
    assert shards_of_split(files, "test") == ["data/test-0.parquet"]
