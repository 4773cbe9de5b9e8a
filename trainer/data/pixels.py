"""Every image decoded once, on the serving path, into arrays that training reads."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bundle.images.decode import DecodeLimits, decode
from bundle.images.errors import ImageError
from bundle.images.preprocess import PreprocessSpec, decode_target, resize
from trainer.data.images import ImageSource
from trainer.data.passes import each_row
from trainer.errors import DataError
from trainer.run.cache import Facts, cached, new_array

MAX_PIXEL_BYTES = 2 * 2**30
"""Decoded images above this size are kept in memory-mapped files of the run folder."""
CACHE_FORMAT = 1


@dataclass(frozen=True)
class Pixels:
    """Every image of a source at the input size of each stage, not yet normalised."""

    arrays: tuple[NDArray[np.uint8], ...]
    """One per spec: uint8 [n, height, width, 3]; black if the image cannot be decoded"""
    content: tuple[str, ...]
    """[n], sha256 of the encoded bytes; "" without bytes"""
    faults: dict[int, str]
    """Row -> reason why it cannot be decoded"""

    def take(self, rows: NDArray[np.int64]) -> Pixels:
        """A copy of these rows, in this order."""
        position = {int(row): new for new, row in enumerate(rows)}
        return Pixels(
            arrays=tuple(array[rows] for array in self.arrays),
            content=tuple(self.content[int(row)] for row in rows),
            faults={position[row]: why for row, why in self.faults.items() if row in position},
        )


def load_pixels(
    source: ImageSource,
    specs: Sequence[PreprocessSpec],
    *,
    limits: DecodeLimits | None = None,
    cache: Path | None = None,
    workers: int | None = None,
    advance: Callable[[int], None] | None = None,
) -> Pixels:
    """Decode each image once and resize it for every spec, as the service does for its stages.

    Images that cannot be read or decoded are collected in `faults`, not raised. With a `cache` folder the
    arrays are memory-mapped files in it, keyed by the digest of the source and the specs; damaged ones are
    made again. `advance` gets the number of images just done. Raises `DiskError`.
    """
    limits = limits or DecodeLimits()
    if cache is None:
        arrays = tuple(np.zeros((len(source), *spec.size, 3), dtype=np.uint8) for spec in specs)
        content, faults = _fill(source, specs, limits, arrays, workers, advance)
        return Pixels(arrays, content, faults)

    def make(unfinished: Path) -> Facts:
        arrays = [
            new_array(_file(unfinished, index), (len(source), *spec.size, 3), np.uint8)
            for index, spec in enumerate(specs)
        ]
        content, faults = _fill(source, specs, limits, arrays, workers, advance)
        for array in arrays:
            array.flush()
        return {"content": content, "faults": {str(row): why for row, why in faults.items()}}

    entry = cached(cache / _key(source, specs, limits), make)
    if entry.found and advance is not None:
        advance(len(source))
    return Pixels(
        arrays=tuple(np.load(_file(entry.folder, index), mmap_mode="r") for index in range(len(specs))),
        content=tuple(entry.facts["content"]),
        faults={int(row): why for row, why in entry.facts["faults"].items()},
    )


def typical_size(source: ImageSource, sample: int = 32) -> tuple[int, int]:
    """Median (height, width) in pixels over a few images of the source, as decoded."""
    sizes = []
    for row in np.unique(np.linspace(0, len(source) - 1, sample).astype(int)).tolist():
        try:
            sizes.append(decode(source.read(row)).shape[:2])
        except (ImageError, DataError):  # reported by the pass that decodes every image
            continue
    if not sizes:
        raise DataError(f"none of {sample} images tried in {source.name} can be decoded")
    height, width = np.median(np.array(sizes), axis=0).astype(int).tolist()
    return height, width


def _fill(
    source: ImageSource,
    specs: Sequence[PreprocessSpec],
    limits: DecodeLimits,
    arrays: Sequence[NDArray[np.uint8]],
    workers: int | None,
    advance: Callable[[int], None] | None,
) -> tuple[tuple[str, ...], dict[int, str]]:
    target = decode_target(specs)
    content = [""] * len(source)
    faults: dict[int, str] = {}

    def work(row: int) -> None:
        try:
            encoded = source.read(row)
            content[row] = hashlib.sha256(encoded).hexdigest()
            pixels = decode(encoded, limits, target)
        except (ImageError, DataError) as fault:
            faults[row] = str(fault)
            return
        for array, spec in zip(arrays, specs, strict=True):
            array[row] = resize(pixels, spec)

    each_row(len(source), work, workers=workers, advance=advance)
    return tuple(content), dict(sorted(faults.items()))


def _key(source: ImageSource, specs: Sequence[PreprocessSpec], limits: DecodeLimits) -> str:
    parts = [str(CACHE_FORMAT), source.digest(), *(spec.model_dump_json() for spec in specs), repr(limits)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def _file(folder: Path, index: int) -> Path:
    """File of the array of one spec."""
    return folder / f"pixels_{index}.npy"
