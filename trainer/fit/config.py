"""Configuration of the training loop of one stage."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from trainer.choices import CheckpointSelection
from trainer.fit.augment import AugmentConfig
from trainer.fit.loss import LossConfig


class LoopConfig(BaseModel):
    """Training of one stage: length, optimiser, loss, augmentation and checkpoint selection."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(default=30, ge=1)
    batch_size: int = Field(default=128, ge=2)
    lr: float = Field(default=7e-3, gt=0.0)
    """Peak learning rate, see `trainer.fit.optimizer`."""
    weight_decay: float = Field(default=0.05, ge=0.0)
    """Decay of matrices and kernels; biases and normalisation do not decay."""
    warmup: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Share of the steps in which the learning rate rises; a cosine then takes it to zero."""
    gradient_clip: float = Field(default=5.0, gt=0.0)
    """Largest norm of the gradient."""
    ema_decay: float = Field(default=0.995, ge=0.0, lt=1.0)
    """Decay of the weight average, which is what is measured and kept; 0 averages nothing."""
    balance: float = Field(default=0.0, ge=0.0, le=1.0)
    """0 shows every image once per epoch; 1 shows every class equally often."""
    objective: LossConfig = LossConfig()
    augment: AugmentConfig = AugmentConfig()
    first_views: float = Field(default=1.0, ge=0.25, le=1.0)
    """Share of the full side at which views start to grow, see `trainer.fit.schedule`; below 1 for
    convolutional networks only."""
    time_budget_s: float | None = Field(default=None, gt=0.0)
    """Seconds of training; a plan that would take longer is cut to fewer steps on a shorter schedule."""
    least_epochs: int = Field(default=1, ge=1)
    """Epochs that the time budget never takes, so that a busy machine cannot ruin the model."""
    patience: int | None = Field(default=None, ge=1)
    """Epochs without a gain on val_select after which training ends, with one more epoch in which the rate
    falls to zero; None: the plan is trained in full."""
    checkpoint_selection: CheckpointSelection = "augrc"
    seed: int = Field(default=0, ge=0)
