"""Appearance of an image: brightness, contrast, sharpness, saturation, and its size as it was sent."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from bundle.images.decode import PixelArray
from bundle.images.headers import read_header

_LONGEST: Final = 256
"""Pixels that are read along the longer side; every second, third, ... one of a larger image"""
_LUMA: Final = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Weights of red, green and blue (ITU-R BT.601)"""


def appearance(encoded: bytes, pixels: PixelArray) -> dict[str, float]:
    """The appearance of a decodable image by name; `pixels`: as decoded for the stages, [H, W, 3].

    brightness: mean of the luma, 0 to 1. contrast: its standard deviation. sharpness: standard deviation of
    its Laplacian. saturation: mean of (max - min) / max over the channels. megapixels and aspect (width to
    height) as stored, and bytes_per_pixel.
    """
    step = max(1, -(-max(pixels.shape[:2]) // _LONGEST))
    thin = pixels[::step, ::step].astype(np.float32) / 255.0
    luma = np.asarray(thin @ _LUMA, dtype=np.float32)
    strongest = thin.max(axis=-1)
    spread = strongest - thin.min(axis=-1)
    header = read_header(encoded)
    stored = header.width * header.height
    return {
        "brightness": float(luma.mean()),
        "contrast": float(luma.std()),
        "sharpness": _sharpness(luma),
        "saturation": float((spread / np.maximum(strongest, 1.0 / 255.0)).mean()),
        "megapixels": stored / 1e6,
        "aspect": header.width / header.height,
        "bytes_per_pixel": len(encoded) / stored,
    }


def _sharpness(luma: NDArray[np.float32]) -> float:
    """Standard deviation of the four-neighbour Laplacian; 0 for an image too thin to have one."""
    if min(luma.shape) < 3:
        return 0.0
    around = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:]
    return float((around - 4.0 * luma[1:-1, 1:-1]).std())
