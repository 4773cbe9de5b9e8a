"""Tiny vision transformers on disk, in the file format of pretrained ones."""

from __future__ import annotations

from pathlib import Path

import torch

from trainer.models.backbones import TransformerConfig, build_transformer

TINY = {"patch_size": 8, "hidden_size": 48, "layers": 2, "heads": 3, "mlp_ratio": 2}
"""Shape of every tiny transformer"""


def save_tiny_transformer(name: str, folder: Path, *, image_size: int = 32, seed: int = 0) -> Path:
    """Write a transformer of random weights; returns `folder`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = build_transformer(name, TransformerConfig(**TINY), image_size).net
        with torch.no_grad():
            for parameter in net.parameters():
                # A new network is nearly the identity; noise makes it change its input, as trained ones do.
                parameter.add_(0.1 * torch.randn_like(parameter))
    net.save_pretrained(folder)
    return folder
