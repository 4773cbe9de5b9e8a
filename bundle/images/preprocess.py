"""Pixels to tensor: one resize and one normalisation, for training, certification and serving."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from bundle.choices import ResizeMode
from bundle.images.decode import PixelArray

TensorArray = NDArray[np.float32]
"""[3, h, w], normalised, C-contiguous"""

Side = Annotated[int, Field(ge=8, le=4096)]
Channel = Annotated[float, Field(ge=-10.0, le=10.0, allow_inf_nan=False)]
Spread = Annotated[float, Field(gt=0.0, le=10.0, allow_inf_nan=False)]

REDUCING_GAP = 3.0
"""Least ratio of the intermediate to the final size after the first, integer reduction; Pillow describes
the result as close to exact."""


class PreprocessSpec(BaseModel):
    """The input of a stage's model: (pixels / 255 - mean) / std, at one size."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    height: Side
    width: Side
    mean: tuple[Channel, Channel, Channel] = (0.485, 0.456, 0.406)
    std: tuple[Spread, Spread, Spread] = (0.229, 0.224, 0.225)
    resize: ResizeMode = "stretch"

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)"""
        return self.height, self.width


def decode_target(specs: Iterable[PreprocessSpec]) -> tuple[int, int]:
    """The (height, width) to decode for, if several stages read the same pixels."""
    sizes = [spec.size for spec in specs]
    return max(height for height, _ in sizes), max(width for _, width in sizes)


def resize(pixels: PixelArray, spec: PreprocessSpec) -> PixelArray:
    """uint8 [H, W, 3] -> uint8 [h, w, 3]: bilinear, with antialiasing if the image becomes smaller."""
    height, width = pixels.shape[:2]
    if (height, width) == spec.size:
        return pixels
    resized = Image.fromarray(pixels).resize(
        (spec.width, spec.height),
        Image.Resampling.BILINEAR,
        box=_source_box(height, width, spec),
        reducing_gap=REDUCING_GAP,
    )
    return np.asarray(resized)


def normalise(pixels: PixelArray, spec: PreprocessSpec, out: TensorArray | None = None) -> TensorArray:
    """uint8 [h, w, 3] -> float32 [3, h, w], into `out` if given (a row of a batch). Raises ValueError."""
    if pixels.shape != (spec.height, spec.width, 3):
        raise ValueError(f"pixels has shape {pixels.shape}; the model needs {(spec.height, spec.width, 3)}")
    scale, shift = _affine(spec.mean, spec.std)
    tensor = np.empty((3, spec.height, spec.width), dtype=np.float32) if out is None else out
    tensor[:] = pixels.transpose(2, 0, 1)
    tensor *= scale
    tensor += shift
    return tensor


def preprocess(pixels: PixelArray, spec: PreprocessSpec, out: TensorArray | None = None) -> TensorArray:
    """`normalise(resize(pixels))`: uint8 [H, W, 3] -> float32 [3, h, w]."""
    return normalise(resize(pixels, spec), spec, out)


def _source_box(height: int, width: int, spec: PreprocessSpec) -> tuple[float, float, float, float]:
    """The part of the image that is resized: left, top, right, bottom."""
    if spec.resize == "stretch":
        return 0.0, 0.0, float(width), float(height)
    scale = min(height / spec.height, width / spec.width)
    left = (width - spec.width * scale) / 2
    top = (height - spec.height * scale) / 2
    return left, top, width - left, height - top


@lru_cache(maxsize=64)
def _affine(
    mean: tuple[float, float, float], std: tuple[float, float, float]
) -> tuple[TensorArray, TensorArray]:
    """Scale and shift, float32 [3, 1, 1] each: one multiplication and one addition per value."""
    spread = np.asarray(std, dtype=np.float64)
    scale = 1.0 / (255.0 * spread)
    shift = -np.asarray(mean, dtype=np.float64) / spread
    return scale.astype(np.float32)[:, None, None], shift.astype(np.float32)[:, None, None]
