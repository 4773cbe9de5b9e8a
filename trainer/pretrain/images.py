"""Images of a pretraining, decoded as for training, without their labels."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bundle.images.preprocess import PreprocessSpec
from calibration.scores import IntArray
from trainer.choices import PretrainRows, PretrainSplit
from trainer.data.faults import prepare
from trainer.data.images import ImageSource, row_units
from trainer.data.opening import split_data
from trainer.data.pixels import MAX_PIXEL_BYTES, Pixels, load_pixels
from trainer.errors import DataError
from trainer.pretrain.config import PretrainConfig
from trainer.run.console import RunConsole

HELD_OUT_SHARE, MOST_HELD_OUT = 0.02, 512


class UnusableImages(DataError):
    """Some images cannot be decoded, or too few can."""


@dataclass(frozen=True, slots=True)
class UnlabelledPixels:
    """Square images for training, and a few held out to measure the loss on."""

    train: Tensor
    """uint8 [n, size, size, 3]"""
    held_out: Tensor
    """uint8 [m, size, size, 3], from other groups than the training images"""
    seen: tuple[str, ...]
    """sha256 of the encoded bytes of every image in either part"""
    rows: PretrainSplit

    def digest(self) -> str:
        """sha256 of all pixels, which must be unchanged for a run to resume."""
        whole = hashlib.sha256()
        for pixels in (self.train, self.held_out):
            whole.update(repr(tuple(pixels.shape)).encode())
            whole.update(pixels.contiguous().numpy().tobytes())
        return whole.hexdigest()


def unlabelled_images(
    config: PretrainConfig, source: ImageSource, size: int, cache: Path, console: RunConsole
) -> UnlabelledPixels:
    """Decode the rows that `config.rows` names, at `size` pixels per side.

    Labels only decide which rows the training split of a later run holds, since that split is stratified by
    them; they are not returned. Raises `FaultyData` or `UnusableImages`.
    """
    spec = PreprocessSpec(height=size, width=size)
    kept = cache if 3 * size * size * len(source) > MAX_PIXEL_BYTES else None
    rows = _resolved(config.rows, source)
    with console.bar("Decoding", len(source)) as bar:
        if rows == "train":
            data = prepare(source, [spec], skip_bad=config.data.skip_bad, cache=kept, advance=bar.advance)
            pixels = data.pixels
        else:
            pixels = load_pixels(source, [spec], cache=kept, advance=bar.advance)
    if rows == "train":
        splits = split_data(
            data, config.splits, config.promise, seed=config.splits.seed or 0, pretrained=True
        )
        train, held_out = splits.train, splits.val_select
    else:
        train, held_out = _hold_out(
            _decoded(source, pixels, skip_bad=config.data.skip_bad), source, config.seed
        )
    if not len(train) or not len(held_out):
        raise UnusableImages(
            f"{source.name} leaves {len(train)} images to learn from and {len(held_out)} to measure on; "
            "both need some: raise splits.val_select, lower the other splits, or use rows: all"
        )
    held_out = held_out[np.unique(np.linspace(0, len(held_out) - 1, MOST_HELD_OUT).astype(np.int64))]
    return UnlabelledPixels(
        _tensor(pixels.arrays[0], train),
        _tensor(pixels.arrays[0], held_out),
        tuple(pixels.content[row] for row in [*train.tolist(), *held_out.tolist()]),
        rows,
    )


def _resolved(rows: PretrainRows, source: ImageSource) -> PretrainSplit:
    if rows != "auto":
        return rows
    return "train" if source.labelled else "all"


def _decoded(source: ImageSource, pixels: Pixels, *, skip_bad: bool) -> IntArray:
    """Rows of the images that decoded."""
    bad = pixels.faults
    if bad and not skip_bad:
        examples = [f"    {source.paths[row]}: {why}" for row, why in list(bad.items())[:3]]
        raise UnusableImages(
            "\n".join(
                [
                    f"{source.name}: {len(bad)} of {len(source)} images cannot be read "
                    "(--skip-bad goes on without them):",
                    *examples,
                ]
            )
        )
    return np.array([row for row in range(len(source)) if row not in bad], dtype=np.int64)


def _hold_out(rows: IntArray, source: ImageSource, seed: int) -> tuple[IntArray, IntArray]:
    """(training rows, rows of a few whole groups to hold out)"""
    units = row_units(source)[rows]
    names = np.unique(units)
    if len(names) < 2:
        raise UnusableImages(
            f"{source.name} has {len(names)} usable images or groups; pretraining needs at least 2, one to "
            "measure on"
        )
    shuffled = np.random.default_rng(seed).permutation(names)
    held_out = np.isin(units, shuffled[: max(1, round(HELD_OUT_SHARE * len(names)))])
    return rows[~held_out], rows[held_out]


def _tensor(pixels: NDArray[np.uint8], rows: Sequence[int] | IntArray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels[np.asarray(rows, dtype=np.int64)]))
