"""Kept features: equal to the uncached path, found again by what they depend on, and quick to train on."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes.tiny_vit import save_tiny_transformer

from trainer.fit.augment import level
from trainer.fit.batches import LabelledPixels, Normaliser
from trainer.fit.checkpoint_selection import stage_outputs
from trainer.fit.loop import NonFiniteLoss
from trainer.fit.loss import LossConfig
from trainer.models import ModelConfig, StageModel, TransformerConfig, build_model
from trainer.transfer.features import (
    FeatureConfig,
    Features,
    cached_features,
    embed,
    feature_key,
    outputs_from,
)
from trainer.transfer.linear_probe import LinearProbeConfig, fit_linear_probe

MEAN_STD = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CONFIG = FeatureConfig(views=2, augment=level("colour"), seed=4)


def squares(n: int, seed: int, size: int = 32) -> LabelledPixels:
    """Noise; images of class 1 hold a bright square somewhere."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 2, (n,), generator=generator)
    pixels = torch.randint(0, 200, (n, size, size, 3), generator=generator, dtype=torch.uint8)
    half = size // 2
    pixels[labels == 1, half : half + 10, half : half + 10] = 255
    return LabelledPixels(pixels, labels)


TRAIN, SELECT = squares(320, 1), squares(120, 2)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> StageModel:
    folder = save_tiny_transformer("dinov2", tmp_path_factory.mktemp("weights") / "dinov2")
    transformer = TransformerConfig(weights=f"folder:{folder}", adapt="head")
    return build_model(ModelConfig(name="dinov2", transformer=transformer), 32, 2)


def test_what_is_kept_gives_the_outputs_of_the_whole_model(model: StageModel, tmp_path: Path) -> None:
    kept = cached_features(model, SELECT, MEAN_STD, CONFIG, tmp_path)
    assert kept.views.shape == (3, len(SELECT), model.backbone.n_features)
    expected = stage_outputs(model, SELECT, Normaliser.from_mean_std(MEAN_STD))
    found = outputs_from(model, kept)
    np.testing.assert_allclose(found.logits, expected.logits, atol=1e-5)
    np.testing.assert_allclose(found.gate, expected.gate, atol=1e-5)


def test_a_second_pass_reads_the_file_and_finds_the_same(
    model: StageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = embed(model, TRAIN, MEAN_STD, CONFIG)
    first = cached_features(model, TRAIN, MEAN_STD, CONFIG, tmp_path)

    def must_not_run(*_: object) -> None:
        raise AssertionError("the backbone was asked again")

    monkeypatch.setattr(model.backbone, "forward", must_not_run)
    heard: list[int] = []
    second = cached_features(model, TRAIN, MEAN_STD, CONFIG, tmp_path, advance=heard.append)
    assert isinstance(second.views, np.memmap)
    assert sum(heard) == 3 * len(TRAIN)
    np.testing.assert_array_equal(first.views, fresh.views)
    np.testing.assert_array_equal(second.views, fresh.views)


def test_heads_trained_on_kept_features_equal_those_trained_on_fresh_ones(
    model: StageModel, tmp_path: Path
) -> None:
    config = LinearProbeConfig(epochs=3, lr=1e-2, seed=9)
    results = []
    for load in (embed, lambda *a: cached_features(*a, tmp_path)):
        own = copy.deepcopy(model)
        train, select = (
            load(own, TRAIN, MEAN_STD, CONFIG),
            load(own, SELECT, MEAN_STD, FeatureConfig(views=0)),
        )
        results.append(fit_linear_probe(own, train, select, config))
    fresh, kept = results
    assert fresh.history == kept.history
    weights = zip(fresh.model.state_dict().items(), kept.model.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for (_, a), b in weights)


def test_features_are_those_that_serve_whatever_mode_the_model_is_in() -> None:
    model = build_model(ModelConfig(name="cnn-tiny", width=4), 32, 2).train()
    statistics = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    found = embed(model, SELECT, MEAN_STD, FeatureConfig(views=0)).view(0)
    assert model.training
    assert all(torch.equal(statistics[name], tensor) for name, tensor in model.state_dict().items())
    pixels = Normaliser.from_mean_std(MEAN_STD)(SELECT.pixels.permute(0, 3, 1, 2) / 255)
    with torch.no_grad():
        torch.testing.assert_close(found, model.eval().backbone(pixels), atol=1e-5, rtol=1e-5)


def test_views_differ_and_repeat(model: StageModel) -> None:
    first, again = (embed(model, SELECT, MEAN_STD, CONFIG).views for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first[0] - first[1]).max() > 1e-3
    assert np.abs(first[1] - first[2]).max() > 1e-3
    other = embed(model, SELECT, MEAN_STD, CONFIG.model_copy(update={"seed": 5})).views
    np.testing.assert_array_equal(first[0], other[0])
    assert np.abs(first[1] - other[1]).max() > 1e-3


def test_the_key_tells_apart_everything_that_matters(model: StageModel) -> None:
    changed_weights = copy.deepcopy(model)
    with torch.no_grad():
        next(changed_weights.backbone.parameters()).add_(1e-3)
    other_heads = copy.deepcopy(model)
    with torch.no_grad():
        other_heads.classifier.weight.add_(1.0)
    key = feature_key(model, SELECT, MEAN_STD, CONFIG)
    others = [
        feature_key(changed_weights, SELECT, MEAN_STD, CONFIG),
        feature_key(model, TRAIN, MEAN_STD, CONFIG),
        feature_key(model, SELECT, ((0.5,) * 3, (0.5,) * 3), CONFIG),
        feature_key(model, SELECT, MEAN_STD, CONFIG.model_copy(update={"bf16": True})),
        feature_key(model, SELECT, MEAN_STD, CONFIG.model_copy(update={"views": 3})),
    ]
    assert len({key, *others}) == 6
    assert feature_key(other_heads, SELECT, MEAN_STD, CONFIG) == key


def test_bfloat16_features_are_close(model: StageModel) -> None:
    plain = FeatureConfig(views=0)
    exact = embed(model, SELECT, MEAN_STD, plain).views
    rough = embed(model, SELECT, MEAN_STD, plain.model_copy(update={"bf16": True})).views
    assert rough.dtype == np.float32
    assert 0.0 < np.abs(rough - exact).mean() < 0.05 * exact.std()


def test_an_interrupted_pass_leaves_nothing(model: StageModel, tmp_path: Path) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached_features(model, SELECT, MEAN_STD, CONFIG, tmp_path, advance=interrupt)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["cross_entropy", "selective"])
def test_heads_learn_from_features_alone(model: StageModel, kind: str) -> None:
    own = copy.deepcopy(model)
    backbone = {name: tensor.clone() for name, tensor in own.backbone.state_dict().items()}
    plain = FeatureConfig(views=0)
    config = LinearProbeConfig(epochs=20, lr=1e-2, objective=LossConfig(kind=kind))
    result = fit_linear_probe(
        own, embed(own, TRAIN, MEAN_STD, plain), embed(own, SELECT, MEAN_STD, plain), config
    )
    assert result.history[result.best_epoch - 1].accuracy > 0.9
    assert result.seconds < 30
    assert not own.training
    assert all(torch.equal(backbone[name], tensor) for name, tensor in own.backbone.state_dict().items())


def test_where_memory_runs_out_fewer_images_are_embedded_at_a_time(model: StageModel) -> None:
    whole = embed(model, SELECT, MEAN_STD, CONFIG)
    seen: list[int] = []

    def refuse(_: object, inputs: tuple[torch.Tensor, ...]) -> None:
        if len(inputs[0]) > 40:
            raise torch.OutOfMemoryError("no room")
        seen.append(len(inputs[0]))

    hook = model.backbone.register_forward_pre_hook(refuse)
    try:
        np.testing.assert_allclose(embed(model, SELECT, MEAN_STD, CONFIG).views, whole.views, atol=1e-5)
    finally:
        hook.remove()
    assert max(seen) == 32


def test_a_loss_that_is_not_finite_stops_naming_the_step(model: StageModel) -> None:
    kept = embed(model, TRAIN, MEAN_STD, FeatureConfig(views=0))
    broken = Features(np.full_like(kept.views, np.nan), kept.labels)
    with pytest.raises(NonFiniteLoss, match=r"loss is nan at step 0 \(epoch 1\), on the batch of 128"):
        fit_linear_probe(copy.deepcopy(model), broken, kept, LinearProbeConfig(epochs=1))
