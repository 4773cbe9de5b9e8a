"""Stages with a frozen backbone: heads trained on kept features, and what they hand to a student."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes.tiny_vit import save_tiny_transformer

from trainer.fit import threads
from trainer.fit.augment import level
from trainer.fit.batches import FitData, LabelledPixels, Normaliser
from trainer.fit.checkpoint_selection import stage_outputs
from trainer.fit.config import LoopConfig
from trainer.fit.device import EXACT
from trainer.fit.loop import FitResult, fit
from trainer.fit.threads import ThreadChange, ThreadTuner, numbers_of, thread_count_restored
from trainer.models import ModelConfig, StageModel, TransformerConfig, build_model
from trainer.transfer.frozen_backbone import CachedViews, fit_frozen_backbone, teacher_outputs

MEAN_STD = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
LOOP = LoopConfig(batch_size=32, lr=1e-2, augment=level("geometric"))
VIEWS = 2


def squares(n: int, seed: int) -> LabelledPixels:
    """Noise; images of class 1 hold a bright square."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 2, (n,), generator=generator)
    pixels = torch.randint(0, 200, (n, 32, 32, 3), generator=generator, dtype=torch.uint8)
    pixels[labels == 1, 8:22, 8:22] = 255
    return LabelledPixels(pixels, labels)


TRAIN, SELECT = squares(256, 1), squares(96, 2)
DATA = FitData(TRAIN, SELECT, MEAN_STD)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_transformer("vit", tmp_path_factory.mktemp("weights") / "vit")


def stage(weights: Path) -> StageModel:
    transformer = TransformerConfig(weights=f"folder:{weights}", adapt="head")
    return build_model(ModelConfig(name="vit", transformer=transformer), 32, 2)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("features")


@pytest.fixture(scope="module")
def fitted(weights: Path, cache: Path) -> FitResult:
    return fit_frozen_backbone(stage(weights), DATA, LOOP, CachedViews(VIEWS, cache))


@pytest.fixture(scope="module")
def logits_of_teacher(fitted: FitResult, cache: Path) -> torch.Tensor:
    return teacher_outputs(fitted.model, TRAIN, MEAN_STD, LOOP, CachedViews(VIEWS, cache)).logits


def test_the_heads_learn_and_the_backbone_stays(fitted: FitResult, weights: Path) -> None:
    fresh = stage(weights)
    model = fitted.model
    assert fitted.history[fitted.best_epoch - 1].accuracy > 0.9
    pairs = zip(model.backbone.state_dict().values(), fresh.backbone.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    assert not torch.equal(model.classifier.weight, fresh.classifier.weight)


def test_the_selection_split_is_measured_as_it_will_be_served(fitted: FitResult) -> None:
    outputs = stage_outputs(fitted.model, SELECT, Normaliser.from_mean_std(MEAN_STD))
    best = fitted.history[fitted.best_epoch - 1]
    assert best.accuracy == np.mean(outputs.logits.argmax(axis=-1) == SELECT.labels.numpy())


def test_progress_is_reported_and_features_are_read_from_the_cache(weights: Path, tmp_path: Path) -> None:
    reported: list[tuple[int, int]] = []
    runs = [
        fit_frozen_backbone(
            stage(weights),
            DATA,
            LOOP,
            CachedViews(VIEWS, tmp_path),
            advance=lambda done, total: reported.append((done, total)),
        )
        for _ in range(2)
    ]
    total = len(TRAIN) * (1 + VIEWS) + len(SELECT)
    assert reported.count((total, total)) == 2
    assert len(list(tmp_path.iterdir())) == 2
    assert runs[0].history == runs[1].history


def test_a_student_learns_from_teacher_logits_though_the_labels_are_wrong(
    logits_of_teacher: torch.Tensor,
) -> None:
    """All of the loss is the teacher's, so turned labels do not matter."""
    objective = {"teacher_weight": 1.0}
    config = LoopConfig.model_validate(
        {"epochs": 6, "batch_size": 32, "lr": 1e-2, "ema_decay": 0.8, "objective": objective}
    )
    lying = LabelledPixels(TRAIN.pixels, 1 - TRAIN.labels, teacher_logits=logits_of_teacher)
    student = build_model(ModelConfig(name="cnn-tiny", width=8), 32, 2)
    result = fit(student, FitData(lying, SELECT, MEAN_STD), config)
    assert result.history[-1].accuracy > 0.9


def test_teacher_logits_are_the_mean_over_the_views_and_embed_nothing_again(
    fitted: FitResult, logits_of_teacher: torch.Tensor, cache: Path
) -> None:
    """One view is the image as it is, so the mean lies near what is served, and is not the same."""
    assert len(list(cache.iterdir())) == 2
    served = stage_outputs(fitted.model, TRAIN, Normaliser.from_mean_std(MEAN_STD)).logits
    alone = teacher_outputs(fitted.model, TRAIN, MEAN_STD, LOOP, CachedViews(0, cache)).logits
    np.testing.assert_allclose(alone.numpy(), served, atol=1e-4)
    assert np.corrcoef(logits_of_teacher[:, 1], served[:, 1])[0, 1] > 0.8
    assert np.abs(logits_of_teacher.numpy() - served).max() > 1e-3


def test_teacher_logits_belong_to_the_digest(logits_of_teacher: torch.Tensor) -> None:
    assert (
        LabelledPixels(TRAIN.pixels, TRAIN.labels, teacher_logits=logits_of_teacher).digest()
        != TRAIN.digest()
    )
    with pytest.raises(ValueError, match="teacher_logits have shape"):
        LabelledPixels(TRAIN.pixels, TRAIN.labels, teacher_logits=logits_of_teacher[:-1])


@pytest.fixture
def two_cores() -> Iterator[None]:
    with thread_count_restored():
        torch.set_num_threads(2)
        yield


def test_threads_are_measured_recorded_and_taken_up_by_later_work(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, two_cores: None
) -> None:
    monkeypatch.setattr(threads, "WORTH_MEASURING_S", 0.0)
    cache, compute = CachedViews(VIEWS, tmp_path), EXACT
    result = fit_frozen_backbone(stage(weights), DATA, LOOP, cache, compute=compute)
    assert torch.get_num_threads() == 2
    (count,) = numbers_of(result.threads)
    assert count in (1, 2)
    facts = [json.loads((entry / "facts.json").read_text()) for entry in tmp_path.iterdir()]
    assert facts == [{"threads": [[0, count]]}] * 2
    # Measuring leaves no trace: the same number, configured, gives the same heads.
    fixed = compute.model_copy(update={"threads": count})
    again = fit_frozen_backbone(
        stage(weights), DATA, LOOP, CachedViews(VIEWS, tmp_path / "fixed"), compute=fixed
    )
    assert (again.history, again.threads) == (result.history, result.threads)

    monkeypatch.setattr(ThreadTuner, "_measure", None)
    plan = (ThreadChange(7, 3 - count),)
    taught = teacher_outputs(result.model, SELECT, MEAN_STD, LOOP, CachedViews(1, tmp_path), before=plan)
    assert taught.threads == (ThreadChange(0, 3 - count),)


def test_features_of_another_number_of_threads_are_computed_again(
    weights: Path, tmp_path: Path, two_cores: None
) -> None:
    for count in (1, 2, 2):
        compute = EXACT.model_copy(update={"threads": count})
        result = fit_frozen_backbone(stage(weights), DATA, LOOP, CachedViews(0, tmp_path), compute=compute)
        assert numbers_of(result.threads) == (count,)
