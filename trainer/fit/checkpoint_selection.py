"""Checkpoint selection: metrics of each epoch on val_select, and the rule that chooses the kept epoch.

A small or easy selection split cannot distinguish good epochs: an early one may be perfect by luck. So an
epoch is rejected only for one that is better by more than chance, and of all epochs as good as the best the
last is kept, whose learning rate has come down the furthest (compare the one-standard-error rule of
Breiman, Friedman, Olshen and Stone, Classification and Regression Trees, 1984, section 3.4.3).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType

import numpy as np
import torch
from scipy.special import bdtr
from torch import Tensor
from torch.nn import functional

from calibration.metrics import augrc, balanced_mcc, confusion_matrix, confusion_mcc
from calibration.scores import BoolArray, FloatArray, IntArray, StageOutputs, logit_margin
from trainer.fit.augment import to_unit_range
from trainer.fit.batches import LabelledPixels, Normaliser, to_size
from trainer.fit.config import LoopConfig
from trainer.models import StageModel

ALPHA, DELTA = 0.01, 0.05
"""Risk target of the certifiable coverage in metrics.csv"""
STANDARD_ERRORS = 2.0
"""An epoch within this many of its own standard errors of the best counts as equally good."""
MCC_DRAWS = 200
"""Redrawn confusion matrices for the standard error of the MCC"""


@dataclass(frozen=True, slots=True)
class StepMetrics:
    """Metrics of the training steps of one epoch."""

    epoch: int
    """From 1"""
    learning_rate: float
    """Of the last step"""
    train_loss: float
    """Mean of the training loss over the steps"""


@dataclass(frozen=True, slots=True)
class EpochMetrics:
    """Metrics of one epoch on the selection split. They hold no times, so one seed repeats them exactly."""

    epoch: int
    """From 1"""
    learning_rate: float
    train_loss: float
    """Mean of the training loss over the steps of the epoch"""
    loss: float
    """Cross entropy"""
    accuracy: float
    balanced_mcc: float
    """Matthews correlation with equal weight per class"""
    augrc: float
    """AUGRC of the logit margin; lower is better"""
    certifiable_coverage: float
    """Largest answered share whose error the exact test puts below 1 % (no promise)"""
    loss_error: float
    """Standard error of `loss`; likewise the next two"""
    balanced_mcc_error: float
    augrc_error: float

    def row(self) -> dict[str, int | float]:
        """Column -> value, for metrics.csv."""
        return asdict(self)


def stage_outputs(
    model: StageModel, data: LabelledPixels, normalise: Normaliser, *, batch_size: int = 256
) -> StageOutputs:
    """Logits and gate of every image, float64, computed in float32 as in serving."""
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
    steps: StepMetrics,
    batch_size: int,
) -> EpochMetrics:
    """Metrics of the current weights on the selection split, `batch_size` images at a time."""
    outputs = stage_outputs(model, select, normalise, batch_size=batch_size)
    return measure_outputs(outputs, select.labels, steps)


def measure_outputs(outputs: StageOutputs, target: Tensor, steps: StepMetrics) -> EpochMetrics:
    """The same metrics from raw outputs. `target`: int64 [n]."""
    labels = target.numpy()
    predictions = outputs.logits.argmax(axis=-1)
    errors = predictions != labels
    confidence = logit_margin(outputs)
    losses = functional.cross_entropy(torch.from_numpy(outputs.logits), target, reduction="none").numpy()
    return EpochMetrics(
        epoch=steps.epoch,
        learning_rate=steps.learning_rate,
        train_loss=steps.train_loss,
        loss=float(losses.mean()),
        accuracy=float(1.0 - errors.mean()),
        balanced_mcc=balanced_mcc(labels, predictions),
        augrc=augrc(errors, confidence),
        certifiable_coverage=certifiable_coverage(errors, confidence),
        loss_error=_standard_error(losses),
        balanced_mcc_error=_balanced_mcc_error(labels, predictions),
        augrc_error=_standard_error(_augrc_terms(errors, confidence)),
    )


@dataclass(frozen=True, slots=True)
class Criterion:
    """A criterion by which epochs are compared."""

    cost: Callable[[EpochMetrics], float]
    """Lower is better"""
    error: Callable[[EpochMetrics], float]
    """Its standard error"""


CRITERIA: Mapping[str, Criterion] = MappingProxyType(
    {
        "augrc": Criterion(lambda m: m.augrc, lambda m: m.augrc_error),
        "loss": Criterion(lambda m: m.loss, lambda m: m.loss_error),
        "mcc": Criterion(lambda m: -m.balanced_mcc, lambda m: m.balanced_mcc_error),
    }
)


def best_epoch(history: list[EpochMetrics], checkpoint_selection: str) -> EpochMetrics:
    """The last epoch that is as good as the best by `checkpoint_selection`, a name in `CRITERIA`.

    As epochs are added, the answer only moves to the newest one, so only its weights need to be kept.
    """
    criterion = CRITERIA[checkpoint_selection]
    least = min(criterion.cost(m) for m in history)
    as_good = [m for m in history if criterion.cost(m) - STANDARD_ERRORS * criterion.error(m) <= least]
    return as_good[-1]


def has_stalled(history: list[EpochMetrics], config: LoopConfig) -> bool:
    """Whether none of the last `config.patience` epochs is better than the best one before them, neither by
    the criterion of the selection nor by the loss.

    On a hundred images the AUGRC of an untrained model may be small by chance; the loss is less noisy.
    """
    patience = config.patience
    if patience is None or len(history) <= patience:
        return False
    criteria = (CRITERIA[config.checkpoint_selection], CRITERIA["loss"])
    costs = ([criterion.cost(metrics) for metrics in history] for criterion in criteria)
    return all(min(each[-patience:]) >= min(each[:-patience]) for each in costs)


def _standard_error(terms: FloatArray) -> float:
    """Standard error of the mean of independent `terms` [n]; 0 for a single one."""
    return float(terms.std(ddof=1) / np.sqrt(len(terms))) if len(terms) > 1 else 0.0


def _augrc_terms(errors: BoolArray, confidence: FloatArray) -> FloatArray:
    """Contribution of each image to the AUGRC, [n]: for a wrong one, the share of images that it outranks."""
    n = len(errors)
    rank = np.empty(n)
    rank[np.argsort(-confidence, kind="stable")] = np.arange(n)
    return np.where(errors, 1.0 - rank / n, 0.0)


def _balanced_mcc_error(labels: IntArray, predictions: IntArray) -> float:
    """Standard deviation of the balanced MCC over confusion matrices redrawn within each class."""
    counts = confusion_matrix(labels, predictions)
    rng = np.random.default_rng(0)
    rows = [
        rng.multinomial(total, row / total, size=MCC_DRAWS) / total
        for row in counts
        if (total := int(row.sum()))
    ]
    if len(rows) < len(counts):
        return 0.0
    return float(np.std([confusion_mcc(matrix) for matrix in np.stack(rows, axis=1)]))
