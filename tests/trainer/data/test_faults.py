"""All faults at once, before training; and going on without the images that have them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bundle.images.preprocess import PreprocessSpec
from trainer.data.config import DataConfig
from trainer.data.faults import FaultyData, find_faults, prepare
from trainer.data.images import UnknownColumn
from trainer.data.source import open_source

Writer = Callable[..., Path]
SPECS = (PreprocessSpec(height=8, width=8),)


def test_one_report_names_every_fault_with_counts_and_first_files(
    write_parquet: Writer, encode: Callable[..., bytes]
) -> None:
    images = [encode(row) for row in range(24)]
    images[3], images[7] = b"", images[7][:50]
    labels: list[int | None] = [0, 1] * 12
    labels[5], labels[6] = None, 9
    hours: list[float | None] = [float(row) for row in range(24)]
    hours[8] = None
    path = write_parquet(images=images, label=labels, hour=hours, lane=[None, *range(23)])
    source = open_source(DataConfig(source=f"parquet:{path}"))
    with pytest.raises(FaultyData) as caught:
        prepare(source, SPECS, features=["hour"])
    text = str(caught.value)
    for part in (
        "24 images (--skip-bad goes on without 5 of them)",
        "images that cannot be read: 2 of 24",
        "img/003.png: the image has 0 bytes",
        "img/007.png: the PNG ends",
        "labels that cannot be used: 2 of 24",
        "img/005.png: the label is missing",
        "img/006.png: label 9 is outside 0..1",
        "images without the feature 'hour', missing or NaN: 1 of 24",
        "images without a value of 'lane', missing or NaN: 1 of 24",
    ):
        assert part in text
    prepared = prepare(source, SPECS, features=["hour"], skip_bad=True)
    assert prepared.dropped == tuple(f"img/{row:03d}.png" for row in (3, 5, 6, 7, 8))
    assert len(prepared.source) == len(prepared.pixels.content) == len(prepared.pixels.arrays[0]) == 19
    assert prepared.source.read(3) == encode(4)
    record = prepared.report.to_dict(dropped_paths=prepared.dropped)
    assert record["faults"][0]["count"] == 2
    assert record["dropped"][0] == "img/003.png"


def test_good_data_has_no_faults(write_parquet: Writer) -> None:
    prepared = prepare(open_source(DataConfig(source=f"parquet:{write_parquet(label=[0, 1] * 12)}")), SPECS)
    assert prepared.report.faults == ()
    assert prepared.dropped == ()


@pytest.mark.parametrize(
    ("labels", "groups", "kinds", "message"),
    [
        ([1] * 24, None, ["one-class"], "all usable images are of class '1'"),
        ([None] * 24, None, ["no-labels"], "no image has a label"),
        ([7.0] * 24, None, ["label", "too-few-units", "one-class"], "no usable image has a class"),
        ([0, 1] * 12, ["a", "b", "c"] * 8, ["too-few-units"], "usable groups: 3, for 4 splits"),
        (
            [0] * 23 + [1],
            None,
            ["skewed", "rare-class"],
            "usable images of class '1': 1, so some of 4 splits",
        ),
        (
            [1] * 20 + [0] * 4,
            None,
            ["skewed"],
            "83 % of the usable images are of class '1': always answering",
        ),
    ],
)
def test_faults_of_the_set_as_a_whole(
    write_parquet: Writer,
    labels: list[float | None],
    groups: list[str] | None,
    kinds: list[str],
    message: str,
) -> None:
    columns = {"label": labels} | ({"track": groups} if groups else {})
    source = open_source(
        DataConfig(source=f"parquet:{write_parquet(**columns)}", group="track" if groups else None)
    )
    report = find_faults(source, {})
    found = [fault.kind for fault in report.faults if fault.kind != "rare-class" or "rare-class" in kinds]
    assert found == kinds
    assert any(message in line for line in report.lines())
    assert report.stops(skip_bad=True) == ("skewed" not in kinds)


def test_what_remains_after_dropping_is_what_is_judged(
    write_parquet: Writer, encode: Callable[..., bytes]
) -> None:
    images = [encode(row) if row % 2 else b"" for row in range(24)]
    source = open_source(DataConfig(source=f"parquet:{write_parquet(images=images, label=[0, 1] * 12)}"))
    with pytest.raises(FaultyData, match="all usable images are of class '1'"):
        prepare(source, SPECS, skip_bad=True)


def test_an_unlabelled_set_cannot_be_trained_on(write_parquet: Writer) -> None:
    with pytest.raises(FaultyData, match="no image has a label"):
        prepare(open_source(DataConfig(source=f"parquet:{write_parquet()}")), SPECS, skip_bad=True)


def test_features_must_exist_and_be_allowed(write_parquet: Writer) -> None:
    path = write_parquet(label=[0, 1] * 12, hour=[1] * 24, scene_description=["x", None] * 12)
    source = open_source(DataConfig(source=f"parquet:{path}"))
    with pytest.raises(UnknownColumn, match=r"cannot be a feature: .* gives the label away"):
        find_faults(source, {}, features=["scene_description"])
    with pytest.raises(UnknownColumn, match="no feature column 'our'; the columns are hour"):
        find_faults(source, {}, features=["our"])


def test_a_repeated_file_counts_once_and_a_contradiction_is_a_fault(
    write_parquet: Writer, encode: Callable[..., bytes]
) -> None:
    images = [encode(row) for row in range(24)]
    labels = [0, 1] * 12
    images[4] = images[10] = images[2]  # all of class 0
    images[13] = images[6]  # of class 1 and of class 0
    source = open_source(DataConfig(source=f"parquet:{write_parquet(images=images, label=labels)}"))
    with pytest.raises(FaultyData, match=r"equal files with different labels: 2 of 24") as caught:
        prepare(source, SPECS)
    assert "img/006.png: equal to img/013.png" in str(caught.value)
    assert "(--skip-bad goes on without 2 of them)" in str(caught.value)
    prepared = prepare(source, SPECS, skip_bad=True)
    assert prepared.dropped == tuple(f"img/{row:03d}.png" for row in (4, 6, 10, 13))
    assert "files that repeat another, left out so that each counts once: 2 of 24" in prepared.report.lines()
    assert len(set(prepared.pixels.content)) == len(prepared.source) == 20


def test_repeated_files_alone_do_not_stop_a_run(write_parquet: Writer, encode: Callable[..., bytes]) -> None:
    images = [encode(row % 20) for row in range(24)]
    source = open_source(DataConfig(source=f"parquet:{write_parquet(images=images, label=[0, 1] * 12)}"))
    prepared = prepare(source, SPECS)
    assert prepared.dropped == tuple(f"img/{row:03d}.png" for row in (20, 21, 22, 23))
    assert not prepared.report.stops(skip_bad=False)
