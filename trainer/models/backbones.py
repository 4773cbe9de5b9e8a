"""Vision transformers as backbones: ViT, DINOv2 with and without registers, DINOv3.

From a config with random weights, or pretrained from a folder or the hub; trained in full, through an
adapter, or not at all (the heads alone).
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
    """Pixels a side of a patch; by default 16, or what the weights were trained with."""
    hidden_size: int = Field(default=192, ge=16, le=8192)
    """This and the fields below shape a network of random weights; pretrained ones bring their own."""
    layers: int = Field(default=12, ge=1, le=80)
    heads: int = Field(default=3, ge=1, le=64)
    mlp_ratio: int = Field(default=4, ge=1, le=8)
    registers: int = Field(default=4, ge=0, le=16)
    """Register tokens, of the families that have them."""

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
    """One kind of transformer: its classes in transformers, and what differs between kinds."""

    config_class: str
    model_class: str
    model_types: tuple[str, ...]
    """`model_type` of the checkpoints that it reads"""
    normalisation: MeanStd
    """Of its published weights, where a checkpoint does not say"""
    has_registers: bool
    takes_ratio: bool
    """Whether its config states the MLP's width as a ratio"""
    options: Mapping[str, bool] = field(default_factory=dict)
    """Of its class"""


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
    """The class token beside the mean of the patch tokens, as DINOv2's own evaluation reads them.

    The heads lie outside, so they are trained in full whatever happens to `net`.
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
        """Add the adapter to the weights, in place; the outputs stay."""
        self.net = merge(self.net)


def build_transformer(name: str, config: TransformerConfig, image_size: int) -> TransformerBackbone:
    """The backbone `name` of `FAMILIES` for square images of `image_size` pixels.

    Raises `BackboneError` where the weights cannot be had, are of another family, or do not fit.
    """
    family = FAMILIES[name]
    if config.is_pretrained:
        folder = open_weights(config.weights)
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


def family_of(weights: str) -> str:
    """Name of the family that the weights at `folder:PATH` or `hub:OWNER/NAME` belong to."""
    folder = open_weights(weights)
    for name, family in FAMILIES.items():
        if folder.model_type in family.model_types:
            return name
    known = ", ".join(kind for family in FAMILIES.values() for kind in family.model_types)
    raise BackboneError(f"{folder.name} is a {folder.model_type!r}; the known kinds are {known}")


def _trained(net: nn.Module, config: TransformerConfig) -> nn.Module:
    """`net` with the weights that are trained set free, and an adapter where one is asked for."""
    if config.adapt in ("lora", "dora"):
        method: AdapterMethod = "dora" if config.adapt == "dora" else "lora"
        # Forked, so that the heads start the same whatever stands beside the backbone.
        with torch.random.fork_rng(devices=[]):
            return attach(net, method, config.adapter)
    net.requires_grad_(config.adapt == "full")
    for parameter_name, parameter in net.named_parameters():
        if parameter_name.endswith("mask_token"):
            # Stands for hidden patches in self-supervised training; nothing is hidden here.
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
    """`BackboneError` where the weights are of another family than `name`, saying which."""
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
    """Bring learned positions to this size once, so that no forward pass has to (nor the export).

    antialias: as the network itself would on every pass. DINOv3's rotary positions follow the input by
    themselves.
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
