"""The report of `demur data`: counts, slices, splits, findings; as tables and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from calibration.certificate import RiskTarget
from trainer.data.config import DataConfig
from trainer.data.report import DataReport, describe
from trainer.data.source import open_source
from trainer.data.splits import CalibrationNeed, make_splits
from trainer.data.tables import print_report

Writer = Callable[..., Path]


@pytest.fixture
def messy(write_parquet: Writer, encode: Callable[..., bytes]) -> Path:
    """120 images in 40 groups with copies, a fault, a gap and two slices."""
    images = [encode(row) for row in range(120)]
    images[100] = images[2]
    images[7] = b""
    return write_parquet(
        images=images,
        label=[row // 60 for row in range(120)],
        track=[f"t{row // 3:02d}" for row in range(120)],
        weather=["rain" if row % 2 else "dry" for row in range(120)],
        speed=[None if row == 5 else float(row % 50) for row in range(120)],
    )


def as_text(report: DataReport) -> str:
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115 - closed below
    print_report(report, console)
    console.file.close()
    return console.export_text()


def test_everything_is_counted(messy: Path) -> None:
    done: list[int] = []
    report = describe(open_source(DataConfig(source=f"parquet:{messy}", group="track")), advance=done.append)
    assert sum(done) == report.images == 120
    assert report.per_class == (60, 60)
    assert report.groups is not None
    assert (report.groups.groups, report.groups.smallest, report.groups.largest) == (40, 3, 3)
    assert report.groups.per_class == (20, 20)
    weather = {
        part.value: (part.images, part.per_class) for part in report.slices if part.column == "weather"
    }
    assert weather == {"dry": (60, (30, 30)), "rain": (60, (30, 30))}
    speed = [part for part in report.slices if part.column == "speed"]
    assert [part.value for part in speed][-1] == "missing"
    assert sum(part.images for part in speed) == 120
    assert sum(split.images for split in report.splits) == 119
    assert sum(split.units for split in report.splits) == 40
    assert (report.copies.exact_sets, report.copies.exact_images) == (1, 1)
    assert report.copies.conflicting_labels == 1
    assert report.copies.near_images == 2
    assert report.copies.near_examples == ("t00 ~ t33 (pairs: 1)",)
    assert {fault.kind for fault in report.faults} == {"image", "label", "metadata"}


def test_copies_are_checked_across_the_default_splits(messy: Path) -> None:
    source = open_source(DataConfig(source=f"parquet:{messy}", group="track"))
    crossing = set()
    for seed in range(12):
        splits = make_splits(source.labels, source.groups, CalibrationNeed(RiskTarget()), seed=seed)
        report = describe(source, seed=seed)
        found = report.copies.near_across_splits
        assert found == (2 if splits.names[2] != splits.names[100] else 0)
        assert {split.name: split.units for split in report.splits} == splits.units
        crossing.add(found)
    assert crossing == {0, 2}


def test_the_tables_say_what_needs_attention(messy: Path) -> None:
    text = as_text(describe(open_source(DataConfig(source=f"parquet:{messy}"))))
    for part in (
        "120 images: 0 60 (50.0 %), 1 60 (50.0 %)",
        "if images of one track belong together, use --group track",
        "answer with --group none",
        "images that cannot be read: 1 of 120",
        "img/007.png: the image has 0 bytes",
        "equal files with different labels: 2 of 120",
        "img/002.png = img/100.png",
        "val_calib",
    ):
        assert part in text
    clean = as_text(describe(open_source(DataConfig(source=f"parquet:{messy}", group="track"))))
    assert "belong together" not in clean
    denied = as_text(describe(open_source(DataConfig(source=f"parquet:{messy}", group="none"))))
    assert "belong together" not in denied
    assert "as --group none says" in denied
    assert "40 groups by track" in clean


def test_the_report_is_json(messy: Path) -> None:
    values = json.loads(
        json.dumps(describe(open_source(DataConfig(source=f"parquet:{messy}", group="track"))).to_dict())
    )
    assert values["copies"]["exact_images"] == 1
    assert values["faults"][0]["kind"] == "image"
    assert values["splits"][2]["name"] == "val_calib"


def test_unlabelled_and_tiny_sets_are_described_too(write_parquet: Writer) -> None:
    unlabelled = describe(open_source(DataConfig(source=f"parquet:{write_parquet(hour=list(range(24)))}")))
    assert unlabelled.per_class == ()
    assert unlabelled.splits == ()
    assert "no image has a label" in as_text(unlabelled)
    tiny = describe(
        open_source(DataConfig(source=f"parquet:{write_parquet('two.parquet', n=2, label=[0, 1])}"))
    )
    assert tiny.splits == ()
    assert "usable images: 2, for 4 splits" in as_text(tiny)
    faulty = describe(
        open_source(DataConfig(source=f"parquet:{write_parquet('odd.parquet', n=24, label=[0, 1, 9] * 8)}"))
    )
    assert faulty.per_class == (8, 8)
    assert "labels that cannot be used: 8 of 24" in as_text(faulty)


def test_the_road_signs_betray_the_track_that_was_cut_in_two(road_signs: Path) -> None:
    source = open_source(DataConfig(source=f"parquet:{road_signs}", group="track"))
    no_overtaking_and_road_work = np.flatnonzero(np.isin(source.metadata["class_id"], [9, 25]))
    report = describe(source.take(no_overtaking_and_road_work))
    assert report.copies.near_examples[0].startswith("00009/00039 ~ 00009/00040")
    assert report.copies.exact_images == 0
    assert [(leak.column, round(leak.informedness, 3)) for leak in report.leaks] == [("class_id", 1.0)]
    assert report.groups is not None
    assert (report.groups.groups, report.groups.per_class) == (99, (49, 50))
