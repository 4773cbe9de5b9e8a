"""Muon for convolution kernels, AdamW for the rest.

Muon (Jordan et al., 2024; analysed in arXiv 2502.16982) replaces a matrix's momentum by the nearest
orthogonal matrix, so that every direction of the update is equally large. Small networks trained from
random weights for a few dozen epochs need a fraction of AdamW's steps with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

NEWTON_SCHULZ_STEPS = 5
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the odd polynomial x -> a x + b x^3 + c x^5 that pushes singular values towards 1."""


def orthogonalised(matrix: Tensor) -> Tensor:
    """The nearest matrix with all singular values about 1 (within .7 to 1.2), float32 [m, n].

    A Newton-Schulz iteration in bfloat16: it needs matrix products only, and its rounding is small beside
    the approximation.
    """
    a, b, c = NEWTON_SCHULZ
    x = matrix.bfloat16()
    is_tall = x.shape[0] > x.shape[1]
    if is_tall:
        x = x.T
    x = x / (x.norm() + 1e-7)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    orthogonal: Tensor = (x.T if is_tall else x).float()
    return orthogonal


class KernelOptimizer(torch.optim.Optimizer):
    """Muon on the groups marked `orthogonal`, decoupled-decay Adam on the others; one learning rate.

    A kernel [out, in, h, w] is the matrix [out, in h w]. Its update is scaled by 0.2 sqrt(longer side),
    which gives it the size of an Adam update (arXiv 2502.16982, section 2.2), so that one learning rate
    and one weight decay serve both.
    """

    def __init__(self, groups: list[dict[str, Any]], *, lr: float, momentum: float = 0.9) -> None:
        defaults = {"lr": lr, "momentum": momentum, "beta2": 0.999, "weight_decay": 0.0, "orthogonal": False}
        super().__init__(groups, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        value = None
        if closure is not None:
            with torch.enable_grad():
                value = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                gradient = parameter.grad
                if gradient is None:
                    continue
                update = self._muon if group["orthogonal"] else self._adam
                parameter.mul_(1.0 - group["lr"] * group["weight_decay"])
                parameter.sub_(group["lr"] * update(parameter, gradient, group))
        return value

    def _muon(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> Tensor:
        """Nesterov momentum, orthogonalised."""
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        momentum = state["momentum"].lerp_(gradient, 1.0 - group["momentum"])
        matrix = gradient.lerp(momentum, group["momentum"]).reshape(len(parameter), -1)
        size = 0.2 * math.sqrt(max(matrix.shape))
        return size * orthogonalised(matrix).view(parameter.shape)

    def _adam(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> Tensor:
        """Bias-corrected Adam (arXiv 1412.6980, algorithm 1)."""
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros(())
            state["first"] = torch.zeros_like(parameter)
            state["second"] = torch.zeros_like(parameter)
        beta1, beta2 = group["momentum"], group["beta2"]
        state["step"] += 1
        t = float(state["step"])
        first: Tensor = state["first"].lerp_(gradient, 1.0 - beta1)
        second: Tensor = state["second"].lerp_(gradient.square(), 1.0 - beta2)
        scale = (second / (1.0 - beta2**t)).sqrt_().add_(1e-8)
        direction: Tensor = first / (1.0 - beta1**t) / scale
        return direction


def kernel_optimizer(model: nn.Module, *, lr: float, weight_decay: float) -> KernelOptimizer:
    """The optimiser of all trainable parameters: Muon on convolution kernels except those that read RGB.

    Matrices and kernels decay; biases, normalisation and the small vectors of the heads do not.
    """
    trainable = [p for p in model.parameters() if p.requires_grad]
    kernels = [p for p in trainable if p.ndim == 4 and p.shape[1] > 3]
    other_matrices = [p for p in trainable if p.ndim > 1 and not (p.ndim == 4 and p.shape[1] > 3)]
    vectors = [p for p in trainable if p.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"params": kernels, "orthogonal": True, "weight_decay": weight_decay},
        {"params": other_matrices, "weight_decay": weight_decay},
        {"params": vectors},
    ]
    return KernelOptimizer([group for group in groups if group["params"]], lr=lr)
