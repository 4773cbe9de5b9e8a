"""Blocks of rows as compact bytes, so that a service sends and reads only what has changed."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from monitoring.errors import MonitoringError
from monitoring.experiments.shadow_rows import SHADOW_COUNTS, ShadowColumns
from monitoring.experiments.unit_columns import COUNTS, SUMS, UnitColumns

ROWS: Final = 4096
"""Rows of a block"""
_UNITS: Final = ("<i8", *["<i4"] * len(COUNTS), *["<f8"] * len(SUMS))
_SHADOWS: Final = ("<i8", *["<i4"] * len(SHADOW_COUNTS))
_PARTS: Final = (("answered", "requests"), ("audits", "answered"))
_SLACK: Final = 1e-6
"""Share by which a sum of weights may differ from itself, added up in another order"""


class BlockUnreadable(MonitoringError):
    """Bytes are no block of rows."""


def unit_blocks(rows: UnitColumns, most: int) -> list[bytes]:
    """The first `most` rows in blocks; the same rows always give the same bytes."""
    columns = (rows.key, *(rows.counts[name] for name in COUNTS), *(rows.sums[name] for name in SUMS))
    return list(_blocks(columns, _UNITS, most))


def units_of(blocks: Sequence[bytes]) -> UnitColumns:
    """The rows of blocks. Raises BlockUnreadable, also for rows that cannot be."""
    key, *rest = _columns(blocks, _UNITS)
    counts = dict(zip(COUNTS, rest[: len(COUNTS)], strict=True))
    sums = dict(zip(SUMS, rest[len(COUNTS) :], strict=True))
    if not (_are_counts(counts.values()) and all(np.isfinite(column).all() for column in sums.values())):
        raise BlockUnreadable("it holds values that are no counts")
    labelled = sum(sums[name] for name in SUMS[4:])
    over = [(counts[less] > counts[more]).any() for less, more in _PARTS]
    wrong, audited = sums["audited_wrong"], sums["audited"]
    odd = (wrong < 0.0) | (wrong > audited * (1.0 + _SLACK)) | (labelled > counts["requests"])
    if any(over) or odd.any() or any((sums[name] < 0.0).any() for name in SUMS[4:]):
        raise BlockUnreadable("it holds rows of which a part is more than the whole")
    return UnitColumns(key, counts, sums)


def shadow_blocks(rows: ShadowColumns, most: int) -> list[bytes]:
    """The first `most` rows in blocks."""
    return list(_blocks((rows.key, *(rows.counts[name] for name in SHADOW_COUNTS)), _SHADOWS, most))


def shadows_of(blocks: Sequence[bytes]) -> ShadowColumns:
    """The rows of blocks. Raises BlockUnreadable, also for rows that cannot be."""
    key, *rest = _columns(blocks, _SHADOWS)
    counts = dict(zip(SHADOW_COUNTS, rest, strict=True))
    over = [(counts[name] > counts["requests"]).any() for name in SHADOW_COUNTS[2:]]
    if not _are_counts(counts.values()) or any(over):
        raise BlockUnreadable("it holds rows of which a part is more than the whole")
    return ShadowColumns(key, counts)


def packed(block: bytes) -> bytes:
    """A block for the store."""
    return zlib.compress(block, 1)


def unpacked(content: bytes) -> bytes:
    """The block again. Raises BlockUnreadable; what would be larger than a block is not unpacked."""
    reader = zlib.decompressobj()
    try:
        block = reader.decompress(content, ROWS * _width(_UNITS) + 1)
    except zlib.error as error:
        raise BlockUnreadable(f"it cannot be unpacked: {error}") from None
    if not reader.eof:
        raise BlockUnreadable("it is cut, or larger than a block")
    return block


def _blocks(columns: Sequence[NDArray[Any]], kinds: Sequence[str], most: int) -> Iterator[bytes]:
    number = min(most, len(columns[0]))
    for begin in range(0, number, ROWS):
        end = min(number, begin + ROWS)
        yield b"".join(
            column[begin:end].astype(kind).tobytes() for column, kind in zip(columns, kinds, strict=True)
        )


def _columns(blocks: Sequence[bytes], kinds: Sequence[str]) -> list[NDArray[Any]]:
    found = [list(_columns_of(block, kinds)) for block in (b"", *blocks)]
    return [np.concatenate(pieces) for pieces in zip(*found, strict=True)]


def _columns_of(block: bytes, kinds: Sequence[str]) -> Iterator[NDArray[Any]]:
    rows, rest = divmod(len(block), _width(kinds))
    if rest:
        raise BlockUnreadable(f"it has {len(block)} bytes, which are no whole rows")
    ends = np.cumsum([0, *(rows * np.dtype(kind).itemsize for kind in kinds)]).tolist()
    for kind, (begin, end) in zip(kinds, pairwise(ends), strict=True):
        column = np.frombuffer(block[begin:end], dtype=kind)
        yield column.astype(np.float64 if kind == "<f8" else np.int64)


def _width(kinds: Sequence[str]) -> int:
    return sum(np.dtype(kind).itemsize for kind in kinds)


def _are_counts(columns: Any) -> bool:
    return all((column >= 0).all() for column in columns)
