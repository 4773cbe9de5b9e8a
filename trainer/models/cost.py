"""Cost of a model: multiply-accumulates per image, parameters, and the pace that plans of training assume."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten

MACS_PER_SECOND = 5.5e10
"""Forward multiply-accumulates per second of training that a plan assumes, the backward pass included: two
cores, bfloat16. A forward pass alone takes a third of the time."""


def macs(model: nn.Module, image_size: int) -> int:
    """Multiply-accumulates of one forward pass on one image of `image_size` x `image_size` pixels.

    Convolutions and matrix products count, also those inside attention; normalisation, pooling, softmax and
    activations do not, by convention.
    """
    was_training = model.training
    device = next(model.parameters()).device
    try:
        model.eval()
        with torch.no_grad(), _Counter() as counter:
            model(torch.zeros(1, 3, image_size, image_size, device=device))
    finally:
        model.train(was_training)
    total: int = counter.total
    return total


def n_parameters(model: nn.Module, *, trainable_only: bool = False) -> int:
    """Number of weights; `trainable_only` excludes frozen ones."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad or not trainable_only)


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the operations that torch runs, whichever module or function calls them."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total: int = 0

    def __torch_dispatch__(
        self, func: Any, _types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        count = _COUNTS.get(func.overloadpacket)
        if count is not None:
            self.total += count(args, out)
        return out


def _convolution(args: tuple[Any, ...], out: Tensor) -> int:
    """Work of a convolution: each output reads a kernel [outputs, inputs / groups, height, width]."""
    kernel: Tensor = args[1]
    return out.numel() * math.prod(kernel.shape[1:])


def _product(args: tuple[Any, ...], out: Tensor) -> int:
    """Work of a matrix product: each output is a scalar product along the first factor's rows."""
    return out.numel() * int(args[-2].shape[-1])


def _attention(args: tuple[Any, ...], _out: Any) -> int:
    """Work of attention: queries x keys, then weights x values, [batch, heads, tokens, width] each."""
    query, key, value = args[:3]
    pairs = math.prod(query.shape[:-1]) * key.shape[-2]
    return int(pairs * (query.shape[-1] + value.shape[-1]))


_COUNTS: Mapping[Any, Callable[[tuple[Any, ...], Any], int]] = MappingProxyType(
    {
        aten.convolution: _convolution,
        aten.mm: _product,
        aten.addmm: _product,
        aten.bmm: _product,
        aten.baddbmm: _product,
        aten._scaled_dot_product_flash_attention_for_cpu: _attention,
        aten._scaled_dot_product_flash_attention: _attention,
        aten._scaled_dot_product_efficient_attention: _attention,
        aten._scaled_dot_product_cudnn_attention: _attention,
        # If torch decomposes attention, its parts are products and count as such.
    }
)
