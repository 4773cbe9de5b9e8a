"""Options of the C library's malloc: which freed memory the process keeps, and when it is returned."""

from __future__ import annotations

import ctypes
import gc
import sys
from typing import Any

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Constants of malloc.h."""
IMAGE_BYTES = 16 * 2**20
"""Bytes of a decoded photograph of 4 megapixels, with room."""
TENSOR_BYTES = 512 * 2**20
"""Bytes of the largest activations of one layer in training."""


def keep_freed_memory(largest: int) -> None:
    """Make the C library reuse the memory of one image, or of one training step, for the next.

    `largest`: bytes of the largest block that is kept; twice as many may stay at the end of a heap.

    By default, large blocks may return to the system as soon as they are free, depending on earlier
    allocations. Each image then costs a page fault per four kilobytes: for a photograph of one megapixel,
    these take half as long as decoding its JPEG.
    """
    set_option = _function("mallopt")
    if set_option is not None:
        set_option(_M_MMAP_THRESHOLD, largest)
        set_option(_M_TRIM_THRESHOLD, 2 * largest)


def release_memory() -> None:
    """Collect unreachable objects, and make the C library return its free pages.

    The sessions of a bundle are freed with their last request; without this call the process keeps the
    pages. The remaining objects are permanent, so later collections skip them: examining them takes tens
    of milliseconds, during which no request is answered.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    trim = _function("malloc_trim")
    if trim is not None:
        trim(0)


def _function(name: str) -> Any:
    """A function of the C library; None if it has none of that name."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
