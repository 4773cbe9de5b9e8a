"""Plan of a stage that starts from pretrained weights: which model, at which size and learning rate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import get_args

from pydantic import ValidationError

from trainer.choices import Adapt
from trainer.models import (
    VARIANTS,
    EfficientNetConfig,
    ModelConfig,
    ResolvedModel,
    TransformerConfig,
    build_model,
    macs,
    resolve_model,
)
from trainer.models.backbones import family_of
from trainer.models.cost import MACS_PER_SECOND
from trainer.models.efficientnet import STRIDE, working_size
from trainer.models.pretrained import BackboneError, WeightFolder, open_weights
from trainer.transfer.methods import METHODS

RATES: Mapping[Adapt, float] = MappingProxyType({adapt: METHODS[adapt].rates[1] for adapt in get_args(Adapt)})
"""Peak learning rates of transformers and of heads: the middle ones of those that a comparison tries."""
KERNEL_RATE = 5e-4
"""Peak learning rate of an EfficientNet that is trained in full."""
EMA_DECAY = 0.98
"""Decay of the weight average: a few epochs are only a few hundred steps."""
DEPTHWISE_SPEED, DEPTHWISE_SPEED_IN_FULL = 0.3, 0.15
"""Share of the planned multiply-accumulates per second that depthwise convolutions reach, with the first
blocks frozen and without: memory limits them, not arithmetic."""
FROZEN_BLOCKS = 5
"""First blocks of an EfficientNet that a plan leaves as they are: half of the work, at the most pixels,
for the most general kernels"""
DEFAULT_SIZE, DEFAULT_PATCH = 224, 16
"""Pixels per side of a transformer whose weights do not say theirs"""

FEWEST_EPOCHS = 2
"""Passes of every weight below which a frozen backbone with trained heads does better"""
ENOUGH_EPOCHS = 4
"""Passes that a larger input must leave time for: more pixels at fewer passes gain nothing"""
MOST_EPOCHS = 16
"""More passes from pretrained weights gain nothing"""
LEAST_SIZE, LEAST_SIZE_OF_LARGE = 64, 128
"""Smallest input of an EfficientNet: of small images, and of images that are larger than it"""


@dataclass(frozen=True, slots=True)
class StageModels:
    """The models that a configuration names, their weights found once; None for a stage to be planned."""

    stage_a: ResolvedModel | None = None
    stage_b: ResolvedModel | None = None
    size_b: int | None = None
    """Pixels per side of the input of a pretrained stage B that is planned"""

    @property
    def weight_folders(self) -> tuple[WeightFolder, ...]:
        """Pretrained weights of transformers, each once, by name."""
        models = [model for model in (self.stage_a, self.stage_b) if model is not None]
        folders = {model.folder.source: model.folder for model in models if model.folder is not None}
        return tuple(folders[source] for source in sorted(folders))

    @property
    def b_is_pretrained(self) -> bool:
        return self.stage_b is not None and self.stage_b.is_pretrained

    def completed(self, stage_a: ModelConfig, stage_b: ModelConfig) -> tuple[ResolvedModel, ResolvedModel]:
        """Both models with their final configurations; weights that were found stay."""
        given = ((self.stage_a, stage_a), (self.stage_b, stage_b))
        a, b = (resolve_model(final) if found is None else found.configured(final) for found, final in given)
        return a, b


PLANNED = StageModels()
"""No model is named: both stages are planned from random weights"""


def resolve_models(
    stage_a: ModelConfig | None, stage_b: ModelConfig | None, backbone: str | None, adapt: Adapt | None
) -> StageModels:
    """Find the weights of the given stages, and of `backbone` for a stage B that is not given.

    Raises `BackboneError` if weights cannot be found or cannot be trained as `adapt` says.
    """
    found_a, found_b = (None if stage is None else resolve_model(stage) for stage in (stage_a, stage_b))
    if backbone is not None:
        found_b = resolve_backbone(backbone, adapt)
    return StageModels(found_a, found_b)


def resolve_backbone(backbone: str, adapt: Adapt | None) -> ResolvedModel:
    """The model that `--backbone` names: an EfficientNet, or a transformer from a folder or the hub.

    adapt: by default an adapter (LoRA) for transformers, and every weight for EfficientNets. Raises
    `BackboneError` if the weights cannot be found, or cannot be trained so.
    """
    if backbone in VARIANTS:
        if adapt == "lora" or adapt == "dora":
            raise BackboneError(
                f"adapt is {adapt!r}: {backbone} has no attention to adapt; use head (heads alone) or full"
            )
        options = EfficientNetConfig(adapt=adapt or "full", frozen_blocks=FROZEN_BLOCKS)
        return resolve_model(ModelConfig(name=backbone, efficientnet=options))
    if not backbone.startswith(("folder:", "hub:")):
        raise BackboneError(
            f"backbone is {backbone!r}; it must be auto, none, {', '.join(VARIANTS)}, folder:PATH or "
            "hub:OWNER/NAME"
        )
    try:
        transformer = TransformerConfig(weights=backbone, adapt=adapt or "lora")
    except ValidationError as error:
        raise BackboneError(str(error.errors()[0]["msg"])) from None
    folder = open_weights(backbone)
    return ResolvedModel(ModelConfig(name=family_of(folder), transformer=transformer), folder=folder)


def adapt_of(model: ModelConfig) -> Adapt:
    """Which weights of a pretrained stage are trained."""
    if model.transformer is not None:
        return model.transformer.adapt
    return (model.efficientnet or EfficientNetConfig()).adapt


def pretrained_size(model: ResolvedModel, image_size: int) -> int:
    """Pixels per side of a pretrained stage's input, for images of `image_size` pixels per side."""
    folder = model.folder
    if folder is None:
        return working_size(model.config.name, image_size)
    native, patch = folder.side("image_size", DEFAULT_SIZE), folder.side("patch_size", DEFAULT_PATCH)
    return max(4 * patch, min(native // patch * patch, round(4 * image_size / 3 / patch) * patch))


def sizes(model: ResolvedModel, image_size: int) -> tuple[int, ...]:
    """Input sizes that suit images of `image_size` pixels per side, rising; a transformer has one."""
    largest = pretrained_size(model, image_size)
    if model.folder is not None:
        return (largest,)
    own = round(image_size / STRIDE) * STRIDE
    smallest = max(LEAST_SIZE, min(own, LEAST_SIZE_OF_LARGE))
    return tuple(range(min(smallest, largest), largest + 1, STRIDE))


def planned_size(model: ResolvedModel, image_size: int, n_train: int, seconds: float) -> int:
    """The largest of `sizes` at which `ENOUGH_EPOCHS` passes fit in `seconds`, or the smallest of them."""
    fitting = [
        size
        for size in sizes(model, image_size)
        if epochs_within(model, size, n_train, seconds) >= ENOUGH_EPOCHS
    ]
    return max(fitting, default=sizes(model, image_size)[0])


def epochs_within(model: ResolvedModel, size: int, n_train: int, seconds: float, n_select: int = 0) -> int:
    """Passes of training over `n_train` images that fit in `seconds`, each measured on `n_select` images."""
    forward = forward_seconds(model, size)
    measuring = n_select * forward * (2 if model.config.mirror_average else 1)
    return int(seconds / (3 * n_train * forward + measuring))


def forward_seconds(model: ResolvedModel, size: int) -> float:
    """Seconds of one forward pass on an image, at the pace that plans assume; training takes three."""
    upright = model.configured(model.config.model_copy(update={"mirror_average": False}))
    work = macs(build_model(upright, size, 2), size)
    return work / (3 * MACS_PER_SECOND * relative_speed(model.config))


def learning_rate(model: ModelConfig) -> float:
    """Peak learning rate of a pretrained stage."""
    adapt = adapt_of(model)
    return KERNEL_RATE if model.name in VARIANTS and adapt == "full" else RATES[adapt]


def relative_speed(model: ModelConfig) -> float:
    """Share of the planned multiply-accumulates per second that this network reaches."""
    if model.name not in VARIANTS:
        return 1.0
    options = model.efficientnet or EfficientNetConfig()
    trained_from_the_start = options.adapt == "full" and options.frozen_blocks < FROZEN_BLOCKS
    return DEPTHWISE_SPEED_IN_FULL if trained_from_the_start else DEPTHWISE_SPEED
