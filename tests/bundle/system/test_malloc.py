"""Memory that stays with the process, and memory that goes back."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref

import pytest

from bundle.system.malloc import release_memory

_PROGRAM = """
import resource
import numpy as np
from bundle.system.malloc import IMAGE_BYTES, keep_freed_memory, release_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def of_images():
    before = faults()
    for _ in range(20):
        np.ones(3 * 2**20, dtype=np.uint8)
    return faults() - before

found = [of_images()]
keep_freed_memory(IMAGE_BYTES)
np.ones(3 * 2**20, dtype=np.uint8)
found.append(of_images())
release_memory()
found.append(of_images())
print(*found)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts page faults and configures malloc, on Linux only")
def test_the_memory_of_an_image_is_reused_for_the_next() -> None:
    # What glibc does with large blocks, made certain.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], env=environment, capture_output=True, text=True, check=True
    )
    by_default, kept, after_a_release = map(int, done.stdout.split())
    assert by_default > 20 * 3 * 2**20 / 4096 * 0.9
    assert kept < by_default / 10
    # Given back, the first image has to fetch it again, and only the first.
    assert kept < after_a_release < by_default / 2


class _Loop:
    """Keeps itself alive, so that only a collection frees it."""

    def __init__(self) -> None:
        self.itself = self


def test_objects_that_a_release_leaves_are_skipped_until_the_next() -> None:
    loaded = _Loop()
    alive = weakref.ref(loaded)
    try:
        release_memory()
        del loaded
        gc.collect()
        assert alive() is not None
        release_memory()
        assert alive() is None
    finally:
        gc.unfreeze()
