"""Exponential moving average of a model's weights: steadier and usually better than the last step."""

from __future__ import annotations

import copy

import torch

from trainer.models import StageModel


class WeightAverage:
    """Exponential moving average of weights and batch statistics; a decay of 0 follows the model.

    The decay warms up as (1 + t) / (10 + t), so that the random start soon has no weight.
    """

    def __init__(self, model: StageModel, decay: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay
        self.updates = 0
        averages = self.model.state_dict()
        frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
        self._pairs = [
            (averages[name], tensor) for name, tensor in model.state_dict().items() if name not in frozen
        ]
        """(average, tensor of the model); frozen tensors stay as copied"""

    @torch.no_grad()
    def update(self) -> None:
        """Move the average one step towards the model."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for average, current in self._pairs:
            if average.is_floating_point():
                average.lerp_(current, 1.0 - decay)
            else:
                average.copy_(current)
