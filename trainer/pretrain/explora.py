"""ExPLoRA (Khanna et al., arXiv 2406.10973): continued pretraining of a few weights of a backbone.

The last block or two are trained in full; the other blocks get LoRA on queries and values. The layer norms
are trained as well. All other weights stay frozen.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from trainer.errors import RunError
from trainer.models.adapters import AdapterConfig, attach

LEAST_SHARE, MOST_SHARE = 0.001, 0.10
"""Limits of the trained share of the weights: less cannot follow a new domain; more forgets the old one and
is no longer the setting of the paper."""


class ShareOutOfRange(RunError):
    """Too few or too many weights of the backbone would be trained."""


class ExploraConfig(BaseModel):
    """Weights of a pretrained backbone that are trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    blocks: int = Field(default=1, ge=0, le=8)
    """Number of last blocks that are trained in full."""
    rank: int = Field(default=8, ge=1, le=512)
    """Rank of LoRA on the queries and values of the other blocks."""
    alpha: float | None = Field(default=None, gt=0.0)
    """LoRA is scaled by alpha / rank; by default 2."""
    norms: bool = True
    """Train the layer norms of all blocks."""


@dataclass(frozen=True, slots=True)
class TrainedShare:
    """Trained share of a backbone."""

    trained: int
    parameters: int
    """Number of all weights, including those of an adapter"""

    @property
    def share(self) -> float:
        return self.trained / self.parameters

    def sentence(self) -> str:
        return (
            f"{self.trained:,} of the backbone's {self.parameters:,} weights learn ({100 * self.share:.2f} %)"
        )


def explore(net: nn.Module, config: ExploraConfig) -> nn.Module:
    """Freeze `net` except for the weights that ExPLoRA trains, in place; returns the peft model around it.

    Outputs do not change until training. Raises `ShareOutOfRange` outside 0.1 to 10 %.
    """
    name, blocks = _blocks(net)
    if config.blocks >= len(blocks):
        raise ShareOutOfRange(
            f"explora.blocks is {config.blocks}, and the backbone has {len(blocks)}; leave at least one "
            "to LoRA"
        )
    free = range(len(blocks) - config.blocks, len(blocks))
    whole = "|".join(str(index) for index in free)
    adapted = attach(
        net,
        "lora",
        AdapterConfig(rank=config.rank, alpha=config.alpha),
        exclude=rf"{name}\.({whole})\..*" if whole else None,
    )
    for index in free:
        blocks[index].requires_grad_(True)
    if config.norms:
        for module in net.modules():
            if isinstance(module, nn.LayerNorm):
                module.requires_grad_(True)
    _check(trained_share(adapted), config, len(blocks))
    return adapted


def trained_share(net: nn.Module) -> TrainedShare:
    """Trained share over all weights of `net`."""
    parameters = list(net.parameters())
    return TrainedShare(
        sum(p.numel() for p in parameters if p.requires_grad), sum(p.numel() for p in parameters)
    )


def _check(found: TrainedShare, config: ExploraConfig, blocks: int) -> None:
    if LEAST_SHARE <= found.share <= MOST_SHARE:
        return
    if found.share < LEAST_SHARE:
        way_out = "raise explora.rank or explora.blocks"
    elif config.blocks:
        way_out = (
            f"lower explora.rank ({config.rank}) or explora.blocks ({config.blocks} of {blocks}; one of so "
            "few may be too much by itself: then use 0)"
        )
    else:
        way_out = f"lower explora.rank ({config.rank})"
    raise ShareOutOfRange(
        f"{found.sentence()}; ExPLoRA trains {100 * LEAST_SHARE:g} to {100 * MOST_SHARE:g} %: {way_out}"
    )


def _blocks(net: nn.Module) -> tuple[str, nn.ModuleList]:
    """(name, blocks) of the transformer: its longest list of modules, in every family."""
    lists = [(name, module) for name, module in net.named_modules() if isinstance(module, nn.ModuleList)]
    return max(lists, key=lambda entry: len(entry[1]))
