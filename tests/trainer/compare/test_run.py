"""A comparison from images to table, and the figures in it by hand."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes.squares import write_squares
from fakes.tiny_vit import save_tiny_transformer
from PIL import Image
from rich.console import Console

from calibration.scores import StageOutputs
from trainer.compare.config import CompareConfig, read_config
from trainer.compare.figures import AnswersOnTest, against_full, figures_of
from trainer.compare.run import ComparisonResult, compare
from trainer.compare.table import markdown
from trainer.config import ConfigError
from trainer.fit.checkpoint import ResumeMismatch
from trainer.models import ModelConfig, TransformerConfig, build_model
from trainer.models.pretrained import BackboneError, WeightsNotFound
from trainer.run.console import RunConsole
from trainer.run.promise import PromiseConfig
from trainer.scoring.split_scores import SplitScores
from trainer.transfer.methods import METHODS, step_bytes


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_transformer("dinov2", tmp_path_factory.mktemp("weights") / "dinov2")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise in one folder, noise with a bright square in the other."""
    return write_squares(tmp_path_factory.mktemp("photos"), 110)


@pytest.fixture(scope="module")
def config(weights: Path, photos: Path) -> CompareConfig:
    return read_config(
        {
            "data.source": f"folder:{photos}",
            "backbone": f"folder:{weights}",
            "methods": ["full", "lora", "dora", "head"],
            "seeds": 2,
            "search": False,
            "epochs": 3,
            "batch_size": 16,
            "train_images": 60,
            "splits.val_select": 40,
            "splits.val_calib": 60,
            "splits.val_test": 50,
            "rank": 4,
            "views": 1,
            "promise.alpha": 0.2,
            "augment": "none",
        }
    )


@pytest.fixture(scope="module")
def result(config: CompareConfig, tmp_path_factory: pytest.TempPathFactory) -> ComparisonResult:
    return compare(config, tmp_path_factory.mktemp("compare"), RunConsole(Console(quiet=True)))


def test_every_method_is_trained_with_every_seed(result: ComparisonResult) -> None:
    by_method = {summary.method: summary for summary in result.summaries}
    assert list(by_method) == ["full", "lora", "dora", "head"]
    assert "60 training images, 50 test images, 2 seeds" in result.files[2].read_text()
    for summary in result.summaries:
        assert [run.seed for run in summary.runs] == [0, 1]
        assert all(0.0 <= run.certified_coverage <= 1.0 for run in summary.runs)
    shares = {name: summary.mean("trained_share") for name, summary in by_method.items()}
    assert shares["head"] < shares["lora"] < shares["dora"] < shares["full"] <= 1.0
    memory = {name: summary.mean("step_bytes") for name, summary in by_method.items()}
    assert memory["head"] < memory["lora"] < memory["full"]
    assert by_method["full"].against_full == {}
    assert set(by_method["lora"].against_full) == {"accuracy", "balanced_mcc", "augrc"}


def test_something_is_learned(result: ComparisonResult) -> None:
    assert max(summary.mean("accuracy") for summary in result.summaries) > 0.8


def test_the_table_is_written_three_ways(result: ComparisonResult) -> None:
    table, seeds, text, picture = result.files
    with table.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["method"] for row in rows] == ["full", "lora", "dora", "head"]
    assert rows[0]["accuracy_vs_full"] == ""
    lora = result.summaries[1]
    assert float(rows[1]["accuracy"]) == pytest.approx(lora.mean("accuracy"), rel=1e-5)
    assert float(rows[1]["augrc_low"]) == pytest.approx(lora.against_full["augrc"].low, rel=1e-4, abs=1e-9)
    with seeds.open() as file:
        assert len(list(csv.DictReader(file))) == 8
    assert "| LoRA q/v |" in text.read_text()
    with Image.open(picture) as image:
        assert image.size[0] > 1000


def test_the_probe_keeps_its_features(result: ComparisonResult) -> None:
    # One file for the training images with their view, one for val_select; both seeds share them.
    assert len(list((result.files[0].parent / "features").iterdir())) == 2


class Killed(RunConsole):
    """A console that dies as soon as the word is said."""

    def __init__(self, word: str) -> None:
        super().__init__(Console(quiet=True))
        self._word = word
        self.trained: list[str] = []

    def bar(self, description: str, total: int, unit: str = "images"):  # type: ignore[no-untyped-def]
        if ", seed" in description:
            self.trained.append(description)
            if self._word in description:
                raise KeyboardInterrupt
        return super().bar(description, total, unit)


def test_a_killed_comparison_goes_on_with_what_is_left(
    config: CompareConfig, result: ComparisonResult, tmp_path: Path
) -> None:
    config = config.model_copy(update={"methods": ("full", "lora")})
    with pytest.raises(KeyboardInterrupt):
        compare(config, tmp_path, Killed("LoRA q/v, seed 1"))
    rest = Killed("nothing")
    again = compare(config, tmp_path, rest)
    assert rest.trained == ["LoRA q/v, seed 1"]
    for summary, uninterrupted in zip(again.summaries, result.summaries, strict=False):
        for run, other in zip(summary.runs, uninterrupted.runs, strict=True):
            assert replace(run, seconds=0.0) == replace(other, seconds=0.0)
    assert again.summaries[1].against_full == result.summaries[1].against_full
    more = Killed("nothing")
    compare(config.model_copy(update={"seeds": 3}), tmp_path, more)
    assert len(more.trained) == 2
    with pytest.raises(ResumeMismatch, match="belongs to another run: its configuration"):
        compare(config.model_copy(update={"epochs": 4}), tmp_path, more)


def test_a_search_that_was_killed_keeps_the_rates_that_it_tried(
    config: CompareConfig, tmp_path: Path
) -> None:
    config = config.model_copy(update={"methods": ("head",), "search": True, "seeds": 1, "epochs": 1})
    whole = compare(config, tmp_path / "whole", RunConsole(Console(quiet=True)))
    with pytest.raises(KeyboardInterrupt):
        compare(config, tmp_path / "killed", Killed("lr 0.01"))
    rest = Killed("nothing")
    again = compare(config, tmp_path / "killed", rest)
    # The last rate, and once more an earlier one where that turned out to be the best.
    assert "lr 0.01" in rest.trained[0]
    assert len(rest.trained) <= 2
    found, expected = again.summaries[0].runs[0], whole.summaries[0].runs[0]
    assert replace(found, seconds=0.0) == replace(expected, seconds=0.0)


def split(name: str, labels: np.ndarray, logits: np.ndarray) -> SplitScores:
    gate = np.abs(logits[:, 1] - logits[:, 0])
    return SplitScores(name, name, "torch/fp32", labels, (StageOutputs(logits, gate),))


def gaussian_split(name: str, n: int, seed: int, strength: float) -> SplitScores:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, n)
    margin = strength * (2 * labels - 1) + generator.standard_normal(n)
    return split(name, labels, np.stack([-margin, margin], axis=1))


def test_a_strong_model_is_feasible_and_a_coin_is_not() -> None:
    promise = PromiseConfig(alpha=0.05)
    for strength, feasible in ((3.0, True), (0.0, False)):
        parts = [
            gaussian_split(name, 600, seed, strength)
            for seed, name in enumerate(("val_select", "val_calib", "val_test"))
        ]
        figures, answers = figures_of(*parts, promise)
        assert figures["gate_feasible"] is feasible
        assert (figures["certified_coverage"] > 0.9) is feasible
        assert figures["accuracy"] == np.mean(answers.predictions == parts[2].labels)


def test_differences_to_full_training_are_paired_and_signed() -> None:
    labels = np.tile([0, 1], 100)
    test = split("val_test", labels, np.zeros((200, 2)))
    confidence = np.linspace(0.0, 1.0, 200)
    right, often_wrong = labels.copy(), labels.copy()
    often_wrong[:40] = 1 - often_wrong[:40]
    full = [AnswersOnTest(right, confidence), AnswersOnTest(right, confidence)]
    other = [AnswersOnTest(right, confidence), AnswersOnTest(often_wrong, confidence)]
    same = against_full(test, full, full, seed=0)
    assert (same["accuracy"].value, same["accuracy"].low, same["accuracy"].high) == (0.0, 0.0, 0.0)
    assert not same["accuracy"].is_clear
    worse = against_full(test, full, other, seed=0)
    # 40 of 200 wrong in one of two seeds.
    assert worse["accuracy"].value == pytest.approx(-0.1)
    assert worse["accuracy"].is_clear
    assert worse["augrc"].value > 0.0


def test_the_markdown_marks_what_chance_does_not_explain(result: ComparisonResult) -> None:
    lora = result.summaries[1]
    clear = {
        name: replace(difference, value=0.02, low=0.01, high=0.03)
        for name, difference in lora.against_full.items()
    }
    text = markdown([result.summaries[0], replace(lora, against_full=clear)], "subtitle")
    assert "| LoRA q/v | +2.00 [+1.00, +3.00] * |" in text
    assert "| minus full training |" in text


def test_step_memory_by_hand(weights: Path) -> None:
    def model(adapt: str) -> torch.nn.Module:
        transformer = TransformerConfig(weights=f"folder:{weights}", adapt=adapt)
        return build_model(ModelConfig(name="dinov2", transformer=transformer), 32, 2)

    head = model("head")
    parameters = sum(p.numel() for p in head.parameters())
    heads = sum(p.numel() for p in head.parameters() if p.requires_grad)
    # The heads keep the features (96 numbers, once) and the gate's hidden layer (48).
    kept = 96 + 48
    assert step_bytes(head, 32, 8) == 4 * (parameters + 3 * heads + 8 * kept)
    assert step_bytes(model("full"), 32, 8) > 2 * step_bytes(head, 32, 8)


def test_what_cannot_be_compared_is_refused_at_once(tmp_path: Path) -> None:
    quiet = RunConsole(Console(quiet=True))
    values = {"data.source": "folder:nowhere", "backbone": "random"}
    with pytest.raises(BackboneError, match="nothing to compare; name folder:PATH"):
        compare(read_config(values), tmp_path, quiet)
    with pytest.raises(WeightsNotFound, match=r"holds no config\.json"):
        compare(read_config({**values, "backbone": f"folder:{tmp_path}"}), tmp_path, quiet)
    with pytest.raises(ConfigError, match="methods are prefix; known: full, lora"):
        read_config({**values, "methods": ["prefix"]})
    assert set(METHODS) == {"full", "lora", "lora-all", "dora", "dora-all", "head"}
