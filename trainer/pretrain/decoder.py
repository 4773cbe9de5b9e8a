"""Decoder of a masked autoencoder: from the visible tokens to the pixels of every patch.

Only pretraining needs it. It is saved beside the backbone, because continued pretraining works better with
the decoder that the backbone was trained with.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from safetensors.torch import load_file, save_file
from torch import nn

from trainer.models.pretrained import BackboneError, WeightFolder, load_network
from trainer.run.folder import write_json

DECODER_FOLDER = "decoder"
_CONFIG, _WEIGHTS = "config.json", "decoder.safetensors"
_POSITIONS = "decoder_pos_embed"
"""Fixed sines and cosines, which follow from the number of patches"""


class DecoderConfig(BaseModel):
    """Size of the decoder. A thin one suffices, since it is not used after pretraining."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hidden_size: int = Field(default=128, ge=8, le=2048)
    layers: int = Field(default=1, ge=1, le=16)
    heads: int = Field(default=4, ge=1, le=32)
    mlp_ratio: int = Field(default=4, ge=1, le=8)

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if self.hidden_size % 4 or self.hidden_size % self.heads:
            raise ValueError(
                f"decoder hidden_size is {self.hidden_size} with {self.heads} heads; "
                "need a multiple of 4 and of the heads"
            )
        return self


def build_decoder(config: DecoderConfig, *, hidden_size: int, patch_size: int, image_size: int) -> nn.Module:
    """A decoder of random weights for a backbone of `hidden_size` and square images of `image_size` pixels.

    `forward(tokens, restore)`: tokens [B, 1 + V, hidden_size], the class token first, and `restore` of
    `Masking` -> `.logits` [B, N, patch_size^2 x 3]. It is the class of transformers, so that decoders of
    published masked autoencoders fit.
    """
    from transformers import ViTMAEConfig
    from transformers.models.vit_mae.modeling_vit_mae import ViTMAEDecoder

    shape: Any = ViTMAEConfig(
        hidden_size=hidden_size,
        patch_size=patch_size,
        image_size=image_size,
        decoder_hidden_size=config.hidden_size,
        decoder_num_hidden_layers=config.layers,
        decoder_num_attention_heads=config.heads,
        decoder_intermediate_size=config.mlp_ratio * config.hidden_size,
    )
    shape._attn_implementation = "sdpa"
    decoder: nn.Module = ViTMAEDecoder(shape, (image_size // patch_size) ** 2)
    return decoder


def save_decoder(decoder: nn.Module, config: DecoderConfig, weights: Path) -> None:
    """Write the decoder into the folder of a backbone."""
    folder = weights / DECODER_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / _CONFIG, config.model_dump(mode="json"))
    tensors = {name: t.detach().cpu().contiguous() for name, t in decoder.state_dict().items()}
    save_file({name: t for name, t in tensors.items() if name != _POSITIONS}, folder / _WEIGHTS)


def load_decoder(
    weights: WeightFolder, *, hidden_size: int, patch_size: int, image_size: int
) -> tuple[nn.Module, DecoderConfig] | None:
    """The decoder that the weights were trained with, for images of this size; None if there is none.

    Reads what `save_decoder` wrote, or the decoder inside a published `vit_mae` checkpoint. Raises
    `BackboneError` if there is one that does not fit.
    """
    config, tensors = _saved(weights.path / DECODER_FOLDER) or _published(weights) or (None, {})
    if config is None:
        return None
    decoder = build_decoder(config, hidden_size=hidden_size, patch_size=patch_size, image_size=image_size)
    positions = decoder.state_dict()[_POSITIONS]
    if _POSITIONS not in tensors or tensors[_POSITIONS].shape != positions.shape:
        tensors[_POSITIONS] = positions
    try:
        decoder.load_state_dict(tensors)
    except RuntimeError as error:
        raise BackboneError(
            f"the decoder of {weights.name} does not fit its backbone: {str(error).splitlines()[-1].strip()}"
        ) from error
    return decoder, config


def _saved(folder: Path) -> tuple[DecoderConfig, dict[str, Any]] | None:
    if not (folder / _WEIGHTS).is_file():
        return None
    try:
        config = DecoderConfig.model_validate(json.loads((folder / _CONFIG).read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError) as error:
        raise BackboneError(f"{folder / _CONFIG} does not describe the decoder beside it: {error}") from None
    return config, load_file(folder / _WEIGHTS)


def _published(weights: WeightFolder) -> tuple[DecoderConfig, dict[str, Any]] | None:
    """The decoder inside a checkpoint of transformers' ViTMAEForPreTraining."""
    if "ViTMAEForPreTraining" not in weights.config.get("architectures", ()):
        return None
    from transformers import ViTMAEForPreTraining

    decoder = load_network(ViTMAEForPreTraining, weights, {}).decoder
    own = weights.config
    hidden_size = int(own.get("decoder_hidden_size", 512))
    config = DecoderConfig(
        hidden_size=hidden_size,
        layers=int(own.get("decoder_num_hidden_layers", 8)),
        heads=int(own.get("decoder_num_attention_heads", 16)),
        mlp_ratio=int(own.get("decoder_intermediate_size", 2048)) // hidden_size,
    )
    return config, dict(decoder.state_dict())
