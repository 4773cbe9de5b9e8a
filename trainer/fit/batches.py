"""Labelled pixels as tensors, and the rows of each training step."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from trainer.fit.augment import to_unit_range


@dataclass(frozen=True, slots=True)
class LabelledPixels:
    """n square images in memory, resized but not normalised."""

    pixels: Tensor
    """uint8 [n, h, w, 3]"""
    labels: Tensor
    """int64 [n], in 0..K-1"""
    weights: Tensor | None = None
    """float32 [n], weight of each image in the loss; None: all 1"""
    teacher_logits: Tensor | None = None
    """float32 [n, K], a teacher's logits of each image, if they are known before the training"""

    def __post_init__(self) -> None:
        shape = tuple(self.pixels.shape)
        if self.pixels.dtype != torch.uint8 or len(shape) != 4 or shape[1] != shape[2] or shape[3] != 3:
            raise ValueError(f"pixels are {self.pixels.dtype} {shape}; need uint8 [n, size, size, 3]")
        if self.labels.dtype != torch.int64 or self.labels.shape != (shape[0],):
            raise ValueError(
                f"labels are {self.labels.dtype} {tuple(self.labels.shape)}; need int64 ({shape[0]},)"
            )
        if self.weights is not None and self.weights.shape != (shape[0],):
            raise ValueError(f"weights have shape {tuple(self.weights.shape)}; need ({shape[0]},)")
        logits = self.teacher_logits
        if logits is not None and (logits.ndim != 2 or len(logits) != shape[0]):
            raise ValueError(f"teacher_logits have shape {tuple(logits.shape)}; need ({shape[0]}, classes)")

    def __len__(self) -> int:
        return len(self.labels)

    def digest(self) -> str:
        """sha256 of all tensors, which must be unchanged for a run to resume."""
        hasher = hashlib.sha256()
        for tensor in (self.pixels, self.labels, self.weights, self.teacher_logits):
            if tensor is not None:
                hasher.update(repr((tensor.dtype, tuple(tensor.shape))).encode())
                hasher.update(tensor.contiguous().cpu().numpy().tobytes())
        return hasher.hexdigest()


MeanStd = tuple[Sequence[float], Sequence[float]]
"""Mean and standard deviation per channel, as a preprocessing states them for values in [0, 1]"""


@dataclass(frozen=True, slots=True)
class FitData:
    """The images that one stage is trained and selected on."""

    train: LabelledPixels
    select: LabelledPixels
    mean_std: MeanStd
    """Normalisation of both"""


@dataclass(frozen=True, slots=True)
class Normaliser:
    """(x - mean) / std per channel, for x in [0, 1]."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @classmethod
    def from_mean_std(cls, mean_std: MeanStd) -> Normaliser:
        mean, std = (tuple(float(v) for v in part) for part in mean_std)
        if len(mean) != 3 or len(std) != 3 or min(std) <= 0.0:
            raise ValueError(f"mean and std are {mean}, {std}; need three numbers each, std positive")
        return cls(mean, std)

    def __call__(self, x: Tensor) -> Tensor:
        """float [B, 3, H, W] in [0, 1] -> normalised"""
        mean = torch.tensor(self.mean, device=x.device).view(1, 3, 1, 1)
        std = torch.tensor(self.std, device=x.device).view(1, 3, 1, 1)
        return (x - mean) / std


def to_size(x: Tensor, size: int) -> Tensor:
    """Scale float images [B, 3, H, W] to `size` x `size`, area-averaging on the way down."""
    if x.shape[-2:] == (size, size):
        return x
    return functional.interpolate(x, size=(size, size), mode="bilinear", align_corners=False, antialias=True)


def shrink(pixels: Tensor, size: int) -> Tensor:
    """uint8 [B, H, H, 3] unchanged, or, if larger than `size`, as float32 [B, 3, size, size] in [0, 1]."""
    return pixels if size >= pixels.shape[1] else to_size(to_unit_range(pixels), size).clamp(0.0, 1.0)


def class_quotas(counts: Tensor, power: float) -> Tensor:
    """Number of images of each class in an epoch, int64 [K]; their sum is the number of images.

    Proportional to count ** (1 - power): 0 leaves the classes as they are, 1 shows them equally often.
    """
    n = int(counts.sum())
    share = torch.where(counts > 0, counts.to(torch.float64) ** (1.0 - power), 0.0)
    exact = share / share.sum() * n
    quotas = exact.floor().to(torch.int64)
    leftover = n - int(quotas.sum())
    quotas[torch.argsort(exact - quotas, descending=True, stable=True)[:leftover]] += 1
    return quotas


def epoch_order(labels: Tensor, power: float, generator: torch.Generator) -> Tensor:
    """Rows in the order of one epoch, int64 [n]; see `class_quotas`.

    Within a class no image repeats before every other image of the class has been shown.
    """
    quotas = class_quotas(torch.bincount(labels), power)
    parts = []
    for k, quota in enumerate(quotas.tolist()):
        rows = torch.nonzero(labels == k).squeeze(-1)
        rounds = -(-quota // max(len(rows), 1))
        drawn = [rows[torch.randperm(len(rows), generator=generator)] for _ in range(rounds)]
        parts.extend([torch.cat(drawn)[:quota]] if drawn else [])
    rows = torch.cat(parts)
    return rows[torch.randperm(len(rows), generator=generator)]


def step_rows(order: Tensor, batch_size: int) -> Iterator[Tensor]:
    """Cut the order of an epoch into steps; a last step of less than half a batch is dropped.

    Small last batches would disturb the batch statistics, and their images return in the next epoch.
    """
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        if len(rows) * 2 >= batch_size or start == 0:
            yield rows


def steps_per_epoch(n: int, batch_size: int) -> int:
    """Number of steps that `step_rows` yields for n images."""
    whole, rest = divmod(n, batch_size)
    return max(1, whole + (rest * 2 >= batch_size))
