"""The folder of the samples: shared, bounded, and readable after any damage."""

from __future__ import annotations

import multiprocessing
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes.drift_rows import sampled_rows, signal_rows

from monitoring.drift.sample_folder import SampledRow, SampleFolder, drift_folder, forget_unused

NOW = 1_790_000_000.0


@pytest.fixture
def folder(tmp_path: Path) -> SampleFolder:
    return SampleFolder(tmp_path / "drift" / "tiny-1")


def test_a_window_closes_when_it_is_full(folder: SampleFolder) -> None:
    rows = sampled_rows(signal_rows(30), NOW)
    assert folder.append(rows[:20]) == 20
    assert folder.take(30, 100) is None
    assert folder.waiting == 20
    folder.append(rows[20:])
    window = folder.take(30, 100)
    assert window is not None
    assert (len(window.sample), window.with_units) == (30, True)
    assert (window.since, window.until) == (rows[0].at, rows[-1].at)
    assert folder.waiting == 0


def test_of_a_unit_the_frame_with_the_smallest_number_counts(folder: SampleFolder) -> None:
    first, second = sampled_rows(signal_rows(2), NOW)
    early = replace(first, number=0.2, row=replace(first.row, numbers={"brightness": 7.0}))
    folder.append([replace(first, number=0.9), second])
    folder.append([early, replace(first, number=0.4)])
    window = folder.take(2, 10)
    assert window is not None
    assert 7.0 in window.sample.numbers["brightness"]
    assert len(window.sample) == 2


def test_at_most_so_many_are_kept_at_random(folder: SampleFolder) -> None:
    folder.append(sampled_rows(signal_rows(400), NOW))
    window = folder.take(100, 50)
    assert window is not None
    assert len(window.sample) == 50
    # Not the first ones: they are spread over the whole window.
    assert window.until - window.since > 500.0


def test_numbers_that_are_not_finite(folder: SampleFolder) -> None:
    (row,) = sampled_rows(signal_rows(1), NOW)
    odd = replace(row.row, numbers={"brightness": float("nan"), "margin_a": float("inf")}, right=float("nan"))
    folder.append([replace(row, row=odd)])
    window = folder.take(1, 1)
    assert window is not None
    assert np.isnan(window.sample.right[0])
    assert all(np.isnan(column[0]) for column in window.sample.numbers.values())


def test_lines_that_are_cut_short_are_left_out(folder: SampleFolder) -> None:
    folder.append(sampled_rows(signal_rows(3), NOW))
    path = folder.folder / "open.jsonl"
    huge = path.read_bytes().splitlines()[0].replace(b'"answered":1', b'"answered":' + b"9" * 17)
    path.write_bytes(
        path.read_bytes()[:-40] + b"\n" + huge + b'\n[]\n{"unit": 1}\n\xff\n' + b"[" * 5000 + b"\n"
    )
    assert folder.waiting == 2


def test_a_full_window_takes_no_more(folder: SampleFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitoring.drift.sample_folder._MOST_BYTES", 100)
    rows = sampled_rows(signal_rows(2), NOW)
    assert folder.append(rows[:1]) == 1
    assert folder.append(rows[1:]) == 0


def test_closed_windows_are_kept_and_forgotten(folder: SampleFolder) -> None:
    for day in range(4):
        folder.append(sampled_rows(signal_rows(3, seed=day), NOW + 86_400 * day))
        window = folder.take(3, 10)
        assert window is not None
        folder.keep(window, {"day": day}, most_age=2.5 * 86_400)
    found = list(folder.closed())
    assert [conclusion["day"] for _, conclusion in found] == [1, 2, 3]
    assert [
        conclusion["day"] for _, conclusion in folder.closed(lambda since, until: until > NOW + 1.5 * 86_400)
    ] == [2, 3]
    assert folder.latest() == {"day": 3}
    assert len(found[0][0].sample) == 3


def test_damaged_files_are_no_conclusion(folder: SampleFolder) -> None:
    assert folder.latest() is None
    folder.append(sampled_rows(signal_rows(3), NOW))
    window = folder.take(3, 10)
    assert window is not None
    folder.keep(window, {}, most_age=1e9)
    (folder.folder / "latest.json").write_text("[]")
    (closed,) = (folder.folder / "windows").iterdir()
    closed.write_bytes(closed.read_bytes()[:30])
    for name in ("x.json.gz", "x-1.json.gz", "1-.json.gz"):
        (folder.folder / "windows" / name).write_bytes(b"")
    assert folder.latest() is None
    assert list(folder.closed()) == []


def _append(place: Path, rows: list[SampledRow]) -> None:
    for row in rows:
        SampleFolder(place).append([row])


def test_two_workers_write_at_once(folder: SampleFolder) -> None:
    rows = sampled_rows(signal_rows(100), NOW)
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_append, args=(folder.folder, half)) for half in (rows[:50], rows[50:])]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert folder.waiting == 100


def test_samples_of_bundles_that_are_gone_are_forgotten(tmp_path: Path) -> None:
    old, new = (drift_folder(tmp_path, f"tiny:{version}") for version in "12")
    for place in (old, new):
        SampleFolder(place).append(sampled_rows(signal_rows(1), NOW))
    for path in old.iterdir():
        os.utime(path, (0, 0))
    (tmp_path / "drift" / "other").mkdir()
    forget_unused(tmp_path, time.time() - 3600)
    assert sorted(path.name for path in (tmp_path / "drift").iterdir()) == ["other", "tiny-2"]
