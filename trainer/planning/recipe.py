"""Default recipe of both stages, from the number and size of the images and the minutes of training.

One set of rules for every data set. Width and epochs follow from the models' multiply-accumulates at a
reference speed, not from the clock, so the same data gives the same plan on every machine; the time budget
only shortens the plan on a slower machine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from trainer.choices import AugmentLevel
from trainer.fit.augment import level
from trainer.fit.config import LoopConfig
from trainer.fit.loss import LossConfig
from trainer.fit.schedule import mean_work
from trainer.models import (
    VARIANTS,
    EfficientNetConfig,
    ModelConfig,
    ResolvedModel,
    build_model,
    macs,
    resolve_model,
)
from trainer.models.cost import MACS_PER_SECOND
from trainer.models.efficientnet import STRIDE
from trainer.planning.pretrained_recipe import (
    EMA_DECAY,
    FROZEN_BLOCKS,
    MOST_EPOCHS,
    adapt_of,
    epochs_within,
    forward_seconds,
    learning_rate,
    planned_size,
)
from trainer.transfer.frozen_backbone import FEWEST_EPOCHS as FEWEST_EPOCHS_OF_HEADS

SECONDS_PER_PIXEL = 8.5e-8
"""Seconds of augmentation per pixel of an image."""

WIDTHS_B = (48, 40, 32, 24, 16)
"""Widths of stage B, widest first; the plan takes the widest that leaves time for `ENOUGH_EPOCHS`."""
ENOUGH_EPOCHS = 32
MOST_STEPS = 8_000
"""More steps than this gain little on sets of some ten thousand images."""
FIRST_VIEWS = 0.5
"""Share of the side at which stage B's views start, if that leaves at least `SMALLEST_VIEWS` pixels."""
SMALLEST_VIEWS = 32
SHARE_OF_B = 0.7
"""Share of the minutes for stage B. Stage A, whose training runs the teacher too, gets the rest."""
WIDTH_OF_A = 0.43
"""Width of stage A relative to stage B: at most a fifth of its multiply-accumulates."""

LEAST_SHARE_B, LEAST_SHARE_A = 0.25, 0.5
"""Share of the planned epochs that the time budget never takes; stage A is cheap, and a stage A that learned
too little answers nothing"""

STUDENT_WIDTHS = tuple(range(4, 50, 2))
"""Widths of a stage A beside a given or a pretrained stage B"""
SHARE_OF_TEACHER, SHARE_OF_PRETRAINED = 0.2, 0.1
"""Largest multiply-accumulates of stage A relative to stage B: of a network like B, and of one from random
weights beside a pretrained B"""
MOST_VIEWS = 4
PATIENCE = 5
"""Epochs without a gain after which the training of a pretrained stage ends"""
LEAST_SECONDS = 1.0
"""Smallest time budget of a stage"""


class StageRecipe(BaseModel):
    """Everything that is fixed about a stage before its data is read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image_size: int = Field(ge=16, le=1024)
    """Pixels per side of the stage's input"""
    model: ModelConfig
    loop: LoopConfig
    views: int = Field(default=4, ge=0, le=64)
    """Augmented views per image that a frozen backbone embeds, beside the image itself."""


class PartialRecipe(BaseModel):
    """The stages that a configuration gives; missing ones are planned from the data."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage_b: StageRecipe | None = None
    """The strong stage; the config.yaml of a run shows the form"""
    stage_a: StageRecipe | None = None
    """The fast stage"""

    def seeded(self, seed: int) -> Self:
        """The same recipe with `seed` in its stages."""
        stages = {"stage_b": self.stage_b, "stage_a": self.stage_a}
        return self.model_copy(
            update={
                name: stage.model_copy(update={"loop": stage.loop.model_copy(update={"seed": seed})})
                for name, stage in stages.items()
                if stage is not None
            }
        )


class Recipe(PartialRecipe):
    """Both stages; stage A learns from the outputs of B as well as from the labels."""

    stage_b: StageRecipe
    stage_a: StageRecipe


@dataclass(frozen=True, slots=True)
class PlanInputs:
    """The facts from which a recipe is planned."""

    n_train: int
    """Training images"""
    image_size: int
    """Pixels per side of the images"""
    minutes: float
    """Planned minutes of training for both stages together"""
    n_select: int = 0
    """Images of val_select, on which every epoch is measured"""
    size_b: int | None = None
    """Pixels per side of a pretrained stage B, if it is known already; images are decoded before the split"""
    seed: int = 0
    mirror: bool = False
    """Allows mirrored training images, see `trainer.fit.mirror_check`"""
    augment: AugmentLevel = "degraded"

    def loop(self) -> LoopConfig:
        """The part of the training that both stages share."""
        return LoopConfig(
            batch_size=64 if self.n_train < 20_000 else 128,
            balance=0.5,
            objective=LossConfig(label_smoothing=0.05),
            augment=level(self.augment).model_copy(update={"horizontal_flip": self.mirror}),
            seed=self.seed,
        )

    @property
    def seconds_b(self) -> float:
        return 60 * self.minutes * SHARE_OF_B

    @property
    def seconds_a(self) -> float:
        return 60 * self.minutes * (1 - SHARE_OF_B)

    def epochs(self, seconds_per_image: float, seconds: float) -> int:
        """Passes over the data that fit in `seconds`, at least 1."""
        return max(1, int(seconds / (self.n_train * seconds_per_image)))

    @property
    def most_epochs(self) -> int:
        return max(1, MOST_STEPS * self.loop().batch_size // self.n_train)


def default_recipe(inputs: PlanInputs) -> Recipe:
    """Both stages as residual networks from random weights.

    Input sizes depend on `inputs.image_size` alone, so images can be decoded before the training split is
    known.
    """
    size = input_size(inputs.image_size)
    loop = inputs.loop()
    first_views = FIRST_VIEWS if FIRST_VIEWS * size >= SMALLEST_VIEWS else 1.0
    share = mean_work(first_views)
    affordable = {
        width: inputs.epochs(share * _training_seconds(_residual(width), size), inputs.seconds_b)
        for width in WIDTHS_B
    }
    width_b = next((w for w in WIDTHS_B if affordable[w] >= ENOUGH_EPOCHS), WIDTHS_B[-1])
    model_b = _residual(width_b)
    model_a = _residual(max(4, int(width_b * WIDTH_OF_A)))
    seconds_of_teacher = _macs(model_b, size) / 3 / MACS_PER_SECOND
    epochs_a = inputs.epochs(_training_seconds(model_a, size) + seconds_of_teacher, inputs.seconds_a)

    def stage(model: ModelConfig, epochs: int, seconds: float, least_share: float) -> StageRecipe:
        planned = _length(min(inputs.most_epochs, epochs), seconds, least_share)
        return StageRecipe(image_size=size, model=model, loop=loop.model_copy(update=planned))

    averaged = model_b.model_copy(update={"mirror_average": inputs.mirror})
    stage_b = stage(averaged, affordable[width_b], inputs.seconds_b, LEAST_SHARE_B)
    growing = stage_b.loop.model_copy(update={"first_views": first_views})
    return Recipe(
        stage_b=stage_b.model_copy(update={"loop": growing}),
        stage_a=stage(model_a, epochs_a, inputs.seconds_a, LEAST_SHARE_A),
    )


def complete_recipe(given: PartialRecipe, stage_b: ResolvedModel | None, inputs: PlanInputs) -> Recipe:
    """`given`, with missing stages planned as in `default_recipe`.

    stage_b: the model of a given stage B, or a pretrained one for a stage B that is not given.
    """
    if given.stage_a is not None and given.stage_b is not None:
        return Recipe(stage_b=given.stage_b, stage_a=given.stage_a)
    if given.stage_b is not None:
        model = stage_b or resolve_model(given.stage_b.model)
        return Recipe(stage_b=given.stage_b, stage_a=_student(given.stage_b, model, inputs))
    if stage_b is None:
        plan = default_recipe(inputs)
        return Recipe(stage_b=plan.stage_b, stage_a=given.stage_a or plan.stage_a)
    planned = _pretrained_stage(stage_b, inputs)
    return Recipe(stage_b=planned, stage_a=given.stage_a or _student(planned, stage_b, inputs))


def _pretrained_stage(model: ResolvedModel, inputs: PlanInputs) -> StageRecipe:
    """As many views per image as the time allows if the backbone is frozen, else as many epochs."""
    config, loop = model.config, inputs.loop()
    size = inputs.size_b or planned_size(model, inputs.image_size, inputs.n_train, inputs.seconds_b)
    rate = {"lr": learning_rate(config), "ema_decay": EMA_DECAY}
    if adapt_of(config) == "head":
        passes = int(inputs.seconds_b / (inputs.n_train * forward_seconds(model, size)))
        heads = loop.model_copy(update=rate | {"epochs": FEWEST_EPOCHS_OF_HEADS})
        views = max(0, min(MOST_VIEWS, passes - 1))
        return StageRecipe(image_size=size, model=config, loop=heads, views=views)
    averaged = config.model_copy(update={"mirror_average": inputs.mirror})
    loop = loop.model_copy(update=rate | _pretrained_length(model.configured(averaged), size, inputs, "b"))
    return StageRecipe(image_size=size, model=averaged, loop=loop, views=0)


def _pretrained_length(
    model: ResolvedModel, size: int, inputs: PlanInputs, stage: Literal["a", "b"], spent: float = 0.0
) -> dict[str, float]:
    """Length of the training of a pretrained stage; `spent`: seconds of its share that are used already."""
    seconds, least = (inputs.seconds_b, LEAST_SHARE_B) if stage == "b" else (inputs.seconds_a, LEAST_SHARE_A)
    fitting = epochs_within(model, size, inputs.n_train, max(seconds - spent, 0.0), inputs.n_select)
    epochs = max(1, min(inputs.most_epochs, MOST_EPOCHS, fitting))
    return _length(epochs, max(seconds - spent, LEAST_SECONDS), least) | {"patience": PATIENCE}


def _student(teacher: StageRecipe, model: ResolvedModel, inputs: PlanInputs) -> StageRecipe:
    """Stage A beside a given or pretrained teacher: the teacher's own network on a smaller input if that is
    cheap enough, else a network from random weights.

    model: that of the teacher.
    """
    configured = model.configured(teacher.model)
    work = _macs(configured, teacher.image_size)
    size = input_size(inputs.image_size)
    if model.config.name in VARIANTS and size % STRIDE == 0:
        small = model.configured(
            ModelConfig(name=model.config.name, efficientnet=EfficientNetConfig(frozen_blocks=FROZEN_BLOCKS))
        )
        if _macs(small, size) <= SHARE_OF_TEACHER * work:
            return _pretrained_student(small, size, configured, teacher, inputs)
    return _student_from_scratch(work, size, inputs, pretrained=model.is_pretrained)


def _pretrained_student(
    small: ResolvedModel, size: int, model: ResolvedModel, teacher: StageRecipe, inputs: PlanInputs
) -> StageRecipe:
    """`small`, trained in full; the teacher `model` looks at every image once before it starts."""
    spent = inputs.n_train * forward_seconds(model, teacher.image_size)
    rate = {"lr": learning_rate(small.config), "ema_decay": EMA_DECAY}
    length = _pretrained_length(small, size, inputs, "a", spent)
    return StageRecipe(
        image_size=size, model=small.config, loop=inputs.loop().model_copy(update=rate | length), views=0
    )


def _student_from_scratch(work: int, size: int, inputs: PlanInputs, *, pretrained: bool) -> StageRecipe:
    """The widest network from random weights that is cheap beside its teacher and learns enough in the time.

    work: multiply-accumulates of the teacher.
    """
    # A pretrained teacher runs once per image, before the student starts; another one runs at every step.
    seconds_of_teacher = 0.0 if pretrained else work / 3 / MACS_PER_SECOND
    largest = work * (SHARE_OF_PRETRAINED if pretrained else SHARE_OF_TEACHER)

    def epochs(width: int) -> int:
        seconds_per_image = _training_seconds(_residual(width), size) + seconds_of_teacher
        return inputs.epochs(seconds_per_image, inputs.seconds_a)

    fitting = [
        width
        for width in STUDENT_WIDTHS
        if _macs(_residual(width), size) <= largest and epochs(width) >= ENOUGH_EPOCHS
    ]
    width = max(fitting, default=min(STUDENT_WIDTHS))
    planned = _length(min(inputs.most_epochs, epochs(width)), inputs.seconds_a, LEAST_SHARE_A)
    loop = inputs.loop().model_copy(update=planned)
    return StageRecipe(image_size=size, model=_residual(width), loop=loop)


def input_size(image_size: int) -> int:
    """Pixels per side of both stages' inputs, for images of `image_size` pixels per side.

    Never larger than the image; photographs of a street need more pixels than those of a single object.
    """
    return max(16, min(image_size, 64 if image_size <= 128 else 96))


def _length(epochs: int, seconds: float, least_share: float) -> dict[str, float]:
    """Fields of a loop: its epochs, its time, and the epochs that the time never takes."""
    return {"epochs": epochs, "time_budget_s": seconds, "least_epochs": math.ceil(least_share * epochs)}


def _residual(width: int) -> ModelConfig:
    return ModelConfig(name="resnet-small", width=width)


def _macs(model: ModelConfig | ResolvedModel, size: int) -> int:
    return macs(build_model(model, size, 2), size)


def _training_seconds(model: ModelConfig, size: int) -> float:
    """Seconds to train on one image once."""
    return _macs(model, size) / MACS_PER_SECOND + SECONDS_PER_PIXEL * size**2
