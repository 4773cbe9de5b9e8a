"""Perceptual fingerprints of images: equal for equal images, similar for near-copies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

THUMB = 16
"""Side of a thumbnail, pixels."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The fingerprint of one image."""

    bits: np.uint64
    """Difference hash: whether each cell of an 8 x 9 grey grid is brighter than its left neighbour"""
    thumb: NDArray[np.float32]
    """[THUMB * THUMB] grey, with mean 0 and length 1; all 0 for an image of one flat grey"""


def fingerprint(pixels: NDArray[np.uint8]) -> Fingerprint:
    """The fingerprint of one image [H, W, 3]."""
    grey = Image.fromarray(pixels).convert("L")
    grid = np.asarray(grey.resize((9, 8), Image.Resampling.BOX), dtype=np.int16)
    packed = np.packbits(grid[:, 1:] > grid[:, :-1])
    thumb = np.asarray(grey.resize((THUMB, THUMB), Image.Resampling.BOX), dtype=np.float32).ravel()
    thumb = thumb - thumb.mean()
    length = float(np.linalg.norm(thumb))
    return Fingerprint(
        bits=np.uint64(int.from_bytes(packed.tobytes(), "big")),
        thumb=thumb / np.float32(length) if length > 0 else thumb,
    )
