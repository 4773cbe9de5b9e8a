"""Which freed memory stays with the process, and when it goes back to the system."""

from __future__ import annotations

import ctypes
import gc
import sys
from typing import Any

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Of malloc.h"""
OF_AN_IMAGE = 16 * 2**20
"""Bytes of a decoded photograph of 4 megapixels"""
OF_A_TENSOR = 512 * 2**20
"""Bytes that one layer's activations may have in training"""


def keep_freed_memory(largest: int) -> None:
    """Let the C library use the memory of one image, or of one training step, for the next.

    `largest`: bytes of the largest block that is kept; twice as many may stay at the end of a heap.

    By default large blocks may go back to the system as soon as they are free, and whether they do depends
    on what was allocated before. Each image then costs a page fault for every four kilobytes: for a
    photograph of one megapixel that takes half as long as decoding its JPEG.
    """
    set_option = _function("mallopt")
    if set_option is not None:
        set_option(_M_MMAP_THRESHOLD, largest)
        set_option(_M_TRIM_THRESHOLD, 2 * largest)


def release_memory() -> None:
    """Collect what is unreachable and let the C library return its free pages.

    A bundle's sessions are freed with their last request; without this the pages stay with the process.
    What is left is here to stay, so later collections pass it over: looking through it takes tens of
    milliseconds, in which nothing is answered.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    trim = _function("malloc_trim")
    if trim is not None:
        trim(0)


def _function(name: str) -> Any:
    """Of the C library; None where it has none of that name."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
