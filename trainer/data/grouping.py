"""Detection of near-identical series of images for which no group column is given."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from bundle.images.decode import decode
from bundle.images.errors import ImageError
from calibration.scores import IntArray
from trainer.data.annotate import is_present
from trainer.data.duplicates import fingerprints_of, near_copies
from trainer.data.images import Column, ImageSource, Notice
from trainer.data.labels import as_text
from trainer.data.perceptual import THUMB, fingerprint
from trainer.errors import DataError

GROUP_WORDS = (
    *("track", "seq", "sequence", "vid", "video", "clip", "burst", "group", "scene", "session"),
    *("patient", "subject", "drive", "trip", "route", "folder"),
)
"""Last parts of column names that usually name a series, with or without "id" behind them; compared without
case and separators."""

SERIES = 8
"""Number of places in the source, and of consecutive images at each."""
ALIKE = 0.8
"""Correlation from which two thumbnails look alike."""
NEAR_SHARE = 0.01
"""Share of near-copies among the calibration images from which the notice is a warning."""
ALIKE_SHARE = 0.3
"""Share of alike neighbours from which a source counts as a set of series."""


def unused_group(source: ImageSource) -> Notice | None:
    """A warning if a column looks like a group and is not used, or if neighbours are near-copies without such
    a column. Decodes at most SERIES * SERIES images."""
    if source.groups is not None or len(source) < 2 * SERIES:
        return None
    named = [name for name, column in source.metadata.items() if names_a_group(name) and _repeats(column)]
    if named:
        return Notice(
            "group-unused",
            f"the column {named[0]!r} looks like a group ({_distinct(source.metadata[named[0]])} values for "
            f"{len(source)} images) and is not used: images of one group are no independent evidence, so "
            f"every figure and certificate will be too good. Use --group {named[0]}",
        )
    share = _alike_share(source)
    if share < ALIKE_SHARE:
        return None
    fitting = [name for name, column in source.metadata.items() if _fits_neighbours(column)]
    advice = (
        f"Use --group {fitting[0]} if that column names the series"
        if fitting
        else "Add a column that names the series and use --group"
    )
    return Notice(
        "group-unknown",
        f"{100 * share:.0f} % of neighbouring images look alike, as frames of one series do, and no group is "
        f"used: they are no independent evidence, so every figure and certificate will be too good. {advice}",
    )


def near_copies_in(source: ImageSource, rows: IntArray, pixels: NDArray[np.uint8]) -> Notice | None:
    """A notice on the near-copies among calibration images, which are no independent evidence.

    `pixels`: uint8 [n, H, W, 3], of the whole source. None if there are groups, which cover the case.
    """
    if source.groups is not None or len(rows) < 2:
        return None
    pairs = near_copies(fingerprints_of(pixels[rows]), np.arange(len(rows)))
    if not len(pairs):
        return None
    found = len(np.unique(pairs))
    first, second = (source.paths[int(rows[place])] for place in pairs[0])
    return Notice(
        "near-copies",
        f"{found:,} of {len(rows):,} calibration images have a near-copy among them (for example {first} ~ "
        f"{second}): they are no independent evidence, and the certificate counts each as one. Name what "
        "belongs together with --group",
        "warning" if found > NEAR_SHARE * len(rows) else "info",
    )


def names_a_group(name: str) -> bool:
    """Whether a column of this name usually holds a group."""
    word = re.sub(r"[^a-z]", "", name.rsplit(".", 1)[-1].lower())
    return word in GROUP_WORDS or word.removesuffix("id") in GROUP_WORDS


def _distinct(column: Column) -> int:
    return len(np.unique(column[is_present(column)]))


def _repeats(column: Column) -> bool:
    """Whether there are several values, on several rows each on average."""
    return 2 <= _distinct(column) <= int(is_present(column).sum()) // 2


def _fits_neighbours(column: Column) -> bool:
    """Whether there are many values, each on consecutive rows, as with series in a file written in order."""
    texts = as_text(column)
    changes = int((texts[1:] != texts[:-1]).sum())
    distinct = _distinct(column)
    return 2 * SERIES <= distinct <= len(texts) // 2 and changes <= 2 * distinct


def _alike_share(source: ImageSource) -> float:
    """Share of neighbours at a few places that look alike, minus that of images from different places."""
    starts = np.linspace(0, len(source) - SERIES, SERIES).astype(int)
    thumbs = np.zeros((SERIES, SERIES, THUMB * THUMB), dtype=np.float32)
    for place, start in enumerate(starts.tolist()):
        for step in range(SERIES):
            try:
                thumbs[place, step] = fingerprint(decode(source.read(start + step), target=(64, 64))).thumb
            except (ImageError, DataError):  # reported as a fault by the pass that reads every image
                continue
    neighbours = (thumbs[:, 1:] * thumbs[:, :-1]).sum(axis=-1) >= ALIKE
    strangers = (thumbs[1:] * thumbs[:-1]).sum(axis=-1) >= ALIKE
    return float(neighbours.mean() - strangers.mean())
