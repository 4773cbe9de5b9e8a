"""Defaults: how to train both stages, from how many images there are, how large, and the time given.

One set of rules for every data set. The number of epochs follows from the model's multiply-accumulates
at a reference pace, not from the clock, so that the same data gives the same plan on every machine; the
time budget only shortens the plan where the machine is slower than that.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from trainer.augment import level
from trainer.loop import LoopConfig
from trainer.models import ModelConfig, build_model, macs
from trainer.objective import ObjectiveConfig

REFERENCE_MACS_PER_SECOND = 5e10
"""Forward multiply-accumulates of training a second that the plan counts on (two cores, bfloat16)."""

MAX_EPOCHS_B = 60
MAX_EPOCHS_A = 40
SHARE_OF_B = 0.7
"""Share of the minutes that stage B may use; stage A gets the rest."""


class StageRecipe(BaseModel):
    """All that decides one stage before its data is seen."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image_size: int
    """Pixels a side of the stage's input"""
    model: ModelConfig
    loop: LoopConfig


class Recipe(BaseModel):
    """Both stages; stage A learns from B as well as from the labels."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage_b: StageRecipe
    stage_a: StageRecipe


def default_recipe(n_train: int, image_size: int, minutes: float, *, seed: int = 0) -> Recipe:
    """The plan for `n_train` training images of `image_size` pixels a side in `minutes` of training."""
    size_b = min(image_size, 64)
    model_b = ModelConfig(name="resnet-small", width=32)
    model_a = ModelConfig(name="cnn-tiny", width=16)
    augment = level("degraded")
    cost_b = macs(build_model(model_b, size_b, 2), size_b)
    cost_a = macs(build_model(model_a, size_b, 2), size_b)
    seconds_b, seconds_a = 60 * minutes * SHARE_OF_B, 60 * minutes * (1 - SHARE_OF_B)
    loop = LoopConfig(augment=augment, objective=ObjectiveConfig(label_smoothing=0.05), seed=seed, bf16=True)
    return Recipe(
        stage_b=StageRecipe(
            image_size=size_b,
            model=model_b,
            loop=loop.model_copy(
                update={
                    "epochs": _epochs(n_train, cost_b, seconds_b, MAX_EPOCHS_B),
                    "time_budget_s": seconds_b,
                }
            ),
        ),
        stage_a=StageRecipe(
            image_size=size_b,
            model=model_a,
            loop=loop.model_copy(
                update={
                    "epochs": _epochs(n_train, cost_a + cost_b // 3, seconds_a, MAX_EPOCHS_A),
                    "time_budget_s": seconds_a,
                }
            ),
        ),
    )


def _epochs(n_train: int, macs_an_image: int, seconds: float, most: int) -> int:
    """As many passes over the data as the reference pace allows, from 1 to `most`."""
    affordable = seconds * REFERENCE_MACS_PER_SECOND / (n_train * macs_an_image)
    return max(1, min(most, int(affordable)))
