"""The whole run with real training, small: a folder of flat images, two tiny nets, seconds."""

from __future__ import annotations

import shutil
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fakes.channel_models import channel_images
from rich.console import Console

from bundle.loader import load_bundle
from calibration.errors import DeltaExhausted
from trainer.bundling.finish import RunResult
from trainer.bundling.rerun import recalibrate
from trainer.config import TrainConfig, load_config
from trainer.data.faults import FaultyData
from trainer.errors import RunError
from trainer.fit.checkpoint import ResumeMismatch
from trainer.pipeline import plan, train
from trainer.reports.summary import closing_lines, idle_stage_note
from trainer.run.console import RunConsole
from trainer.run.digests import DamagedFile
from trainer.run.folder import RunFolder, read_json
from trainer.run.lock import FolderInUse, locked
from trainer.run.record import read_record

STAGE: dict[str, Any] = {
    "image_size": 16,
    "model": {"name": "cnn-tiny", "width": 4},
    "loop": {"epochs": 3, "batch_size": 32, "lr": 0.01, "ema_decay": 0.8},
}


def _write(path: Path, n: int, **options: Any) -> str:
    source = channel_images(n, **options)
    images = [{"bytes": source.read(row), "path": source.paths[row]} for row in range(n)]
    columns: dict[str, Any] = {"image": images, "label": source.labels}
    columns["weather"] = source.metadata["weather"].tolist()
    if source.groups is not None:
        columns["drive"] = source.groups.tolist()
    pq.write_table(pa.table(columns), path)
    return f"parquet:{path}"


def _config(source: str, **overrides: Any) -> TrainConfig:
    values = {"data.source": source, "recipe": {"stage_a": STAGE, "stage_b": STAGE}, **overrides}
    return load_config(None, values)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, quiet: RunConsole) -> tuple[TrainConfig, RunResult]:
    folder = tmp_path_factory.mktemp("trained")
    config = _config(_write(folder / "images.parquet", 1500, separation=3.0))
    return config, train(config, folder / "run", quiet)


def test_images_become_a_certified_bundle(trained: tuple[TrainConfig, RunResult]) -> None:
    _, result = trained
    assert result.policy.certificate.feasible
    assert load_bundle(result.run.bundle).certified
    assert result.report is not None
    assert (result.report.value("forced_accuracy") or 0.0) > 0.97
    for name in ("config.yaml", "metrics.csv", "model_best.safetensors", "gate_best.safetensors"):
        assert (result.run.root / name).is_file(), name


def test_the_resolved_config_repeats_the_run(
    trained: tuple[TrainConfig, RunResult], tmp_path: Path, quiet: RunConsole
) -> None:
    """From its own config.yaml: the same metrics, weights, thresholds and bundle, bit for bit."""
    _, first = trained
    second = train(load_config(first.run.config, {}), tmp_path / "again", quiet)
    for name in (
        "config.yaml",
        "splits.json",
        "metrics.csv",
        "model_best.safetensors",
        "gate_best.safetensors",
        "gateparams.json",
        "thresholds.json",
        "ledger.json",
        "stage_a/model.onnx",
        "stage_b/model.onnx",
    ):
        assert (second.run.root / name).read_bytes() == (first.run.root / name).read_bytes(), name


def test_a_finished_run_goes_on_to_the_same_end(
    trained: tuple[TrainConfig, RunResult], quiet: RunConsole
) -> None:
    config, first = trained
    weights = first.run.model_weights.read_bytes()
    again = train(config, first.run.root, quiet)
    assert first.run.model_weights.read_bytes() == weights
    assert again.policy.certificate == first.policy.certificate
    (entries,) = read_json(first.run.ledger)["accounts"].values()
    assert len(entries) == 1


class TestSeveralSettings:
    """Trying settings on one data set: seeds keep the split, and nothing trains in vain."""

    @pytest.fixture
    def source(self, tmp_path: Path) -> str:
        return _write(tmp_path / "images.parquet", 1500, separation=3.0)

    def test_a_second_promise_ends_before_it_begins_and_a_second_model_is_told(
        self, source: str, tmp_path: Path, quiet: RunConsole
    ) -> None:
        train(_config(source), tmp_path / "a", quiet)
        with pytest.raises(DeltaExhausted, match=r"nothing was begun.*--certificate none"):
            train(_config(source, **{"promise.min_coverage": 0.5}), tmp_path / "b", quiet)
        assert not (tmp_path / "b" / "stage_b").exists()
        assert not (tmp_path / "b" / "config.yaml").exists()
        second = train(_config(source, seed=1), tmp_path / "b", quiet)
        assert any(
            "hold together with 90 % confidence" in text for text in second.manifest.provenance.notices
        )

    def test_try_without_a_promise_then_certify_one(
        self, source: str, tmp_path: Path, quiet: RunConsole
    ) -> None:
        tried = {
            seed: train(
                _config(source, seed=seed, **{"promise.certificate": "none"}), tmp_path / f"{seed}", quiet
            )
            for seed in (0, 1)
        }
        splits = [read_json(one.run.splits) for one in tried.values()]
        assert splits[0] == splits[1]
        for one in tried.values():
            assert any(line.startswith("Planned on val_select: a certificate of 1 %") for line in one.summary)
        assert recalibrate(tried[1].run.root, {"certificate": "exact"}).policy.certificate.feasible
        with pytest.raises(DeltaExhausted):
            recalibrate(tried[1].run.root, {"certificate": "exact", "alpha": 0.02})

    def test_a_plan_says_what_another_model_costs(
        self, source: str, tmp_path: Path, quiet: RunConsole
    ) -> None:
        train(_config(source), tmp_path / "a", quiet)
        said = StringIO()
        plan(_config(source, seed=1), RunConsole(Console(file=said, width=4000)))
        assert "all together hold with 90 % confidence" in said.getvalue()

    def test_a_folder_keeps_the_splits_that_an_older_version_drew_by_the_seed_of_training(
        self, source: str, tmp_path: Path, quiet: RunConsole
    ) -> None:
        old = train(_config(source, seed=3, **{"splits.seed": 3}), tmp_path / "old", quiet)
        before = read_json(old.run.splits)
        assert before["seed"] == 3
        train(_config(source, seed=3), tmp_path / "old", quiet)
        assert read_json(old.run.splits) == before


def test_the_number_of_threads_is_recorded(trained: tuple[TrainConfig, RunResult]) -> None:
    _, result = trained
    record = read_record(result.run)
    (count,) = {threads for stage in record.stages for threads in stage.threads}
    assert load_config(result.run.config, {}).compute.threads == count
    assert record.provenance.versions["compute.device"] == f"cpu ({count} threads)"
    assert [(stage.epochs, stage.planned_epochs) for stage in record.stages] == [(3, 3), (3, 3)]


def test_a_damaged_model_of_the_run_is_refused_by_name(
    trained: tuple[TrainConfig, RunResult], tmp_path: Path
) -> None:
    _, first = trained
    run = RunFolder(Path(shutil.copytree(first.run.root, tmp_path / "run")))
    content = bytearray(run.onnx("a").read_bytes())
    content[len(content) // 2] ^= 1
    run.onnx("a").write_bytes(content)
    with pytest.raises(DamagedFile, match=r"stage_a/model\.onnx is damaged .*run\.json\); restore it"):
        recalibrate(run.root, {})


def test_a_second_run_at_the_same_time_is_refused(
    trained: tuple[TrainConfig, RunResult], quiet: RunConsole
) -> None:
    config, first = trained
    with locked(first.run.root), pytest.raises(FolderInUse, match="choose another folder"):
        train(config, first.run.root, quiet)


def test_a_cascade_whose_fast_stage_answers_nothing_is_called_one_stage(
    trained: tuple[TrainConfig, RunResult],
) -> None:
    _, result = trained
    record, policy = read_record(result.run), result.policy
    stage_a, stage_b = policy.point.stages
    busy, idle = (
        replace(policy, point=replace(policy.point, stages=(replace(stage_a, threshold=limit), stage_b)))
        for limit in (0.5, None)
    )
    assert "one stage" not in "\n".join(closing_lines(record, busy, None, result.run))
    (line,) = [text for text in closing_lines(record, idle, None, result.run) if "one stage" in text]
    wrapped = record.model_copy(
        update={"stages": tuple(stage.model_copy(update={"macs": 0.0}) for stage in record.stages)}
    )
    assert "a stronger model for stage A (`demur wrap --fast`)" in idle_stage_note(wrapped, idle)[0]
    assert "stage A answers nothing, because on val_select" in line
    assert "What helps: a wider stage A" in line
    cut = record.stages[0].model_copy(update={"epochs": 1, "planned_epochs": 24})
    short = record.model_copy(update={"stages": (cut, record.stages[1])})
    (line,) = [text for text in closing_lines(short, idle, None, result.run) if "one stage" in text]
    assert "it trained 1 of 24 planned epochs in its time" in line
    assert "What helps: more minutes" in line


def test_another_run_in_the_same_folder_is_refused(
    trained: tuple[TrainConfig, RunResult], quiet: RunConsole
) -> None:
    config, first = trained
    longer = {**STAGE, "loop": {**STAGE["loop"], "epochs": 4}}
    other = _config(config.data.source, recipe={"stage_a": STAGE, "stage_b": longer})
    with pytest.raises(ResumeMismatch, match="belongs to another run"):
        train(other, first.run.root, quiet)


def test_labels_of_the_other_splits_do_not_reach_training(
    trained: tuple[TrainConfig, RunResult], tmp_path: Path, quiet: RunConsole
) -> None:
    from trainer.data.splits import Splits
    from trainer.fit.context import RunContext
    from trainer.planning.recipe import Recipe
    from trainer.stages import TrainingData, train_stages

    _, first = trained
    splits = Splits.from_dict(read_json(first.run.splits))
    source = channel_images(1500, separation=3.0)
    hidden = np.concatenate([splits.val_calib, splits.val_test])
    labels = source.labels.copy()
    labels[hidden] = 1 - labels[hidden]
    pixels = np.random.default_rng(0).integers(0, 256, (1500, 16, 16, 3), dtype=np.uint8)
    data = TrainingData((pixels, pixels), source.labels, splits.train, splits.val_select, 2)
    stage = {**STAGE, "loop": {**STAGE["loop"], "epochs": 1}}
    recipe = Recipe.model_validate({"stage_a": stage, "stage_b": stage})
    runs = []
    for name, seen in (("as they are", source.labels), ("turned", labels)):
        run = RunFolder(tmp_path / name)
        train_stages(replace(data, labels=seen), recipe, RunContext(run, quiet))
        runs.append(run)
    for file in ("metrics.csv", "model_best.safetensors"):
        assert (runs[0].root / file).read_bytes() == (runs[1].root / file).read_bytes(), file


def test_forty_images_from_end_to_end(tmp_path: Path, quiet: RunConsole) -> None:
    """Far too few for a promise, and still a valid bundle that abstains."""
    result = train(_config(_write(tmp_path / "i.parquet", 40)), tmp_path / "run", quiet)
    assert not result.policy.certificate.feasible
    assert "more labelled images" in (result.policy.certificate.needed or "")
    assert not load_bundle(result.run.bundle).certified


def test_a_mistyped_slice_is_refused_before_anything_is_decoded(tmp_path: Path, quiet: RunConsole) -> None:
    config = _config(_write(tmp_path / "images.parquet", 60), **{"promise.slices": "wether"})
    with pytest.raises(RunError, match=r"slices is 'wether'.*weather"):
        train(config, tmp_path / "run", quiet)
    assert not RunFolder(tmp_path / "run").faults.exists()


def test_every_fault_is_reported_before_training(tmp_path: Path, quiet: RunConsole) -> None:
    source = channel_images(60)
    images = [{"bytes": source.read(row), "path": f"{row}.png"} for row in range(60)]
    images[3]["bytes"], images[5]["bytes"] = b"", images[5]["bytes"][:40]
    labels = source.labels.copy()
    labels[9] = 7
    pq.write_table(pa.table({"image": images, "label": labels}), tmp_path / "bad.parquet")
    with pytest.raises(FaultyData) as caught:
        train(_config(f"parquet:{tmp_path / 'bad.parquet'}"), tmp_path / "run", quiet)
    message = str(caught.value)
    assert "images that cannot be read: 2 of 60" in message
    assert "labels that cannot be used: 1 of 60" in message
    assert not (tmp_path / "run" / "metrics.csv").exists()
