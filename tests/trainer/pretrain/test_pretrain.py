"""Pretraining from images to a folder: what it learns, what it never reads, and how it survives."""

from __future__ import annotations

import csv
import json
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fakes.stripes import EPOCHS, SCRATCH, SHALLOW, config_of, write_stripes
from PIL import Image
from rich.console import Console
from safetensors.torch import load_file, save_file

from trainer.config import ConfigError
from trainer.data.config import DataConfig
from trainer.data.source import open_source
from trainer.fit import threads
from trainer.fit.checkpoint import ResumeMismatch
from trainer.fit.loop import NonFiniteLoss
from trainer.models import ModelConfig, TransformerConfig, build_model
from trainer.models.backbones import build_transformer, family_of
from trainer.models.pretrained import WeightsNotFound, open_weights
from trainer.pretrain.autoencoder import MaskedAutoencoder
from trainer.pretrain.config import load_pretrain_config
from trainer.pretrain.images import UnusableImages
from trainer.pretrain.masking import Masking
from trainer.pretrain.run import PretrainResult, pretrain
from trainer.pretrain.weights import images_seen, overlap_notices
from trainer.run.console import RunConsole


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def same_weights(first: Path, second: Path) -> bool:
    one, other = weights_of(first), weights_of(second)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


class Killed(RunConsole):
    """A console that dies as soon as it is told of this epoch."""

    def __init__(self, epoch: int) -> None:
        super().__init__(Console(quiet=True))
        self._word = f"epoch {epoch}:"

    def note(self, text: str) -> None:
        if text.startswith(self._word):
            raise KeyboardInterrupt


def test_it_learns_to_tell_hidden_patches(scratch: PretrainResult) -> None:
    first, last = scratch.history[0], scratch.history[-1]
    assert len(scratch.history) == EPOCHS
    assert last.train_loss < first.train_loss
    assert last.held_out_loss < first.held_out_loss
    assert scratch.share.share > 0.99


def test_where_memory_runs_out_fewer_images_at_a_time_give_the_same(
    shallow: PretrainResult, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = MaskedAutoencoder.forward
    fits = 5

    def limited(self: MaskedAutoencoder, pixels: torch.Tensor, masking: Masking) -> torch.Tensor:
        if len(pixels) > fits:
            raise torch.OutOfMemoryError("no room")
        return whole(self, pixels, masking)

    monkeypatch.setattr(MaskedAutoencoder, "forward", limited)
    screen = StringIO()
    parts = pretrain(config_of(photos, **SHALLOW), tmp_path, RunConsole(Console(file=screen, width=200)))
    assert "Memory ran out with" in screen.getvalue()
    assert "gradients added up to the same batches of" in screen.getvalue()
    for one, other in zip(shallow.history, parts.history, strict=True):
        assert other.train_loss == pytest.approx(one.train_loss, rel=1e-3)
        assert other.held_out_loss == pytest.approx(one.held_out_loss, rel=1e-3)


def test_everything_is_written(scratch: PretrainResult) -> None:
    own = scratch.folder / "pretraining"
    with (own / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["held_out_loss"]) for row in rows] == pytest.approx(
        [epoch.held_out_loss for epoch in scratch.history], rel=1e-5
    )
    facts = json.loads((own / "pretraining.json").read_text())
    assert facts["rows"] == "all"
    assert facts["images"] + facts["held_out"] == 96
    assert facts["started_from"] == "random weights"
    for picture in ("loss_curve.png", "reconstructions.png"):
        with Image.open(own / picture) as image:
            assert image.size[0] > 400
    # Whole tracks of two are held out.
    assert facts["held_out"] % 2 == 0
    assert facts["held_out"] > 0


def test_the_folder_is_a_backbone(scratch: PretrainResult) -> None:
    where = f"folder:{scratch.folder}"
    assert family_of(open_weights(where)) == "vit"
    transformer = TransformerConfig(weights=where, adapt="lora")
    model = build_model(ModelConfig(name="vit", transformer=transformer), 32, 2)
    assert model(torch.zeros(1, 3, 32, 32)).logits.shape == (1, 2)
    # It knows the pixels as it was trained with them.
    assert isinstance(model.backbone.normalisation, torch.nn.Identity)  # type: ignore[union-attr]


def test_explora_carries_it_on(
    scratch: PretrainResult, photos: Path, console: RunConsole, tmp_path: Path
) -> None:
    config = config_of(photos, backbone=f"folder:{scratch.folder}", **{"explora.rank": 1})
    result = pretrain(config, tmp_path / "on", console)
    # It starts where the other pretraining ended, decoder included, and goes on from there.
    assert result.history[0].train_loss < scratch.history[0].train_loss - 0.05
    assert result.history[-1].held_out_loss < scratch.history[-1].held_out_loss
    assert 0.001 <= result.share.share <= 0.10
    before, after = weights_of(scratch.folder), weights_of(tmp_path / "on")
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    last = {name for name in before if ".11." in name}
    assert last
    assert last <= changed
    others = {name for name in changed - last if name.endswith(("query.weight", "value.weight"))}
    assert len(others) == 22
    assert all("norm" in name for name in changed - last - others)


@pytest.mark.parametrize("name", ["dinov2-registers", "dinov3"])
def test_every_family_can_be_pretrained_and_carried_on(
    name: str, photos: Path, console: RunConsole, tmp_path: Path
) -> None:
    scratch = {**SCRATCH, "backbone": name, "epochs": 1}
    first = pretrain(config_of(photos, **scratch), tmp_path / "first", console)
    assert first.family == name
    config = config_of(photos, backbone=f"folder:{tmp_path / 'first'}", epochs=1, **{"explora.rank": 1})
    second = pretrain(config, tmp_path / "second", console)
    assert second.family == name
    weights = TransformerConfig(weights=f"folder:{tmp_path / 'second'}")
    assert build_transformer(name, weights, 32)(torch.zeros(1, 3, 32, 32)).shape == (1, 96)


def test_a_seed_repeats_to_the_bit_and_another_differs(
    shallow: PretrainResult, photos: Path, console: RunConsole, tmp_path: Path
) -> None:
    pretrain(config_of(photos, **SHALLOW), tmp_path / "again", console)
    assert same_weights(shallow.folder, tmp_path / "again")
    metrics = Path("pretraining", "metrics.csv")
    assert (shallow.folder / metrics).read_bytes() == (tmp_path / "again" / metrics).read_bytes()
    pretrain(config_of(photos, **SHALLOW, seed=1), tmp_path / "other", console)
    assert not same_weights(shallow.folder, tmp_path / "other")


def test_a_killed_run_resumes_to_the_same_weights(
    shallow: PretrainResult, photos: Path, console: RunConsole, tmp_path: Path
) -> None:
    config = config_of(photos, **SHALLOW)
    with pytest.raises(KeyboardInterrupt):
        pretrain(config, tmp_path, Killed(2))
    assert not (tmp_path / "model.safetensors").exists()
    pretrain(config, tmp_path, console)
    assert same_weights(shallow.folder, tmp_path)
    with pytest.raises(ResumeMismatch, match="its configuration is"):
        pretrain(config.model_copy(update={"lr": 1e-4}), tmp_path, console)


def test_labels_are_not_learned_from(console: RunConsole, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    by_track = np.repeat(rng.integers(0, 2, 48), 2)
    shuffled = rng.permutation(by_track)
    for name, labels in (("true", by_track), ("shuffled", shuffled), ("swapped", 1 - by_track)):
        write_stripes(tmp_path / name, 96, seed=0, labels=labels.tolist())
    assert (by_track != shuffled).any()

    def weights(name: str, rows: str) -> Path:
        out = tmp_path / "out" / f"{name}-{rows}"
        values: dict[str, Any] = {**SHALLOW, "rows": rows, "epochs": 1}
        sizes = {"splits.val_select": 6, "splits.val_calib": 8, "splits.val_test": 6}
        pretrain(config_of(tmp_path / name, **values, **sizes), out, console)
        return out

    assert same_weights(weights("true", "all"), weights("shuffled", "all"))
    # The training split is stratified by label, so shuffling moves rows; the same split without the
    # meaning of its labels gives the same weights.
    assert same_weights(weights("true", "train"), weights("swapped", "train"))


def test_what_a_later_run_keeps_apart_is_not_seen(console: RunConsole, tmp_path: Path) -> None:
    photos = write_stripes(tmp_path / "photos", 96, seed=0, labels=np.repeat([0, 1], 48).tolist())
    sizes = {"splits.val_select": 6, "splits.val_calib": 8, "splits.val_test": 6}
    config = config_of(photos, **{**SHALLOW, "epochs": 1}, **sizes)
    result = pretrain(config, tmp_path / "out", console)
    facts = json.loads((tmp_path / "out" / "pretraining" / "pretraining.json").read_text())
    # 48 tracks of two: 28 to train on, 6 to select; certificate and test stay unseen.
    assert (facts["rows"], facts["images"], facts["held_out"]) == ("train", 56, 12)

    from bundle.images.preprocess import PreprocessSpec
    from trainer.data.faults import prepare
    from trainer.data.splits import SplitSizes, make_splits

    source = open_source(DataConfig(source=f"folder:{photos}", group="track"))
    content = prepare(source, [PreprocessSpec(height=32, width=32)]).pixels.content
    splits = make_splits(
        source.labels,
        source.groups,
        SplitSizes(6, 8, 6),
        seed=config.seed,
        ids=content,
    )
    seen = {
        name: images_seen(open_weights(f"folder:{result.folder}"), [content[row] for row in rows.tolist()])
        for name, rows in splits
    }
    assert seen == {"train": 56, "val_select": 12, "val_calib": 0, "val_test": 0}


def test_what_a_later_training_certifies_on_stays_unseen_without_named_sizes(
    console: RunConsole, tmp_path: Path
) -> None:
    """`demur train` gives calibration more images where the backbone is pretrained."""
    from bundle.images.preprocess import PreprocessSpec
    from trainer.data.faults import prepare
    from trainer.data.splits import ERRORS_WHEN_PRETRAINED, CalibrationNeed, make_splits

    photos = write_stripes(tmp_path / "photos", 96, seed=0, labels=np.repeat([0, 1], 48).tolist())
    config = config_of(photos, **{**SHALLOW, "epochs": 1, "promise.alpha": 0.3})
    result = pretrain(config, tmp_path / "out", console)
    source = open_source(DataConfig(source=f"folder:{photos}", group="track"))
    content = prepare(source, [PreprocessSpec(height=32, width=32)]).pixels.content
    later, other = (
        make_splits(
            source.labels,
            source.groups,
            CalibrationNeed(config.promise.target, ERRORS_WHEN_PRETRAINED),
            seed=seed,
            ids=content,
        )
        for seed in (config.seed, config.seed + 1)
    )
    weights = open_weights(f"folder:{result.folder}")
    assert list(overlap_notices(weights, content, later)) == []
    assert "of val_calib: what is measured" in next(iter(overlap_notices(weights, content, other))).message


def test_a_loss_that_is_not_finite_stops_naming_the_step(
    scratch: PretrainResult, photos: Path, console: RunConsole, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in ("config.json", "preprocessor_config.json"):
        (broken / file).write_bytes((scratch.folder / file).read_bytes())
    weights = weights_of(scratch.folder)
    weights["embeddings.patch_embeddings.projection.weight"][0] = float("nan")
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    config = config_of(photos, backbone=f"folder:{broken}", **{"explora.rank": 1})
    with pytest.raises(
        NonFiniteLoss, match=r"loss is nan at step 0 \(epoch 1\), on the batch of 32 training images"
    ):
        pretrain(config, tmp_path / "out", console)


def test_unreadable_images_are_reported_or_skipped(console: RunConsole, tmp_path: Path) -> None:
    photos = write_stripes(tmp_path / "photos", 96, seed=0)
    (photos / "007.png").write_bytes(b"no image")
    config = config_of(photos, **{**SHALLOW, "epochs": 1})
    with pytest.raises(UnusableImages, match=r"1 of 96 images cannot be read \(--skip-bad.*\n.*007\.png"):
        pretrain(config, tmp_path / "out", console)
    skipping = config_of(photos, **{**SHALLOW, "epochs": 1, "data.skip_bad": True})
    pretrain(skipping, tmp_path / "out", console)
    facts = json.loads((tmp_path / "out" / "pretraining" / "pretraining.json").read_text())
    assert facts["images"] + facts["held_out"] == 95


def test_a_split_without_images_to_measure_on_is_refused(console: RunConsole, tmp_path: Path) -> None:
    photos = write_stripes(tmp_path / "photos", 32, seed=0, labels=[0, 1] * 16)
    sizes = {"splits.val_select": 0, "splits.val_calib": 4, "splits.val_test": 4}
    with pytest.raises(UnusableImages, match=r"and 0 to measure on; .* raise splits\.val_select"):
        pretrain(config_of(photos, **SHALLOW, **sizes), tmp_path / "out", console)


def test_the_size_follows_the_images_where_none_is_named(console: RunConsole, tmp_path: Path) -> None:
    photos = write_stripes(tmp_path / "photos", 16, seed=0)
    config = config_of(photos, **{**SHALLOW, "epochs": 1, "image_size": None, "shape.patch_size": None})
    pretrain(config, tmp_path / "out", console)
    written = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (written["image_size"], written["patch_size"]) == (32, 4)


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        (
            {"backbone": "vit"},
            "backbone is 'vit'; it must be folder:PATH or hub:OWNER/NAME, or, with from_scratch",
        ),
        ({"backbone": "folder:x", "from_scratch": True}, "with from_scratch; it must be one of vit, dinov2"),
        ({"backbone": "vit", "from_scratch": True, "hidden_share": 1.0}, "hidden_share is 1.0"),
        ({"backbone": "folder:x", "decoder.hidden_size": 30}, "decoder hidden_size is 30 with 4 heads"),
    ],
)
def test_impossible_configs_are_refused(values: dict[str, Any], fault: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_pretrain_config(None, {"data.source": "scenes", **values})
    assert fault in str(caught.value)


def test_missing_weights_are_reported_before_any_image_is_read(console: RunConsole, tmp_path: Path) -> None:
    config = load_pretrain_config(
        None, {"data.source": "folder:nowhere", "backbone": f"folder:{tmp_path}", "compute.device": "cpu"}
    )
    with pytest.raises(WeightsNotFound, match=r"holds no config\.json"):
        pretrain(config, tmp_path / "out", console)


def test_threads_are_measured_recorded_and_kept_by_a_resumed_run(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "WORTH_MEASURING_S", 0.0)
    with threads.thread_count_restored():
        torch.set_num_threads(2)
        whole = pretrain(config_of(photos, **SHALLOW), tmp_path / "whole", Killed(99))
        with pytest.raises(KeyboardInterrupt):
            pretrain(config_of(photos, **SHALLOW), tmp_path / "cut", Killed(1))
        assert torch.get_num_threads() == 2
        facts = json.loads((whole.folder / "pretraining" / "pretraining.json").read_text())
        ((step, count),) = [(change["step"], change["threads"]) for change in facts["threads"]]
        assert (step, count in (1, 2)) == (0, True)
        # The number is part of the configuration that repeats the run.
        written = load_pretrain_config(whole.folder / "pretraining" / "config.yaml", {})
        assert written.compute.threads == count
        monkeypatch.setattr(threads.ThreadTuner, "_measure", None)
        again = pretrain(written, tmp_path / "again", Killed(99))
        assert same_weights(whole.folder, again.folder)
        # A resumed run measures nothing and takes up its own number.
        resumed = pretrain(config_of(photos, **SHALLOW), tmp_path / "cut", Killed(99))
        own = json.loads((resumed.folder / "pretraining" / "pretraining.json").read_text())
        assert [change["step"] for change in own["threads"]] == [0]
