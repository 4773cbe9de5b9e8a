"""Parquet files as they come: structs or bytes, shards, nested columns, damage."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trainer.data.config import DataConfig
from trainer.data.source import (
    LeakyColumn,
    NoImages,
    SourceNotFound,
    UnknownColumn,
    UnreadableSource,
    open_source,
)

Writer = Callable[..., Path]


def test_reads_the_hugging_face_convention_over_several_row_groups(
    write_parquet: Writer, encode: Callable[..., bytes]
) -> None:
    path = write_parquet(label=[row % 2 for row in range(24)], hour=list(range(24)))
    source = open_source(DataConfig(source=f"parquet:{path}"))
    assert len(source) == 24
    assert source.class_names == ("0", "1")
    assert source.labels.tolist() == [0, 1] * 12
    assert source.paths[13] == "img/013.png"
    assert source.metadata["hour"].tolist() == list(range(24))
    assert [source.read(row) for row in (23, 0, 13)] == [encode(23), encode(0), encode(13)]


def test_reads_plain_bytes_and_names_rows_by_file(tmp_path: Path, encode: Callable[..., bytes]) -> None:
    path = tmp_path / "plain.parquet"
    pq.write_table(pa.table({"jpg": [encode(1), encode(2)], "label": [0, 1]}), path)
    source = open_source(DataConfig(source=f"parquet:{path}", image_column="jpg"))
    assert source.read(1) == encode(2)
    assert source.paths == ["plain.parquet#0", "plain.parquet#1"]


def test_reads_images_that_lie_beside_the_file(tmp_path: Path, encode: Callable[..., bytes]) -> None:
    (tmp_path / "a.png").write_bytes(encode(1))
    structs = [
        {"bytes": None, "path": "a.png"},
        {"bytes": None, "path": "../b.png"},
        {"bytes": None, "path": None},
    ]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    path = tmp_path / "set.parquet"
    pq.write_table(pa.table({"image": pa.array(structs, type=kind)}), path)
    source = open_source(DataConfig(source=f"parquet:{path}"))
    assert source.read(0) == encode(1)
    with pytest.raises(UnreadableSource, match="outside its folder"):
        source.read(1)
    with pytest.raises(UnreadableSource, match="no bytes and no path"):
        source.read(2)


@pytest.mark.parametrize("place", ["shards", "shards/*.parquet"])
def test_a_folder_or_a_glob_of_shards_is_one_source(
    write_parquet: Writer, tmp_path: Path, encode: Callable[..., bytes], place: str
) -> None:
    write_parquet("shards/b.parquet", n=3, label=[1, 1, 1])
    write_parquet("shards/a.parquet", n=2, label=[0, 0])
    source = open_source(DataConfig(source=f"parquet:{tmp_path / place}"))
    assert source.labels.tolist() == [0, 0, 1, 1, 1]
    assert source.read(4) == encode(2)


def test_a_column_that_one_shard_lacks_is_missing_there(write_parquet: Writer, tmp_path: Path) -> None:
    write_parquet("shards/a.parquet", n=2, label=[0, 0])
    write_parquet("shards/b.parquet", n=2, label=[1, 1], hour=[7, 8])
    source = open_source(DataConfig(source=f"parquet:{tmp_path / 'shards'}"))
    np.testing.assert_array_equal(source.metadata["hour"], [np.nan, np.nan, 7, 8])


def test_class_names_of_the_hugging_face_metadata_are_used(tmp_path: Path, write_parquet: Writer) -> None:
    path = write_parquet(n=2, label=[0, 1])
    features = '{"info": {"features": {"label": {"names": ["clear", "works"], "_type": "ClassLabel"}}}}'
    table = pq.read_table(path).replace_schema_metadata({"huggingface": features})
    pq.write_table(table, path)
    assert open_source(DataConfig(source=f"parquet:{path}")).class_names == ("clear", "works")


def test_the_roadwork_columns_flatten_and_group_by_video(write_parquet: Writer) -> None:
    n = 24
    path = write_parquet(
        n=n,
        label=[row % 2 for row in range(n)],
        video_info=[{"frame_id": row, "seq_id": row // 2, "vid_id": f"v{row // 6}"} for row in range(n)],
        scene_level_tags=[{"weather": "rain" if row % 3 else None} for row in range(n)],
        gps=[[48.1, 11.5 + row] for row in range(n)],
        scene_description=["cones" if row % 2 else None for row in range(n)],
    )
    source = open_source(DataConfig(source=f"parquet:{path}"))
    assert source.group_column == "video_info.vid_id"
    assert source.groups is not None
    assert source.groups.tolist() == [f"v{row // 6}" for row in range(n)]
    assert set(source.metadata) == {
        "video_info.frame_id",
        "video_info.seq_id",
        "video_info.vid_id",
        "scene_level_tags.weather",
        "gps.0",
        "gps.1",
    }
    assert source.metadata["scene_level_tags.weather"][:3].tolist() == ["", "rain", "rain"]
    assert source.refused["scene_description"].present.tolist() == [bool(row % 2) for row in range(n)]
    with pytest.raises(LeakyColumn, match="gives the label away"):
        open_source(DataConfig(source=f"parquet:{path}", group="scene_description"))


def test_missing_columns_are_refused_with_those_that_exist(write_parquet: Writer) -> None:
    path = write_parquet(n=2, label=[0, 1], hour=[7, 8])
    with pytest.raises(UnknownColumn, match=r"no group column 'trak'; the columns are hour$"):
        open_source(DataConfig(source=f"parquet:{path}", group="trak"))
    with pytest.raises(UnknownColumn, match=r"no label column 'y'; the columns are hour, label$"):
        open_source(DataConfig(source=f"parquet:{path}", label_column="y"))
    with pytest.raises(UnknownColumn, match=r"no image column 'img'; the columns are image, label, hour"):
        open_source(DataConfig(source=f"parquet:{path}", image_column="img"))
    with pytest.raises(
        UnknownColumn, match=r"image column 'hour' of .* is int64; it must hold encoded bytes"
    ):
        open_source(DataConfig(source=f"parquet:{path}", image_column="hour"))


def test_a_set_without_labels_opens_for_prediction(write_parquet: Writer) -> None:
    source = open_source(DataConfig(source=f"parquet:{write_parquet(n=3)}"))
    assert not source.labelled
    assert source.labels.tolist() == [-1, -1, -1]
    assert [notice.code for notice in source.notices] == ["unlabelled"]


def test_images_without_a_group_stand_alone_and_are_counted(write_parquet: Writer) -> None:
    source = open_source(
        DataConfig(
            source=f"parquet:{write_parquet(n=3, label=[0, 1, 1], track=['a', None, None])}", group="track"
        )
    )
    assert source.groups is not None
    assert len(set(source.groups.tolist())) == 3
    assert "images without 'track', each a group of its own: 2 of 3" in source.notices[0].message


def test_what_is_no_parquet_file_is_refused_in_one_sentence(tmp_path: Path, write_parquet: Writer) -> None:
    with pytest.raises(SourceNotFound, match="no parquet file, folder or glob match at"):
        open_source(DataConfig(source=f"parquet:{tmp_path}/nothing.parquet"))
    with pytest.raises(NoImages, match=r"holds no \.parquet file"):
        open_source(DataConfig(source=f"parquet:{tmp_path}"))
    (tmp_path / "text.parquet").write_text("this is text")
    with pytest.raises(UnreadableSource, match="not a readable parquet file"):
        open_source(DataConfig(source=f"parquet:{tmp_path}/text.parquet"))
    with pytest.raises(NoImages, match="holds no rows"):
        open_source(
            DataConfig(source=f"parquet:{write_parquet('none.parquet', n=0, label=pa.array([], pa.int64()))}")
        )


def test_a_cut_file_and_a_damaged_row_group_are_refused(write_parquet: Writer) -> None:
    path = write_parquet(label=[0, 1] * 12)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UnreadableSource, match="not a readable parquet file"):
        open_source(DataConfig(source=f"parquet:{path}"))
    path.write_bytes(whole[:4] + b"\xff" * 400 + whole[404:])
    with pytest.raises(UnreadableSource, match="damaged"):
        open_source(DataConfig(source=f"parquet:{path}")).read(0)


def test_the_digest_follows_bytes_labels_and_groups(write_parquet: Writer) -> None:
    path = write_parquet(n=4, label=[0, 1, 0, 1], other=[1, 1, 0, 0], track=["a", "a", "b", "b"])
    digests = {
        open_source(DataConfig(source=f"parquet:{path}")).digest(),
        open_source(DataConfig(source=f"parquet:{path}", group="track")).digest(),
        open_source(DataConfig(source=f"parquet:{path}", label_column="other")).digest(),
        open_source(DataConfig(source=f"parquet:{path}")).take(np.array([0, 1])).digest(),
    }
    assert len(digests) == 4
    assert open_source(DataConfig(source=f"parquet:{path}")).digest() in digests


def test_taking_rows_twice_reads_the_right_ones(write_parquet: Writer, encode: Callable[..., bytes]) -> None:
    source = open_source(
        DataConfig(source=f"parquet:{write_parquet(label=[0, 1] * 12, hour=list(range(24)))}")
    )
    twice = source.take(np.arange(4, 24, 2)).take(np.array([3, 1]))
    assert [twice.read(row) for row in range(2)] == [encode(10), encode(6)]
    assert twice.metadata["hour"].tolist() == [10, 6]
    assert twice.paths == ["img/010.png", "img/006.png"]


def test_the_road_signs_open_as_they_are(road_signs: Path) -> None:
    source = open_source(DataConfig(source=f"parquet:{road_signs}", group="track"))
    first, last = source.read(0), source.read(len(source) - 1)
    assert (len(source), int(source.labels.sum())) == (39_209, 1_500)
    assert source.groups is not None
    assert len(np.unique(source.groups)) == 1_307
    assert first.startswith(b"\x89PNG")
    assert last.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "ids",
    [
        pa.array([2**60, None, 2**60 + 1], pa.int64()),
        pa.array([2**63, 2**63 + 1, 2**64 - 1], pa.uint64()),
        pa.array(["7", "07", "7.0"]),
        pa.array([Decimal("1.0000000000000000001"), Decimal("1.0000000000000000002"), Decimal(1)]),
        pa.array([0.1, 0.1 + 2**-54, 0.3]),
    ],
    ids=["int64 with a gap", "uint64", "text", "decimal", "double"],
)
def test_every_group_keeps_its_name(write_parquet: Writer, ids: pa.Array) -> None:
    source = open_source(DataConfig(source=f"parquet:{write_parquet(n=3, drive=ids)}", group="drive"))
    assert source.groups is not None
    assert len(set(source.groups.tolist())) == 3


def test_shards_with_any_case_of_suffix_and_behind_links_are_found(
    write_parquet: Writer, tmp_path: Path
) -> None:
    write_parquet("elsewhere/b.parquet", n=3)
    (tmp_path / "shards").mkdir()
    write_parquet("shards/a.PARQUET", n=2)
    (tmp_path / "shards" / "linked").symlink_to(tmp_path / "elsewhere")
    assert len(open_source(DataConfig(source=f"parquet:{tmp_path / 'shards'}"))) == 5


def test_blanks_are_part_of_a_name_and_a_name_of_blanks_alone_is_missing(write_parquet: Writer) -> None:
    path = write_parquet(label=[0, 1, 0, 1] * 6, drive=["a", "a ", " a", "  "] * 6)
    source = open_source(DataConfig(source=f"parquet:{path}", group="drive"))
    assert source.groups is not None
    assert source.groups[:8].tolist() == ["a", "a ", " a", "(none) 3", "a", "a ", " a", "(none) 7"]
    assert any(notice.code == "names-alike" for notice in source.notices)
