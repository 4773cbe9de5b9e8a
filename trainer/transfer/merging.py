"""Merging of a trained adapter into its backbone for export, and a record of how much was trained."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trainer.models import StageModel, TransformerBackbone, n_parameters


@dataclass(frozen=True, slots=True)
class MergedStage:
    """How much of a stage that started from pretrained weights was trained."""

    weights: str
    """Name of the pretrained weights"""
    trained: int
    """Number of weights that training could change, including the heads"""
    parameters: int
    """Number of all weights, including those of an adapter"""
    adapter: bool
    """Whether an adapter was trained and merged"""

    @property
    def share(self) -> float:
        return self.trained / self.parameters

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "trained_share": self.share}

    def sentence(self, stage: str) -> str:
        how = "an adapter, merged for export, and the heads" if self.adapter else "no adapter"
        return (
            f"Stage {stage} started from {self.weights} and trained {self.trained:,} of "
            f"{self.parameters:,} weights ({100 * self.share:.2f} %): {how}"
        )


def merge_for_export(model: StageModel, folder: Path) -> MergedStage | None:
    """Save a trained adapter to `folder` and merge it into its backbone, in place; outputs do not change.

    None for a stage that was trained from random weights.
    """
    backbone = model.backbone
    if not backbone.is_pretrained:
        return None
    adapted = isinstance(backbone, TransformerBackbone) and backbone.has_adapter
    merged = MergedStage(
        weights=backbone.weights,
        trained=n_parameters(model, trainable_only=True),
        parameters=n_parameters(model),
        adapter=adapted,
    )
    if isinstance(backbone, TransformerBackbone) and adapted:
        backbone.save_adapter(folder)
        backbone.merge_adapter()
    return merged
