"""Copies and near-copies of images, found by fingerprint; across groups or splits they are leaks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bundle.images.decode import decode
from bundle.images.errors import ImageError
from calibration.scores import IntArray
from trainer.data.images import ImageSource
from trainer.data.passes import each_row
from trainer.data.perceptual import THUMB, fingerprint
from trainer.errors import DataError

NEAR_BITS = 8
"""Differing bits of 64 up to which two images are compared further."""
NEAR_CORRELATION = 0.99
"""Correlation of thumbnails from which such images are near-copies."""
MOST_COMPARED = 60_000
"""Images compared pair by pair; of a larger source, an evenly spaced sample is taken."""
MOST_PAIRS = 1_000_000
"""Pairs of near-copies after which the search ends; with a fixed camera every pair is one."""
BLOCK = 1_024


@dataclass(frozen=True)
class Fingerprints:
    """The fingerprints of all images of a source."""

    bits: NDArray[np.uint64]
    """[n], difference hashes"""
    thumbs: NDArray[np.float32]
    """[n, THUMB * THUMB]"""
    content: NDArray[np.str_]
    """[n], sha256 of the encoded bytes"""
    faults: dict[int, str]
    """Row -> reason why it cannot be decoded; its fingerprint is empty"""

    def __len__(self) -> int:
        return len(self.bits)


def fingerprints(
    source: ImageSource, *, workers: int | None = None, advance: Callable[[int], None] | None = None
) -> Fingerprints:
    """Decode every image at a small size, and fingerprint it; `advance` gets the number just done."""
    n = len(source)
    bits = np.zeros(n, dtype=np.uint64)
    thumbs = np.zeros((n, THUMB * THUMB), dtype=np.float32)
    content = [""] * n
    faults: dict[int, str] = {}

    def work(row: int) -> None:
        try:
            encoded = source.read(row)
            content[row] = hashlib.sha256(encoded).hexdigest()
            found = fingerprint(decode(encoded, target=(4 * THUMB, 4 * THUMB)))
        except (ImageError, DataError) as fault:
            faults[row] = str(fault)
            return
        bits[row], thumbs[row] = found.bits, found.thumb

    each_row(n, work, workers=workers, advance=advance)
    return Fingerprints(bits, thumbs, np.array(content, dtype=np.str_), dict(sorted(faults.items())))


def fingerprints_of(pixels: NDArray[np.uint8]) -> Fingerprints:
    """Fingerprints of decoded images [n, H, W, 3], without content digests."""
    found = [fingerprint(image) for image in pixels]
    return Fingerprints(
        bits=np.array([each.bits for each in found], dtype=np.uint64),
        thumbs=np.array([each.thumb for each in found], dtype=np.float32).reshape(-1, THUMB * THUMB),
        content=np.full(len(found), "", dtype=np.str_),
        faults={},
    )


def exact_copies(content: NDArray[np.str_]) -> list[IntArray]:
    """Sets of rows with equal content digests, each ascending; the largest set first."""
    order = np.argsort(content, kind="stable")
    ordered = content[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    sets = [rows for rows in np.split(order, starts[1:]) if len(rows) > 1 and content[rows[0]]]
    return sorted(sets, key=lambda rows: (-len(rows), int(rows[0])))


def near_copies(prints: Fingerprints, units: NDArray[np.int64]) -> IntArray:
    """Pairs of near-copies in different units, int64 [pairs, 2]; `units`: [n], group numbers.

    Copies are near-copies too. Images without structure (one flat grey) are ignored. At most about
    `MOST_PAIRS` pairs are returned.
    """
    rows = np.flatnonzero(prints.thumbs.any(axis=1))
    if len(rows) > MOST_COMPARED:
        rows = rows[np.linspace(0, len(rows) - 1, MOST_COMPARED).astype(int)]
    found: list[IntArray] = []
    for block in _candidate_blocks(prints.bits[rows], units[rows]):
        for part in np.array_split(rows[block], max(1, len(block) // 100_000)):
            alike = (prints.thumbs[part[:, 0]] * prints.thumbs[part[:, 1]]).sum(axis=1) >= NEAR_CORRELATION
            found.append(part[alike])
        if sum(len(part) for part in found) >= MOST_PAIRS:
            break
    return np.concatenate(found).astype(np.int64) if found else np.zeros((0, 2), dtype=np.int64)


def _candidate_blocks(bits: NDArray[np.uint64], units: NDArray[np.int64]) -> Iterator[IntArray]:
    """Pairs (i < j) of different units whose hashes differ in few bits, block by block."""
    for start in range(0, len(bits), BLOCK):
        stop = min(start + BLOCK, len(bits))
        for other in range(start, len(bits), 8 * BLOCK):
            end = min(other + 8 * BLOCK, len(bits))
            near = np.bitwise_count(bits[start:stop, None] ^ bits[None, other:end]) <= NEAR_BITS
            one, two = np.nonzero(near)
            one, two = one + start, two + other
            kept = (one < two) & (units[one] != units[two])
            if kept.any():
                yield np.stack([one[kept], two[kept]], axis=1)
