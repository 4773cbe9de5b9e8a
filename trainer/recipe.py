"""Defaults: how to train both stages, from how many images there are, how large, and the time given.

One set of rules for every data set. Width and epochs follow from the models' multiply-accumulates at a
reference pace, not from the clock, so that the same data gives the same plan on every machine; the time
budget only shortens the plan where the machine is slower than that.
"""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from trainer.choices import AugmentLevel
from trainer.fit.augment import level
from trainer.fit.loop import LoopConfig
from trainer.fit.loss import ObjectiveConfig
from trainer.fit.schedule import mean_work
from trainer.models import ModelConfig, build_model, macs
from trainer.pretrained_recipe import EMA_DECAY, adapt_of, is_pretrained, pace, pretrained_size, rate_of
from trainer.transfer.frozen_backbone import FEWEST_EPOCHS

MACS_PER_SECOND = 5.5e10
"""Forward multiply-accumulates, of training, a second that the plan counts on: two cores, bfloat16."""
SECONDS_PER_PIXEL = 8.5e-8
"""Augmentation, a pixel of an image."""

WIDTHS_B = (48, 40, 32, 24, 16)
"""Of stage B, widest first: the widest that can be trained for `ENOUGH_EPOCHS` in the time is taken."""
ENOUGH_EPOCHS = 32
MOST_STEPS = 8_000
"""More than this buys little on sets of some ten thousand images."""
FIRST_VIEWS = 0.5
"""Share of the side that stage B's views start with, where that leaves `SMALLEST_VIEWS` pixels."""
SMALLEST_VIEWS = 32
SHARE_OF_B = 0.7
"""Of the minutes. Stage A, for which the teacher runs too, gets the rest."""
WIDTH_OF_A = 0.43
"""Of stage B's: at most a fifth of its multiply-accumulates."""

STUDENT_WIDTHS = tuple(range(4, 50, 2))
"""Of a stage A beside a given or a pretrained stage B"""
SHARE_OF_TEACHER, SHARE_OF_PRETRAINED = 0.2, 0.1
"""Most multiply-accumulates of stage A, of stage B's"""
MOST_VIEWS = 4


class StageRecipe(BaseModel):
    """All that decides one stage before its data is seen."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image_size: int = Field(ge=16, le=1024)
    """Pixels a side of the stage's input"""
    model: ModelConfig
    loop: LoopConfig
    views: int = Field(default=4, ge=0, le=64)
    """Of a frozen backbone: augmented views an image that are embedded, beside the image as it is."""


class PartialRecipe(BaseModel):
    """What a configuration says of the stages; what it leaves out is planned from the data."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage_b: StageRecipe | None = None
    stage_a: StageRecipe | None = None

    def seeded(self, seed: int) -> Self:
        """The same with `seed` in the stages that it gives."""
        stages = {"stage_b": self.stage_b, "stage_a": self.stage_a}
        return self.model_copy(
            update={
                name: stage.model_copy(update={"loop": stage.loop.model_copy(update={"seed": seed})})
                for name, stage in stages.items()
                if stage is not None
            }
        )


class Recipe(PartialRecipe):
    """Both stages; stage A learns from B as well as from the labels."""

    stage_b: StageRecipe
    stage_a: StageRecipe


def default_recipe(
    n_train: int,
    image_size: int,
    minutes: float,
    *,
    seed: int = 0,
    mirror: bool = False,
    augment: AugmentLevel = "degraded",
) -> Recipe:
    """The plan for `n_train` training images of `image_size` pixels a side in `minutes` of training.

    `mirror` allows mirrored training images, see `trainer.fit.mirror_check`. The stages' input sizes
    depend on `image_size` alone, so images can be decoded before the training split is known.
    """
    size = input_size(image_size)
    loop = _loop(n_train, seed, mirror, augment)
    seconds_b, seconds_a = 60 * minutes * SHARE_OF_B, 60 * minutes * (1 - SHARE_OF_B)
    first_views = FIRST_VIEWS if FIRST_VIEWS * size >= SMALLEST_VIEWS else 1.0
    share = mean_work(first_views)
    affordable = {
        width: _epochs(n_train, share * _seconds(_residual(width), size), seconds_b) for width in WIDTHS_B
    }
    width_b = next((w for w in WIDTHS_B if affordable[w] >= ENOUGH_EPOCHS), WIDTHS_B[-1])
    model_b = _residual(width_b)
    model_a = _residual(max(4, int(width_b * WIDTH_OF_A)))
    teaching = _macs(model_b, size) / 3 / MACS_PER_SECOND
    epochs_a = _epochs(n_train, _seconds(model_a, size) + teaching, seconds_a)
    most = _most_epochs(n_train, loop)

    def stage(model: ModelConfig, epochs: int, seconds: float) -> StageRecipe:
        planned = {"epochs": min(most, epochs), "time_budget_s": seconds}
        return StageRecipe(image_size=size, model=model, loop=loop.model_copy(update=planned))

    stage_b = stage(model_b.model_copy(update={"mirror_average": mirror}), affordable[width_b], seconds_b)
    growing = stage_b.loop.model_copy(update={"first_views": first_views})
    return Recipe(
        stage_b=stage_b.model_copy(update={"loop": growing}), stage_a=stage(model_a, epochs_a, seconds_a)
    )


def complete_recipe(
    given: PartialRecipe,
    backbone: ModelConfig | None,
    n_train: int,
    image_size: int,
    minutes: float,
    *,
    seed: int = 0,
    mirror: bool = False,
    augment: AugmentLevel = "degraded",
) -> Recipe:
    """`given`, with the stages that it leaves out planned as in `default_recipe`.

    backbone: the pretrained architecture of a stage B that is not given.
    """
    if given.stage_a is not None and given.stage_b is not None:
        return Recipe(stage_b=given.stage_b, stage_a=given.stage_a)
    if given.stage_b is None and backbone is None:
        plan = default_recipe(n_train, image_size, minutes, seed=seed, mirror=mirror, augment=augment)
        return Recipe(stage_b=plan.stage_b, stage_a=given.stage_a or plan.stage_a)
    loop = _loop(n_train, seed, mirror, augment)
    stage_b = given.stage_b
    if stage_b is None and backbone is not None:
        stage_b = _pretrained_stage(backbone, n_train, image_size, 60 * minutes * SHARE_OF_B, loop, mirror)
    assert stage_b is not None  # noqa: S101 - one of the two is given
    stage_a = given.stage_a or _student(stage_b, n_train, image_size, minutes, loop)
    return Recipe(stage_b=stage_b, stage_a=stage_a)


def _pretrained_stage(
    model: ModelConfig, n_train: int, image_size: int, seconds: float, loop: LoopConfig, mirror: bool
) -> StageRecipe:
    """As many views of each image as the time allows where the backbone is frozen, else as many epochs."""
    size = pretrained_size(model, image_size)
    forward = _macs(model, size) / (3 * MACS_PER_SECOND * pace(model))
    rate = {"lr": rate_of(model), "ema_decay": EMA_DECAY}
    if adapt_of(model) == "head":
        views = max(0, min(MOST_VIEWS, int(seconds / (n_train * forward)) - 1))
        heads = loop.model_copy(update=rate | {"epochs": FEWEST_EPOCHS})
        return StageRecipe(image_size=size, model=model, loop=heads, views=views)
    epochs = min(_most_epochs(n_train, loop), _epochs(n_train, 3 * forward, seconds))
    trained = loop.model_copy(update=rate | {"epochs": epochs, "time_budget_s": seconds})
    averaged = model.model_copy(update={"mirror_average": mirror})
    return StageRecipe(image_size=size, model=averaged, loop=trained, views=0)


def _student(
    teacher: StageRecipe, n_train: int, image_size: int, minutes: float, loop: LoopConfig
) -> StageRecipe:
    """The widest net from random weights that is cheap beside its teacher and learns enough in the time."""
    size = input_size(image_size)
    work = _macs(teacher.model, teacher.image_size)
    pretrained = is_pretrained(teacher.model)
    # A pretrained teacher is asked once an image, before the student starts; another one at every step.
    asking = 0.0 if pretrained else work / 3 / MACS_PER_SECOND
    seconds = 60 * minutes * (1 - SHARE_OF_B)
    largest = work * (SHARE_OF_PRETRAINED if pretrained else SHARE_OF_TEACHER)
    fitting = [
        width
        for width in STUDENT_WIDTHS
        if _macs(_residual(width), size) <= largest
        and _epochs(n_train, _seconds(_residual(width), size) + asking, seconds) >= ENOUGH_EPOCHS
    ]
    model = _residual(max(fitting, default=min(STUDENT_WIDTHS)))
    epochs = _epochs(n_train, _seconds(model, size) + asking, seconds)
    planned = {"epochs": min(_most_epochs(n_train, loop), epochs), "time_budget_s": seconds}
    return StageRecipe(image_size=size, model=model, loop=loop.model_copy(update=planned))


def input_size(image_size: int) -> int:
    """Pixels a side of both stages' inputs, for images of `image_size` pixels a side.

    Never larger than the image; photographs of a street need more than those of one thing.
    """
    return max(16, min(image_size, 64 if image_size <= 128 else 96))


def _loop(n_train: int, seed: int, mirror: bool, augment: AugmentLevel) -> LoopConfig:
    """What the stages have in common."""
    return LoopConfig(
        batch_size=64 if n_train < 20_000 else 128,
        balance=0.5,
        objective=ObjectiveConfig(label_smoothing=0.05),
        augment=level(augment).model_copy(update={"horizontal_flip": mirror}),
        seed=seed,
    )


def _most_epochs(n_train: int, loop: LoopConfig) -> int:
    return max(1, MOST_STEPS * loop.batch_size // n_train)


def _residual(width: int) -> ModelConfig:
    return ModelConfig(name="resnet-small", width=width)


def _macs(model: ModelConfig, size: int) -> int:
    return macs(build_model(model, size, 2), size)


def _seconds(model: ModelConfig, size: int) -> float:
    """To train on one image once."""
    return _macs(model, size) / MACS_PER_SECOND + SECONDS_PER_PIXEL * size**2


def _epochs(n_train: int, seconds_per_image: float, seconds: float) -> int:
    """Passes over the data that the time allows, at least 1."""
    return max(1, int(seconds / (n_train * seconds_per_image)))
