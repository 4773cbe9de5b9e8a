"""Defaults: how to train both stages, from how many images there are, how large, and the time given.

One set of rules for every data set. Width and epochs follow from the models' multiply-accumulates at a
reference pace, not from the clock, so that the same data gives the same plan on every machine; the time
budget only shortens the plan where the machine is slower than that.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from trainer.augment import level
from trainer.loop import LoopConfig
from trainer.models import ModelConfig, build_model, macs
from trainer.objective import ObjectiveConfig

MACS_PER_SECOND = 5.5e10
"""Forward multiply-accumulates, of training, a second that the plan counts on: two cores, bfloat16."""
SECONDS_PER_PIXEL = 8.5e-8
"""Augmentation, a pixel of an image."""

WIDTHS_B = (48, 40, 32, 24, 16)
"""Of stage B, widest first: the widest that can be trained for `ENOUGH_EPOCHS` in the time is taken."""
ENOUGH_EPOCHS = 24
MOST_STEPS = 5_000
"""More than this buys little on sets of some ten thousand images."""
SHARE_OF_B = 0.7
"""Of the minutes. Stage A, for which the teacher runs too, gets the rest."""
WIDTH_OF_A = 0.4
"""Of stage B's: at most a fifth of its multiply-accumulates."""


class StageRecipe(BaseModel):
    """All that decides one stage before its data is seen."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image_size: int = Field(ge=16, le=1024)
    """Pixels a side of the stage's input"""
    model: ModelConfig
    loop: LoopConfig


class Recipe(BaseModel):
    """Both stages; stage A learns from B as well as from the labels."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage_b: StageRecipe
    stage_a: StageRecipe


def default_recipe(
    n_train: int, image_size: int, minutes: float, *, seed: int = 0, mirror: bool = False
) -> Recipe:
    """The plan for `n_train` training images of `image_size` pixels a side in `minutes` of training.

    `mirror` allows mirrored training images, see `trainer.symmetry`. The stages' input sizes depend on
    `image_size` alone, so images can be decoded before the training split is known.
    """
    size = input_size(image_size)
    batch_size = 64 if n_train < 20_000 else 128
    seconds_b, seconds_a = 60 * minutes * SHARE_OF_B, 60 * minutes * (1 - SHARE_OF_B)
    affordable = {width: _epochs(n_train, _seconds(_residual(width), size), seconds_b) for width in WIDTHS_B}
    width_b = next((w for w in WIDTHS_B if affordable[w] >= ENOUGH_EPOCHS), WIDTHS_B[-1])
    model_b = _residual(width_b)
    model_a = _residual(max(4, int(width_b * WIDTH_OF_A)))
    teaching = _macs(model_b, size) / 3 / MACS_PER_SECOND
    epochs_a = _epochs(n_train, _seconds(model_a, size) + teaching, seconds_a)
    most = max(1, MOST_STEPS * batch_size // n_train)
    loop = LoopConfig(
        batch_size=batch_size,
        balance=0.5,
        objective=ObjectiveConfig(label_smoothing=0.05),
        augment=level("degraded").model_copy(update={"horizontal_flip": mirror}),
        seed=seed,
    )

    def stage(model: ModelConfig, epochs: int, seconds: float) -> StageRecipe:
        planned = {"epochs": min(most, epochs), "time_budget_s": seconds}
        return StageRecipe(image_size=size, model=model, loop=loop.model_copy(update=planned))

    return Recipe(
        stage_b=stage(model_b, affordable[width_b], seconds_b), stage_a=stage(model_a, epochs_a, seconds_a)
    )


def input_size(image_size: int) -> int:
    """Pixels a side of both stages' inputs, for images of `image_size` pixels a side.

    Never larger than the image; photographs of a street need more than those of one thing.
    """
    return max(16, min(image_size, 64 if image_size <= 128 else 96))


def _residual(width: int) -> ModelConfig:
    return ModelConfig(name="resnet-small", width=width)


def _macs(model: ModelConfig, size: int) -> int:
    return macs(build_model(model, size, 2), size)


def _seconds(model: ModelConfig, size: int) -> float:
    """To train on one image once."""
    return _macs(model, size) / MACS_PER_SECOND + SECONDS_PER_PIXEL * size**2


def _epochs(n_train: int, seconds_an_image: float, seconds: float) -> int:
    """Passes over the data that the time allows, at least 1."""
    return max(1, int(seconds / (n_train * seconds_an_image)))
