"""How a stage that starts from pretrained weights is trained: named on the command line, planned here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import get_args

from pydantic import ValidationError

from trainer.choices import Adapt
from trainer.models import VARIANTS, EfficientNetConfig, ModelConfig, TransformerConfig
from trainer.models.backbones import family_of
from trainer.models.efficientnet import working_size
from trainer.models.pretrained import BackboneError, open_weights
from trainer.transfer.methods import METHODS

RATES: Mapping[Adapt, float] = MappingProxyType({adapt: METHODS[adapt].rates[1] for adapt in get_args(Adapt)})
"""Peak learning rates of transformers and of heads, the middle ones that a comparison tries."""
RATE_OF_KERNELS = 5e-4
"""Peak learning rate of an EfficientNet that is trained in full."""
EMA_DECAY = 0.98
"""Of the averaged weights: a few epochs are a few hundred steps."""
DEPTHWISE_PACE = 1 / 7
"""Of the pace that a plan counts on: depthwise convolutions wait for memory, not for arithmetic."""
USUAL_SIZE, USUAL_PATCH = 224, 16
"""Of a transformer whose weights do not say theirs"""


def choose_model(backbone: str, adapt: Adapt | None) -> ModelConfig:
    """The architecture that `--backbone` names: an EfficientNet, or the folder or hub name of weights.

    adapt: by default an adapter (LoRA) for transformers, and every weight for EfficientNets.
    `BackboneError` where the weights cannot be had, or cannot be trained so.
    """
    if backbone in VARIANTS:
        if adapt == "lora" or adapt == "dora":
            raise BackboneError(
                f"adapt is {adapt!r}: {backbone} has no attention to adapt; use head (heads alone) or full"
            )
        options = EfficientNetConfig() if adapt is None else EfficientNetConfig(adapt=adapt)
        return ModelConfig(name=backbone, efficientnet=options)
    if not backbone.startswith(("folder:", "hub:")):
        raise BackboneError(
            f"backbone is {backbone!r}; it must be {', '.join(VARIANTS)}, folder:PATH or hub:OWNER/NAME"
        )
    try:
        transformer = TransformerConfig(weights=backbone, adapt=adapt or "lora")
    except ValidationError as error:
        raise BackboneError(str(error.errors()[0]["msg"])) from None
    return ModelConfig(name=family_of(backbone), transformer=transformer)


def is_pretrained(model: ModelConfig) -> bool:
    """Whether the stage starts from weights that others have trained."""
    return model.name in VARIANTS or (model.transformer is not None and model.transformer.is_pretrained)


def adapt_of(model: ModelConfig) -> Adapt:
    """What is trained of a pretrained stage."""
    if model.transformer is not None:
        return model.transformer.adapt
    return (model.efficientnet or EfficientNetConfig()).adapt


def pretrained_size(model: ModelConfig, image_size: int) -> int:
    """Pixels a side at which a pretrained stage looks at images of `image_size` pixels a side."""
    if model.transformer is None:
        return working_size(model.name, image_size)
    config = open_weights(model.transformer.weights).config
    own, patch = (
        _side(config.get(field, usual))
        for field, usual in (("image_size", USUAL_SIZE), ("patch_size", USUAL_PATCH))
    )
    return max(4 * patch, min(own // patch * patch, round(4 * image_size / 3 / patch) * patch))


def rate_of(model: ModelConfig) -> float:
    """Peak learning rate."""
    adapt = adapt_of(model)
    return RATE_OF_KERNELS if model.name in VARIANTS and adapt == "full" else RATES[adapt]


def pace(model: ModelConfig) -> float:
    """Share of the plan's multiply-accumulates a second at which this network computes."""
    return DEPTHWISE_PACE if model.name in VARIANTS else 1.0


def _side(value: int | list[int]) -> int:
    return int(value if isinstance(value, int) else value[0])
