"""Vision transformers as backbones: ViT, DINOv2 with and without registers, DINOv3.

Weights are random or come from a folder or the hub; training changes all of them, an adapter, or only the
heads outside the backbone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from trainer.choices import Adapt, AdapterMethod
from trainer.models.adapters import AdapterConfig, attach, is_adapted, merge, save_adapter
from trainer.models.normalisation import HALVES, IMAGENET, MeanStd, normalised_as
from trainer.models.pretrained import BackboneError, WeightFolder, load_network, open_weights
from trainer.models.stage import Backbone


class TransformerConfig(BaseModel):
    """A vision transformer, its weights, and how they are trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights: str = "random"
    """`random`, `folder:PATH` or `hub:OWNER/NAME[@REVISION]`"""
    adapt: Adapt = "full"
    """`full` trains every weight; `lora` and `dora` an adapter and the heads; `head` the heads alone."""
    adapter: AdapterConfig = AdapterConfig()
    """For `lora` and `dora`."""
    patch_size: int | None = Field(default=None, ge=2, le=64)
    """Pixels per side of a patch; by default 16, or what the weights were trained with."""
    hidden_size: int = Field(default=192, ge=16, le=8192)
    """Width. This and the fields below shape a network with random weights only."""
    layers: int = Field(default=12, ge=1, le=80)
    heads: int = Field(default=3, ge=1, le=64)
    mlp_ratio: int = Field(default=4, ge=1, le=8)
    registers: int = Field(default=4, ge=0, le=16)
    """Number of register tokens, for families that have them."""

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        scheme, _, rest = self.weights.partition(":")
        if self.weights != "random" and (scheme not in ("folder", "hub") or not rest):
            raise ValueError(f"weights is {self.weights!r}; it must be random, folder:PATH or hub:OWNER/NAME")
        if not self.is_pretrained and self.adapt != "full":
            raise ValueError(
                f"adapt is {self.adapt!r} with random weights: a frozen random network has nothing to adapt; "
                "use adapt: full, or name pretrained weights"
            )
        if self.hidden_size % (4 * self.heads):
            raise ValueError(
                f"hidden_size is {self.hidden_size} with {self.heads} heads; need a multiple of 4 x heads"
            )
        return self

    @property
    def is_pretrained(self) -> bool:
        return self.weights != "random"


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of vision transformer: its classes in transformers, and how it differs from other kinds."""

    config_class: str
    model_class: str
    model_types: tuple[str, ...]
    """`model_type` of the checkpoints that it reads"""
    normalisation: MeanStd
    """Normalisation of its published weights, for checkpoints that do not say"""
    has_registers: bool
    takes_ratio: bool
    """Whether its config states the MLP's width as a ratio"""
    options: Mapping[str, bool] = field(default_factory=dict)
    """Arguments of its class"""


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "vit": Family(
            "ViTConfig",
            "ViTModel",
            ("vit", "vit_mae"),
            HALVES,
            has_registers=False,
            takes_ratio=False,
            options={"add_pooling_layer": False},
        ),
        "dinov2": Family(
            "Dinov2Config", "Dinov2Model", ("dinov2",), IMAGENET, has_registers=False, takes_ratio=True
        ),
        "dinov2-registers": Family(
            "Dinov2WithRegistersConfig",
            "Dinov2WithRegistersModel",
            ("dinov2_with_registers",),
            IMAGENET,
            has_registers=True,
            takes_ratio=True,
        ),
        "dinov3": Family(
            "DINOv3ViTConfig",
            "DINOv3ViTModel",
            ("dinov3_vit",),
            IMAGENET,
            has_registers=True,
            takes_ratio=False,
        ),
    }
)


class TransformerBackbone(Backbone):
    """A transformer whose features are the class token and the mean patch token, as in DINOv2's evaluation.

    The heads lie outside, so they are trained in full whichever weights of `net` are trained.
    """

    def __init__(
        self, net: nn.Module, *, hidden_size: int, first_patch: int, own: MeanStd, weights: str
    ) -> None:
        super().__init__()
        self.net = net
        self.normalisation = normalised_as(own)
        self.first_patch = first_patch
        """Tokens before the patches: the class token and the registers"""
        self.weights = weights
        self.n_features = 2 * hidden_size

    def forward(self, pixels: Tensor) -> Tensor:
        tokens: Tensor = self.net(pixel_values=self.normalisation(pixels)).last_hidden_state
        return torch.cat([tokens[:, 0], tokens[:, self.first_patch :].mean(dim=1)], dim=-1)

    @property
    def has_adapter(self) -> bool:
        return is_adapted(self.net)

    def save_adapter(self, folder: Path) -> tuple[Path, ...]:
        """The adapter's files, see `trainer.models.adapters.save_adapter`."""
        return save_adapter(self.net, folder, base=self.weights)

    def merge_adapter(self) -> None:
        """Add the adapter to the weights, in place; the outputs do not change."""
        self.net = merge(self.net)


def build_transformer(
    name: str, config: TransformerConfig, image_size: int, folder: WeightFolder | None = None
) -> TransformerBackbone:
    """The backbone `name` of `FAMILIES` for square images of `image_size` pixels.

    folder: the weights of `config`, if they are open already. Raises `BackboneError` if the weights cannot
    be found, belong to another family, or do not fit.
    """
    family = FAMILIES[name]
    if config.is_pretrained:
        folder = folder or open_weights(config.weights)
        check_family(name, folder)
        net = load_network(_transformers(family.model_class), folder, family.options)
        own, weights = folder.mean_std() or family.normalisation, folder.name
    else:
        net = _random_network(family, config, image_size)
        own, weights = IMAGENET, "random"
    patch = _patch_size(config, net, weights)
    if image_size % patch:
        raise BackboneError(
            f"image_size is {image_size}, which is no multiple of the patch size {patch} of {weights} "
            f"{name}; use {image_size // patch * patch or patch} or {(image_size // patch + 1) * patch}"
        )
    _set_image_size(net, image_size, patch, antialias=family.has_registers)
    hidden_size = int(net.config.hidden_size)
    first_patch = 1 + (int(net.config.num_register_tokens) if family.has_registers else 0)
    return TransformerBackbone(
        _trained(net, config), hidden_size=hidden_size, first_patch=first_patch, own=own, weights=weights
    )


def family_of(folder: WeightFolder) -> str:
    """Name of the family of pretrained weights; `BackboneError` if it is none of `FAMILIES`."""
    for name, family in FAMILIES.items():
        if folder.model_type in family.model_types:
            return name
    known = ", ".join(kind for family in FAMILIES.values() for kind in family.model_types)
    raise BackboneError(f"{folder.name} is a {folder.model_type!r}; the known kinds are {known}")


def _trained(net: nn.Module, config: TransformerConfig) -> nn.Module:
    """`net` with the configured weights trainable, and with an adapter if one is configured."""
    if config.adapt in ("lora", "dora"):
        method: AdapterMethod = "dora" if config.adapt == "dora" else "lora"
        # Forked, so that the heads start from the same weights with and without an adapter.
        with torch.random.fork_rng(devices=[]):
            return attach(net, method, config.adapter)
    net.requires_grad_(config.adapt == "full")
    for parameter_name, parameter in net.named_parameters():
        if parameter_name.endswith("mask_token"):
            # Replaces hidden patches in self-supervised training; no patch is hidden here.
            parameter.requires_grad_(False)
    return net


def _random_network(family: Family, config: TransformerConfig, image_size: int) -> Any:
    shape: dict[str, Any] = {
        "image_size": image_size,
        "patch_size": config.patch_size or 16,
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
    }
    if family.takes_ratio:
        shape["mlp_ratio"] = config.mlp_ratio
    else:
        shape["intermediate_size"] = config.mlp_ratio * config.hidden_size
    if family.has_registers:
        shape["num_register_tokens"] = config.registers
    config_class, model_class = _transformers(family.config_class), _transformers(family.model_class)
    return model_class(config_class(**shape), **family.options)


def _transformers(class_name: str) -> Any:
    import transformers

    return getattr(transformers, class_name)


def check_family(name: str, folder: WeightFolder) -> None:
    """Raise `BackboneError` if the weights belong to another family than `name`; it says which."""
    if folder.model_type not in FAMILIES[name].model_types:
        fitting = [other for other, kind in FAMILIES.items() if folder.model_type in kind.model_types]
        way_out = f"use name: {fitting[0]}" if fitting else f"known: {', '.join(FAMILIES)}"
        raise BackboneError(f"{folder.name} is a {folder.model_type!r}, not a {name}; {way_out}")


def _patch_size(config: TransformerConfig, net: Any, weights: str) -> int:
    own = net.config.patch_size
    patch = int(own if isinstance(own, int) else own[0])
    if config.patch_size not in (None, patch):
        raise BackboneError(f"patch_size is {config.patch_size}; the weights {weights} have {patch}")
    return patch


def _set_image_size(net: Any, image_size: int, patch: int, *, antialias: bool) -> None:
    """Resize learned positions once, so that neither the forward pass nor the export has to.

    antialias: as the network itself resizes them on every pass. DINOv3's rotary positions follow the input
    size without this.
    """
    net.config.image_size = image_size
    positions = getattr(net.embeddings, "position_embeddings", None)
    if positions is None:
        return
    old, new = round((positions.shape[1] - 1) ** 0.5), image_size // patch
    if old != new:
        grid = positions.detach()[:, 1:].reshape(1, old, old, -1).permute(0, 3, 1, 2)
        grid = functional.interpolate(grid, (new, new), mode="bicubic", antialias=antialias)
        flat = grid.permute(0, 2, 3, 1).reshape(1, new * new, -1)
        net.embeddings.position_embeddings = nn.Parameter(torch.cat([positions.detach()[:, :1], flat], dim=1))
    for part in (net.embeddings, net.embeddings.patch_embeddings):
        part.image_size = (image_size, image_size)
    net.embeddings.patch_embeddings.num_patches = new * new
