"""The training of a single stage: where its weights start."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from trainer.fit.batches import LabelledPixels
from trainer.fit.config import LoopConfig
from trainer.fit.context import RunContext
from trainer.fit.device import EXACT
from trainer.models import ModelConfig, ResolvedModel, build_model
from trainer.planning.recipe import StageRecipe
from trainer.run.console import RunConsole
from trainer.run.folder import RunFolder
from trainer.stages import StageJob, fit_stage, start_of_a

TINY = ModelConfig(name="cnn-tiny", width=4)
STILL = LoopConfig(epochs=1, batch_size=8, lr=1e-9, ema_decay=0.0)
"""A training that moves no weight visibly"""


def test_a_stage_starts_from_the_weights_of_another_one(tmp_path: Path, quiet: RunConsole) -> None:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (16, 16, 16, 3), generator=generator, dtype=torch.uint8)
    images = LabelledPixels(pixels, torch.arange(16) % 2)
    start = build_model(TINY, 16, 2, seed=7)
    recipe = StageRecipe(image_size=16, model=TINY, loop=STILL)
    job = StageJob("A", recipe, ResolvedModel(TINY), images, images, 2, start=start)
    fitted = fit_stage(job, RunContext(RunFolder(tmp_path), quiet, EXACT, 0))
    kernel, expected = fitted.model.classifier.weight, start.classifier.weight
    torch.testing.assert_close(kernel, expected, atol=1e-6, rtol=0.0)


@pytest.mark.parametrize(
    ("name_a", "name_b", "starts_from_b"),
    [
        ("efficientnet-lite0", "efficientnet-lite0", True),
        ("efficientnet-lite0", "efficientnet-lite1", False),
        ("resnet-small", "efficientnet-lite0", False),
        ("resnet-small", "resnet-small", False),
    ],
)
def test_stage_a_starts_from_stage_b_if_it_is_the_same_pretrained_network(
    name_a: str, name_b: str, starts_from_b: bool
) -> None:
    trained = build_model(TINY, 16, 2)
    model_a, model_b = (ResolvedModel(ModelConfig(name=name)) for name in (name_a, name_b))
    assert start_of_a(model_a, model_b, trained) is (trained if starts_from_b else None)
