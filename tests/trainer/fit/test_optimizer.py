"""Muon and Adam: directions by hand, the right update for each kind of weight."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from trainer.fit.optimizer import KernelOptimizer, kernel_optimizer, orthogonalised
from trainer.models import ModelConfig, build_model


@pytest.mark.parametrize("shape", [(8, 40), (40, 8), (16, 16)])
def test_orthogonalised_keeps_the_directions_and_evens_their_sizes(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    result = orthogonalised(matrix)
    sizes = torch.linalg.svdvals(result)
    assert 0.4 < float(sizes.min()) <= float(sizes.max()) < 1.3
    # u^T result v is diagonal up to bfloat16.
    inner = u.T @ result @ v.T
    assert float((inner - torch.diag(inner.diagonal())).abs().max()) < 0.06


def test_the_adam_side_is_torch_s_adamw() -> None:
    ours = nn.Parameter(torch.tensor([1.0, -2.0, 3.0]))
    reference = nn.Parameter(ours.detach().clone())
    first = KernelOptimizer([{"params": [ours], "weight_decay": 0.1}], lr=0.05)
    second = torch.optim.AdamW([reference], lr=0.05, betas=(0.9, 0.999), weight_decay=0.1)
    for step in range(5):
        gradient = torch.tensor([0.3, -1.0, 0.01 * step])
        ours.grad, reference.grad = gradient.clone(), gradient.clone()
        first.step()
        second.step()
    assert torch.allclose(ours, reference, atol=1e-6)


def test_kernels_turn_and_everything_else_adapts() -> None:
    model = build_model(ModelConfig(width=4), 32, 2)
    optimizer = kernel_optimizer(model, lr=0.01, weight_decay=0.1)
    orthogonal, matrices, vectors = optimizer.param_groups
    assert orthogonal["orthogonal"]
    assert not matrices["orthogonal"]
    assert all(p.ndim == 4 and p.shape[1] > 3 for p in orthogonal["params"])
    assert vectors["weight_decay"] == 0.0
    covered = sum(p.numel() for group in optimizer.param_groups for p in group["params"])
    assert covered == sum(p.numel() for p in model.parameters())


def test_frozen_weights_stay() -> None:
    model = build_model(ModelConfig(width=4), 32, 2)
    model.backbone.requires_grad_(False)
    optimizer = kernel_optimizer(model, lr=0.01, weight_decay=0.1)
    frozen = {id(p) for p in model.backbone.parameters()}
    assert not any(id(p) in frozen for group in optimizer.param_groups for p in group["params"])
