"""Every image decoded once, on the serving path, into arrays that training reads."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from bundle.images.decode import DecodeLimits, decode
from bundle.images.errors import ImageError
from bundle.images.preprocess import PreprocessSpec, decode_target, resize
from trainer.data.images import ImageSource
from trainer.data.passes import each_row
from trainer.errors import DataError

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
    arrays are memory-mapped files in it, keyed by the digest of the source and the specs. `advance` gets the
    number of images just done.
    """
    limits = limits or DecodeLimits()
    if cache is None:
        arrays = tuple(np.zeros((len(source), *spec.size, 3), dtype=np.uint8) for spec in specs)
        content, faults = _fill(source, specs, limits, arrays, workers, advance)
        return Pixels(arrays, content, faults)
    folder = cache / _key(source, specs, limits)
    if not folder.is_dir():
        _fill_cache(folder, source, specs, limits, workers, advance)
    elif advance is not None:
        advance(len(source))
    return _open_cache(folder, len(specs))


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


def _fill_cache(
    folder: Path,
    source: ImageSource,
    specs: Sequence[PreprocessSpec],
    limits: DecodeLimits,
    workers: int | None,
    advance: Callable[[int], None] | None,
) -> None:
    """Write beside the final folder and rename, so that an interrupted pass leaves nothing behind."""
    unfinished = folder.with_name(f"{folder.name}.{uuid4().hex[:8]}")
    unfinished.mkdir(parents=True)
    try:
        arrays = [
            np.lib.format.open_memmap(
                unfinished / f"pixels_{index}.npy",
                mode="w+",
                dtype=np.uint8,
                shape=(len(source), *spec.size, 3),
            )
            for index, spec in enumerate(specs)
        ]
        content, faults = _fill(source, specs, limits, arrays, workers, advance)
        for array in arrays:
            array.flush()
        record = {"content": content, "faults": {str(row): why for row, why in faults.items()}}
        (unfinished / "images.json").write_text(json.dumps(record))
        if not folder.is_dir():
            unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _open_cache(folder: Path, specs: int) -> Pixels:
    record = json.loads((folder / "images.json").read_text())
    return Pixels(
        arrays=tuple(np.load(folder / f"pixels_{index}.npy", mmap_mode="r") for index in range(specs)),
        content=tuple(record["content"]),
        faults={int(row): why for row, why in record["faults"].items()},
    )
