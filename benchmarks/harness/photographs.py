"""Synthetic photographs with realistic decoding cost: dead leaves, sensor noise, JPEG with halved chroma.

Overlapping discs of random size and colour (sizes by a power law) have the edges, the flat regions and
the spectrum of natural images. The work of a decoder depends on the bytes, so their number is set too.
"""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw

_PIXELS_A_DISC = 600
_SMALLEST, _LARGEST = 2.0, 0.25
"""Smallest radius in pixels, and largest as a share of the longer side."""
_NOISE = 2.0
"""Standard deviation in grey levels."""


def photograph(
    height: int, width: int, seed: int = 0, *, quality: int = 90, most_bytes: int | None = None
) -> bytes:
    """A JPEG of this quality, or of the highest one within `most_bytes`."""
    image = Image.fromarray(_pixels(height, width, seed))
    for tried in (quality,) if most_bytes is None else range(95, 20, -3):
        buffer = BytesIO()
        image.save(buffer, "JPEG", quality=tried)
        if most_bytes is None or buffer.tell() <= most_bytes:
            return buffer.getvalue()
    raise ValueError(f"a picture of {width} x {height} does not fit into {most_bytes:,} bytes")


def photographs(count: int, height: int, width: int, most_bytes: int) -> list[bytes]:
    """Different photographs of one size."""
    return [photograph(height, width, seed, most_bytes=most_bytes) for seed in range(count)]


def _pixels(height: int, width: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    tint = rng.uniform(0.5, 1.5, 3)
    canvas = Image.new("RGB", (width, height), tuple(int(90 * t) for t in tint))
    draw = ImageDraw.Draw(canvas)
    discs = height * width // _PIXELS_A_DISC
    # p(r) ~ r^-3: every scale covers the same share of the image.
    largest = _LARGEST * max(height, width)
    radii = _SMALLEST / np.sqrt(rng.uniform((_SMALLEST / largest) ** 2, 1.0, discs))
    centres = rng.uniform(0.0, 1.0, (discs, 2)) * (width, height)
    colours = np.clip(rng.normal(110, 55, (discs, 1)) * tint + rng.normal(0, 12, (discs, 3)), 0, 255)
    for (x, y), radius, colour in zip(centres, radii, colours.astype(int), strict=True):
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=tuple(colour))
    noise = rng.normal(0.0, _NOISE, (height, width, 1)).astype(np.float32)
    return np.clip(np.asarray(canvas, dtype=np.float32) + noise, 0, 255).astype(np.uint8)
