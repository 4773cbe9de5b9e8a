"""A running average of a model's weights: steadier, and usually better, than the last step's."""

from __future__ import annotations

import copy

import torch

from trainer.models import StageModel


class WeightAverage:
    """Exponential moving average of weights and batch statistics; a decay of 0 follows the model.

    The decay warms up as (1 + t) / (10 + t), so that the random start is forgotten quickly.
    """

    def __init__(self, model: StageModel, decay: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, model: StageModel) -> None:
        """Move a step towards `model`."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        current = model.state_dict()
        for name, average in self.model.state_dict().items():
            if average.is_floating_point():
                average.lerp_(current[name], 1.0 - decay)
            else:
                average.copy_(current[name])
