"""Device, precision and determinism: decided once, set in one place, put back, recorded."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from trainer.fit.batches import FitData, LabelledPixels
from trainer.fit.config import LoopConfig
from trainer.fit.device import EXACT, ComputeConfig, NoSuchDevice, computing, describe, has_bf16
from trainer.fit.loop import fit
from trainer.models import ModelConfig, build_model


def switches() -> tuple[object, ...]:
    return (
        torch.get_float32_matmul_precision(),
        torch.backends.cudnn.allow_tf32,
        torch.backends.cudnn.benchmark,
        torch.are_deterministic_algorithms_enabled(),
    )


def test_the_switches_are_set_for_the_block_and_put_back() -> None:
    before = switches()
    with computing(EXACT) as device:
        assert device == torch.device("cpu")
        assert switches() == ("highest", False, False, True)
    assert switches() == before
    with computing(EXACT.model_copy(update={"deterministic": False})):
        assert switches() == ("highest", False, True, False)
    with pytest.raises(KeyError), computing(EXACT):
        {}["what fails inside"]
    assert switches() == before


def test_auto_is_decided_for_this_machine() -> None:
    found = ComputeConfig().resolved()
    assert found.device == ("cuda" if torch.cuda.is_available() else "cpu")
    assert found.precision == ("bf16" if has_bf16(found.device) else "fp32")
    assert found.resolved() == found
    assert EXACT.resolved() == EXACT


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_said() -> None:
    with pytest.raises(NoSuchDevice, match=r"compute.device is 'cuda', but torch .* sees no GPU; use `auto`"):
        ComputeConfig(device="cuda").resolved()


def test_the_record_says_it_in_words() -> None:
    facts = describe(ComputeConfig(device="cpu", precision="bf16", tf32=True))
    assert facts["compute.device"].startswith("cpu (")
    assert {key: facts[f"compute.{key}"] for key in ("precision", "tf32", "deterministic")} == {
        "precision": "bf16",
        "tf32": "off",  # there is none on a CPU
        "deterministic": "yes",
    }


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(ValidationError, match="'auto', 'fp32' or 'bf16'"):
        ComputeConfig(precision="fp8")  # type: ignore[arg-type]


def test_bf16_learns_what_fp32_learns() -> None:
    """Bright and dark squares; weights and measurements stay float32."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 2, (256,), generator=generator)
    pixels = torch.randint(0, 120, (256, 16, 16, 3), generator=generator, dtype=torch.uint8)
    pixels[labels == 1, 5:10, 5:10] += 130
    data = LabelledPixels(pixels, labels)
    config = LoopConfig(epochs=4, batch_size=32, ema_decay=0.5)
    accuracy, losses = {}, {}
    for precision in ("fp32", "bf16"):
        model = build_model(ModelConfig(name="cnn-tiny", width=8), 16, 2)
        compute = ComputeConfig(device="cpu", precision=precision)
        result = fit(model, FitData(data, data, ((0.5,) * 3, (0.5,) * 3)), config, compute=compute)
        assert all(p.dtype == torch.float32 for p in result.model.parameters())
        accuracy[precision] = result.history[-1].accuracy
        losses[precision] = result.history[0].train_loss
    assert min(accuracy.values()) > 0.97
    assert losses["bf16"] != losses["fp32"]
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=0.1)
