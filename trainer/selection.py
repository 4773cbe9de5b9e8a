"""Which epoch's weights are kept: metrics on the selection split, and the order they are ranked in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType

import numpy as np
import torch
from scipy.special import bdtr
from torch import Tensor
from torch.nn import functional

from calibration.metrics import augrc, balanced_mcc
from calibration.scores import BoolArray, FloatArray, StageOutputs, logit_margin
from trainer.augment import to_unit_range
from trainer.batches import LabelledPixels, Normaliser, to_size
from trainer.models import StageModel

ALPHA, DELTA = 0.01, 0.05
"""Of the certifiable coverage that breaks ties between epochs."""


@dataclass(frozen=True, slots=True)
class EpochMetrics:
    """One epoch, measured on the selection split. Holds no times: a seed repeats it exactly."""

    epoch: int
    """From 1"""
    learning_rate: float
    train_loss: float
    """Mean of the training objective over the epoch's steps"""
    loss: float
    """Cross entropy"""
    accuracy: float
    balanced_mcc: float
    """Matthews correlation, every class given equal weight"""
    augrc: float
    """Of the logit margin; lower is better"""
    certifiable_coverage: float
    """Largest share answered whose error the exact test still puts below 1 % (a tie-break, no promise)"""

    def row(self) -> dict[str, int | float]:
        """Column -> value, for metrics.csv."""
        return asdict(self)


def stage_outputs(
    model: StageModel, data: LabelledPixels, normalise: Normaliser, *, batch_size: int = 256
) -> StageOutputs:
    """Logits and gate of every image, float64, computed in float32 as serving does."""
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    logits, gates = [], []
    with torch.inference_mode():
        for rows in torch.split(torch.arange(len(data)), batch_size):
            x = to_size(to_unit_range(data.pixels[rows].to(device)), model.image_size)
            outputs = model(normalise(x).contiguous(memory_format=torch.channels_last))
            logits.append(outputs.logits.double().cpu())
            gates.append(outputs.gate.double().cpu())
    model.train(was_training)
    return StageOutputs(torch.cat(logits).numpy(), torch.cat(gates).numpy())


def certifiable_coverage(errors: BoolArray, confidence: FloatArray) -> float:
    """Largest share of the most confident images on which the exact binomial test rejects risk > 1 %."""
    order = np.argsort(-confidence, kind="stable")
    answered = np.arange(1, len(errors) + 1)
    p_values = bdtr(np.cumsum(errors[order]), answered, ALPHA)
    passing = np.flatnonzero(p_values <= DELTA)
    return float(answered[passing[-1]] / len(errors)) if len(passing) else 0.0


def measure(
    model: StageModel,
    select: LabelledPixels,
    normalise: Normaliser,
    *,
    epoch: int,
    learning_rate: float,
    train_loss: float,
) -> EpochMetrics:
    """The model as it is now, on the selection split."""
    return measure_outputs(
        stage_outputs(model, select, normalise),
        select.labels,
        epoch=epoch,
        learning_rate=learning_rate,
        train_loss=train_loss,
    )


def measure_outputs(
    outputs: StageOutputs, target: Tensor, *, epoch: int, learning_rate: float, train_loss: float
) -> EpochMetrics:
    """The same from raw outputs. `target`: int64 [n]."""
    labels = target.numpy()
    predictions = outputs.logits.argmax(axis=-1)
    errors = predictions != labels
    confidence = logit_margin(outputs)
    return EpochMetrics(
        epoch=epoch,
        learning_rate=learning_rate,
        train_loss=train_loss,
        loss=float(functional.cross_entropy(torch.from_numpy(outputs.logits), target)),
        accuracy=float(1.0 - errors.mean()),
        balanced_mcc=balanced_mcc(labels, predictions),
        augrc=augrc(errors, confidence),
        certifiable_coverage=certifiable_coverage(errors, confidence),
    )


Rank = tuple[float, ...]
"""Lower is better, compared from left to right."""


def _by_augrc(m: EpochMetrics) -> Rank:
    return (m.augrc, -m.certifiable_coverage, m.loss)


def _by_loss(m: EpochMetrics) -> Rank:
    return (m.loss,)


def _by_mcc(m: EpochMetrics) -> Rank:
    return (-m.balanced_mcc, m.augrc, m.loss)


RANKINGS: Mapping[str, Callable[[EpochMetrics], Rank]] = MappingProxyType(
    {"augrc": _by_augrc, "loss": _by_loss, "mcc": _by_mcc}
)


def best_epoch(history: list[EpochMetrics], checkpoint_selection: str) -> EpochMetrics:
    """The best-ranked epoch; of equals, the first."""
    return min(history, key=RANKINGS[checkpoint_selection])
