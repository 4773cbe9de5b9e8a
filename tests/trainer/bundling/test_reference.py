"""Reference of the drift signals in a run and its bundle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes.channel_models import channel_images

from bundle.loader import load_bundle
from bundle.signals import observe
from trainer.bundling.finish import RunResult
from trainer.bundling.reference import drift_reference, keep_signals
from trainer.bundling.rerun import recalibrate
from trainer.data.splits import Splits
from trainer.run.console import RunConsole
from trainer.run.digests import DamagedFile
from trainer.run.folder import RunFolder, read_json, write_json
from trainer.run.record import read_record
from trainer.scoring.collect import open_runner
from trainer.scoring.split_scores import load_scores


def test_the_reference_is_what_the_service_will_observe(wrapped: RunResult) -> None:
    loaded = load_bundle(wrapped.run.bundle)
    reference = loaded.reference
    assert reference is not None
    splits = Splits.from_dict(read_json(wrapped.run.splits))
    rows = read_json(wrapped.run.signals)["rows"]
    assert len(reference) == len(rows) == len(splits.val_select)
    source = channel_images(2400)
    for place in (0, 7, len(rows) - 1):
        row = observe(loaded.runner, source.read(int(splits.val_select[rows[place]])))
        assert row.right == pytest.approx(reference.right[place], rel=1e-4)
        assert set(row.numbers) == set(reference.numbers)
        for name, value in row.numbers.items():
            assert value == pytest.approx(reference.numbers[name][place], rel=1e-3, abs=1e-4), name
        assert {name: int(column[place]) for name, column in reference.categories.items()} == row.categories


def test_one_random_image_of_each_group(wrapped: RunResult, tmp_path: Path, quiet: RunConsole) -> None:
    run, record = RunFolder(tmp_path), read_record(wrapped.run)
    splits = Splits.from_dict(read_json(wrapped.run.splits))
    select = load_scores(wrapped.run.scores("val_select"))
    groups = np.array([f"drive {place // 3}" for place in range(len(select))])
    runner = open_runner(record, wrapped.run)
    keep_signals(channel_images(2400), splits.val_select, replace(select, groups=groups), runner, run, quiet)
    rows = np.array(read_json(run.signals)["rows"])
    assert len(rows) == len(np.unique(groups)) == len(np.unique(groups[rows]))
    assert {0, 1, 2} == set((rows % 3).tolist())


def test_a_new_certificate_decides_on_the_same_images(run_copy: Path) -> None:
    before = load_bundle(run_copy / "bundle").reference
    recalibrate(run_copy, {"certificate": "none"})
    after = load_bundle(run_copy / "bundle").reference
    assert before is not None
    assert after is not None
    np.testing.assert_array_equal(before.numbers["brightness"], after.numbers["brightness"])
    assert before.categories["answered"].any()
    assert not after.categories["answered"].any()


def test_a_run_without_signals_makes_a_bundle_without_a_reference(run_copy: Path) -> None:
    RunFolder(run_copy).signals.unlink()
    result = recalibrate(run_copy, {})
    assert result.manifest.reference is None
    assert load_bundle(run_copy / "bundle").reference is None


def test_signals_of_another_split_are_no_reference(wrapped: RunResult, run_copy: Path) -> None:
    run = RunFolder(run_copy)
    write_json(run.signals, {**read_json(run.signals), "digest": "another"})
    select = load_scores(run.scores("val_select"))
    assert drift_reference(run, {"onnxruntime-cpu/fp32": (select, wrapped.policy.point)}) is None


def test_damaged_signals_are_named(wrapped: RunResult, run_copy: Path) -> None:
    run = RunFolder(run_copy)
    write_json(run.signals, {**read_json(run.signals), "rows": [1]})
    with pytest.raises(DamagedFile, match=r"signals\.json is damaged"):
        recalibrate(run_copy, {})
