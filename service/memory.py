"""Giving memory back to the system after something large has gone."""

from __future__ import annotations

import ctypes
import gc
import sys


def release_memory() -> None:
    """Collect what is unreachable and let the C library return its free pages.

    A bundle's sessions are freed with their last request; without this the pages stay with the process.
    """
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
