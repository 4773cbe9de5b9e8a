"""Pictures that a small network tells apart quickly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def write_squares(root: Path, per_class: int) -> Path:
    """Noise of 32 pixels in one class folder, noise with a bright square in the other."""
    generator = np.random.default_rng(0)
    for name in ("plain", "square"):
        (root / name).mkdir()
        for index in range(per_class):
            pixels = generator.integers(0, 200, (32, 32, 3)).astype(np.uint8)
            if name == "square":
                pixels[12:22, 12:22] = 255
            Image.fromarray(pixels).save(root / name / f"{index:03d}.png")
    return root
