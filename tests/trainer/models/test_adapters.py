"""Adapters: no change when fresh, the same when reloaded and merged, on every family and both methods."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes.tiny_vit import save_tiny_transformer
from torch import Tensor, nn

from bundle.engines.model import open_model
from trainer.models import (
    FAMILIES,
    ModelConfig,
    StageModel,
    TransformerBackbone,
    TransformerConfig,
    build_model,
    n_parameters,
)
from trainer.models.adapters import (
    ADAPTER_FILES,
    AdapterConfig,
    AdapterError,
    AdapterMethod,
    AdapterTargets,
    attach,
    load_adapter,
    merge,
    save_adapter,
)
from trainer.models.backbones import build_transformer
from trainer.models.onnx_export import export_onnx

CASES: list[tuple[str, AdapterMethod, AdapterTargets]] = [
    (name, method, targets)
    for name in sorted(FAMILIES)
    for method in ("lora", "dora")
    for targets in ("qv", "all-linear")
]
PIXELS = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("weights")
    return {name: save_tiny_transformer(name, root / name) for name in FAMILIES}


def stage(folder: Path, name: str, adapt: str, **adapter: object) -> StageModel:
    transformer = TransformerConfig(
        weights=f"folder:{folder}", adapt=adapt, adapter=AdapterConfig(rank=4).model_copy(update=adapter)
    )
    return build_model(ModelConfig(name=name, transformer=transformer), 32, 2, seed=1)


def logits(model: StageModel) -> Tensor:
    with torch.no_grad():
        found: Tensor = model.eval()(PIXELS).logits
    return found


def backbone(model: StageModel) -> TransformerBackbone:
    assert isinstance(model.backbone, TransformerBackbone)
    return model.backbone


def train_a_little(model: StageModel, steps: int = 3) -> None:
    """Enough that the adapter does something."""
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.02)
    labels = torch.tensor([0, 1, 0, 1, 1])
    model.train()
    for _ in range(steps):
        loss = nn.functional.cross_entropy(model(PIXELS).logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@pytest.mark.parametrize(("name", "method", "targets"), CASES)
def test_an_adapter_starts_as_nothing_survives_the_disk_and_merges(
    name: str, method: AdapterMethod, targets: AdapterTargets, folders: dict[str, Path], tmp_path: Path
) -> None:
    base = logits(stage(folders[name], name, "head"))
    model = stage(folders[name], name, method, targets=targets)
    torch.testing.assert_close(logits(model), base, atol=1e-5, rtol=0.0)

    frozen = {n: p.clone() for n, p in backbone(model).named_parameters() if not p.requires_grad}
    train_a_little(model)
    trained = logits(model)
    assert (trained - base).abs().max() > 1e-2
    for parameter_name, parameter in backbone(model).named_parameters():
        if parameter_name in frozen:
            assert torch.equal(parameter, frozen[parameter_name]), parameter_name

    backbone(model).save_adapter(tmp_path)
    reloaded = stage(folders[name], name, "head")
    reloaded_net = backbone(reloaded)
    reloaded_net.net = load_adapter(reloaded_net.net, tmp_path)
    for head in ("classifier", "gate", "auxiliary"):
        getattr(reloaded, head).load_state_dict(getattr(model, head).state_dict())
    torch.testing.assert_close(logits(reloaded), trained, atol=1e-4, rtol=0.0)

    backbone(model).merge_adapter()
    assert not backbone(model).has_adapter
    torch.testing.assert_close(logits(model), trained, atol=1e-5, rtol=1e-5)
    assert set(backbone(model).state_dict()) == set(backbone(stage(folders[name], name, "head")).state_dict())


@pytest.mark.parametrize("method", ["lora", "dora"])
def test_rank_zero_is_the_frozen_base(method: AdapterMethod, folders: dict[str, Path]) -> None:
    model = stage(folders["vit"], "vit", method, rank=0)
    assert not backbone(model).has_adapter
    assert n_parameters(backbone(model), trainable_only=True) == 0
    torch.testing.assert_close(
        logits(model), logits(stage(folders["vit"], "vit", "head")), atol=1e-5, rtol=0.0
    )


def test_switching_a_trained_adapter_off_gives_the_base(folders: dict[str, Path]) -> None:
    model = stage(folders["dinov3"], "dinov3", "lora")
    with torch.no_grad():
        base = backbone(model).eval()(PIXELS)
        for parameter_name, parameter in backbone(model).named_parameters():
            if "lora_B" in parameter_name:
                parameter.fill_(0.1)
        assert (backbone(model)(PIXELS) - base).abs().max() > 1e-2
        with backbone(model).net.disable_adapter():  # type: ignore[operator]
            torch.testing.assert_close(backbone(model)(PIXELS), base, atol=1e-5, rtol=0.0)


@pytest.mark.parametrize("name", sorted(FAMILIES))
@pytest.mark.parametrize(("targets", "per_block"), [("qv", 2), ("all-linear", 6)])
def test_every_block_gets_its_adapters(
    name: str, targets: AdapterTargets, per_block: int, folders: dict[str, Path]
) -> None:
    model = stage(folders[name], name, "lora", targets=targets)
    adapted = [n for n, _ in model.named_parameters() if "lora_A" in n]
    assert len(adapted) == 2 * per_block


def test_heads_are_trained_in_full_beside_the_adapter(folders: dict[str, Path]) -> None:
    model = stage(folders["vit"], "vit", "lora", rank=4)
    heads = n_parameters(model) - n_parameters(model.backbone)
    # Two matrices of 48 x 48 in each of two blocks, rank 4: A is 4 x 48, B is 48 x 4.
    assert n_parameters(model, trainable_only=True) == heads + 2 * 2 * 2 * 4 * 48


def test_the_adapter_alone_lies_in_its_folder(folders: dict[str, Path], tmp_path: Path) -> None:
    model = stage(folders["vit"], "vit", "dora", rank=2)
    files = backbone(model).save_adapter(tmp_path / "adapter")
    assert sorted(file.name for file in files) == sorted(ADAPTER_FILES)
    assert sorted(file.name for file in (tmp_path / "adapter").iterdir()) == sorted(ADAPTER_FILES)
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "vit"
    assert config["use_dora"] is True
    assert str(tmp_path) not in json.dumps(config)
    assert (tmp_path / "adapter" / "adapter_model.safetensors").stat().st_size < 20_000


def test_what_does_not_fit_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="no 'qv' matrices to adapt in Sequential"):
        attach(nn.Sequential(nn.Linear(4, 4)), "lora", AdapterConfig())
    plain = build_transformer("vit", TransformerConfig(weights=f"folder:{folders['vit']}"), 32).net
    with pytest.raises(AdapterError, match="has no adapter"):
        merge(plain)
    with pytest.raises(AdapterError, match="has no adapter"):
        save_adapter(plain, tmp_path, base="vit")
    with pytest.raises(AdapterError, match=r"holds no adapter: adapter_config\.json"):
        load_adapter(plain, tmp_path)


def test_the_merged_export_computes_what_the_adapted_model_did(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    model = stage(folders["dinov2-registers"], "dinov2-registers", "dora")
    train_a_little(model)
    adapted = logits(model).numpy()
    backbone(model).merge_adapter()
    export_onnx(model, (32, 32), tmp_path / "model.onnx")
    engine = open_model(tmp_path / "model.onnx")
    for batch in (1, 5):
        found = engine.run(PIXELS[:batch].numpy()).logits
        np.testing.assert_allclose(found, adapted[:batch], atol=1e-4, rtol=1e-4)
