"""Caches on disk: a folder per entry, made once, read while it is intact, and made again if it is not."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import orjson
from numpy.typing import DTypeLike

from trainer.run.digests import file_digest
from trainer.run.disk import explain_disk_errors, reserve

FACTS, DIGESTS = "facts.json", "digests.json"
"""Files of an entry: plain values that belong to its other files, and the digest of every other file"""

Facts = Mapping[str, Any]
"""Plain JSON values"""


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """A complete entry of a cache."""

    folder: Path
    facts: Facts
    found: bool
    """It was there, so nothing was computed"""


def cached(
    folder: Path, make: Callable[[Path], Facts], *, fits: Callable[[Facts], bool] = lambda _: True
) -> CacheEntry:
    """The entry in `folder`, made if necessary.

    `make` writes the files into the folder that it gets and returns their facts; it is called if the entry
    is missing or damaged, or if its facts do not fit. An interrupted call leaves no entry behind. Raises
    `DiskError`.
    """
    facts = _intact(folder)
    if facts is not None and fits(facts):
        return CacheEntry(folder, facts, found=True)
    unfinished = folder.with_name(f".{folder.name}.{uuid4().hex[:8]}")
    with explain_disk_errors(folder):
        unfinished.mkdir(parents=True)
        try:
            facts = make(unfinished)
            (unfinished / FACTS).write_bytes(orjson.dumps(dict(facts)))
            (unfinished / DIGESTS).write_bytes(_digests(unfinished))
            shutil.rmtree(folder, ignore_errors=True)
            unfinished.rename(folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return CacheEntry(folder, facts, found=False)


def new_array(path: Path, shape: tuple[int, ...], dtype: DTypeLike) -> np.memmap[Any, Any]:
    """A memory-mapped .npy file of zeros, whose space on the disk is taken at once. Raises `DiskError`."""
    array: np.memmap[Any, Any] = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    reserve(path)
    return array


def _intact(folder: Path) -> Facts | None:
    """The facts of an entry whose files are as they were written; None otherwise."""
    try:
        if (folder / DIGESTS).read_bytes() != _digests(folder):
            return None
    except OSError:
        return None
    facts: Facts = orjson.loads((folder / FACTS).read_bytes())
    return facts


def _digests(folder: Path) -> bytes:
    """File -> digest, for all files of an entry but this one."""
    files = sorted(file for file in folder.iterdir() if file.name != DIGESTS)
    return orjson.dumps({file.name: file_digest(file) for file in files})
