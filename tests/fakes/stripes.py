"""Small images of stripes, and configurations that pretrain on them in a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from fakes.tiny_vit import TINY
from PIL import Image

from trainer.pretrain.config import PretrainConfig, load_pretrain_config

SIZE = 32
EPOCHS = 3
SCRATCH: dict[str, Any] = {
    "backbone": "vit",
    "from_scratch": True,
    **{f"shape.{name}": value for name, value in TINY.items()},
    # Deep, so that one block is a small share of the weights.
    "shape.layers": 12,
}
SHALLOW = {**SCRATCH, "shape.layers": 1}
"""For tests that do not continue from pretrained weights"""


def stripes(rng: np.random.Generator, *, upright: bool) -> Image.Image:
    """Sine wave of random period, phase and colour, horizontal or `upright`."""
    wave = np.sin(np.arange(SIZE) * rng.uniform(0.3, 1.0) + rng.uniform(0, 6))
    plane = np.tile(wave, (SIZE, 1)) if upright else np.tile(wave[:, None], (1, SIZE))
    colour = rng.uniform(0.4, 1.0, 3)
    return Image.fromarray(((plane[..., None] * 0.5 + 0.5) * colour * 255).astype(np.uint8))


def write_stripes(root: Path, images: int, seed: int, labels: list[int] | None = None) -> Path:
    """Write a folder with a metadata.csv: file_name, track (two images each), label if `labels` are given."""
    rng = np.random.default_rng(seed)
    root.mkdir(parents=True)
    lines = ["file_name,track" + ("" if labels is None else ",label")]
    for index in range(images):
        stripes(rng, upright=index % 4 < 2).save(root / f"{index:03d}.png")
        label = "" if labels is None else f",{labels[index]}"
        lines.append(f"{index:03d}.png,t{index // 2}{label}")
    (root / "metadata.csv").write_text("\n".join(lines) + "\n")
    return root


def config_of(photos: Path, **values: Any) -> PretrainConfig:
    defaults: dict[str, Any] = {
        "data.source": f"folder:{photos}",
        "data.group": "track",
        "image_size": SIZE,
        "epochs": EPOCHS,
        "batch_size": 32,
        "lr": 3e-3,
        "decoder.hidden_size": 32,
        "compute.device": "cpu",
        "compute.precision": "fp32",
    }
    return load_pretrain_config(None, {**defaults, **values})
