"""What a forward pass costs, against counts by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from trainer.models import ModelConfig, TransformerConfig, build_model, macs

WIDTH, HEADS, LAYERS, PATCH, SIZE = 32, 2, 3, 8, 32
PATCHES = (SIZE // PATCH) ** 2


def blocks(tokens: int) -> int:
    """Of a transformer's blocks: four projections, an MLP of four times the width, and the attention."""
    projections = 4 * tokens * WIDTH * WIDTH
    mlp = 2 * tokens * WIDTH * 4 * WIDTH
    attention = 2 * tokens * tokens * WIDTH  # queries times keys, and weights times values
    return LAYERS * (projections + mlp + attention)


@pytest.mark.parametrize(("name", "extra_tokens"), [("vit", 1), ("dinov2", 1), ("dinov2-registers", 5)])
def test_a_transformer_counts_its_attention(name: str, extra_tokens: int) -> None:
    shape = TransformerConfig(patch_size=PATCH, hidden_size=WIDTH, heads=HEADS, layers=LAYERS)
    model = build_model(ModelConfig(name=name, transformer=shape), SIZE, 2)
    embedding = PATCHES * WIDTH * 3 * PATCH * PATCH
    features = 2 * WIDTH
    heads = features * 2 + features * 2 + features * (features // 2) + features // 2
    assert macs(model, SIZE) == embedding + blocks(PATCHES + extra_tokens) + heads


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_attention_costs_the_same_however_it_is_computed(implementation: str) -> None:
    from transformers import ViTConfig, ViTModel

    config = ViTConfig(
        image_size=SIZE,
        patch_size=PATCH,
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        attn_implementation=implementation,
    )
    net = ViTModel(config, add_pooling_layer=False)
    assert macs(net, SIZE) == PATCHES * WIDTH * 3 * PATCH * PATCH + blocks(PATCHES + 1)


def test_groups_and_bare_functions_count_what_they_compute() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.depthwise = nn.Conv2d(6, 6, 3, padding=1, groups=6, bias=False)
            self.matrix = nn.Parameter(torch.zeros(6, 4))

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            x = self.depthwise(torch.cat([pixels, pixels], dim=1))
            return functional.linear(x.mean(dim=(2, 3)) @ self.matrix, torch.zeros(5, 4))

    assert macs(Net(), 8) == 8 * 8 * 6 * 9 + 6 * 4 + 4 * 5
