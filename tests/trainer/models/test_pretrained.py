"""Weights from the hub, against a small server that speaks the part of its interface that we use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from fakes.hub import COMMIT, small_hub
from fakes.tiny_vit import save_tiny_transformer

from trainer.models import TransformerConfig
from trainer.models import pretrained as rooms
from trainer.models.backbones import build_transformer, family_of
from trainer.models.pretrained import HubUnavailable, open_weights

NAME = "someone/dinov3-tiny"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Serves someone/dinov3-tiny with a pickle beside its weights; yields the paths that were asked for."""
    folder = save_tiny_transformer("dinov3", tmp_path / "weights")
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    files = {file.name: file.read_bytes() for file in folder.iterdir()}
    rooms._fetch.cache_clear()
    with small_hub("models", NAME, files, tmp_path / "hub", monkeypatch) as asked:
        yield asked
    rooms._fetch.cache_clear()


def test_weights_come_from_the_hub_without_its_pickles(hub: list[str], tmp_path: Path) -> None:
    assert family_of(open_weights(f"hub:{NAME}")) == "dinov3"
    config = TransformerConfig(weights=f"hub:{NAME}", adapt="lora")
    backbone = build_transformer("dinov3", config, 32).eval()
    assert backbone.weights == NAME
    assert backbone.has_adapter
    local = TransformerConfig(weights=f"folder:{tmp_path / 'weights'}", adapt="head")
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        expected = build_transformer("dinov3", local, 32).eval()(x)
        torch.testing.assert_close(backbone(x), expected, atol=1e-5, rtol=0.0)
    assert any("model.safetensors" in path for path in hub)
    assert not any("pytorch_model.bin" in path for path in hub)


def test_they_are_asked_for_once_a_process_and_by_revision(hub: list[str]) -> None:
    open_weights(f"hub:{NAME}@{COMMIT}")
    count = len(hub)
    assert any(COMMIT in path for path in hub)
    open_weights(f"hub:{NAME}@{COMMIT}")
    assert len(hub) == count


def test_a_name_that_the_hub_does_not_have_is_one_sentence(hub: list[str]) -> None:
    with pytest.raises(HubUnavailable, match=r"someone/else could not be fetched .*use folder:PATH$"):
        open_weights("hub:someone/else")
