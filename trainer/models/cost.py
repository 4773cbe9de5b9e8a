"""What a model costs: multiply-accumulates an image, and parameters."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def macs(model: nn.Module, image_size: int) -> int:
    """Multiply-accumulates of one forward pass on one image of `image_size` x `image_size` pixels.

    Convolutions and matrix products count; normalisation, pooling and activations do not, as is usual.
    """
    total = 0

    def count(module: nn.Module, _inputs: Any, output: Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.Conv2d):
            each = module.in_channels // module.groups * module.kernel_size[0] * module.kernel_size[1]
            total += output[0].numel() * each
        elif isinstance(module, nn.Linear):
            total += output[0].numel() * module.in_features

    handles = [module.register_forward_hook(count) for module in model.modules()]
    was_training = model.training
    device = next(model.parameters()).device
    try:
        model.eval()
        with torch.no_grad():
            model(torch.zeros(1, 3, image_size, image_size, device=device))
    finally:
        model.train(was_training)
        for handle in handles:
            handle.remove()
    return total


def n_parameters(model: nn.Module, *, trainable_only: bool = False) -> int:
    """Number of weights; `trainable_only` leaves out the frozen ones."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad or not trainable_only)
