"""Latencies, start and memory of bundles on this machine, the newcomer's beside the champion's.

Both are measured in turns, in the same minutes, so that what else runs on the machine slows both down. The
code that serves is measured: from the bytes of an image to its decision.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from bundle.loader import LoadedBundle
from bundle.system.subprocess_call import Say, call_in_subprocess
from bundle.verify import read_verified
from calibration.scores import FloatArray
from deploy.errors import GateUndecided
from deploy.gates.served import Served

BLOCK: Final = 10
"""Images of one bundle before it is the other's turn"""
LEAST_BLOCKS, MOST_BLOCKS = 30, 200
"""Of each bundle"""
ROUNDS: Final = 6
"""Starts of each bundle. The smallest and the largest of six ratios enclose their median with a confidence of
1 - 2 / 2**6, whatever their distribution."""
_MOST_IMAGES: Final = 16
_STATUS: Final = Path("/proc/self/status")


@dataclass(frozen=True, slots=True)
class Start:
    """One start of a bundle in a fresh process."""

    seconds: float
    """From the call that opens the bundle to its first decision"""
    memory: float
    """Largest memory of the process up to the last golden image, MiB"""


def measured_latencies(sides: Sequence[Served], seconds: float, *, say: Say) -> list[FloatArray]:
    """Seconds per image of each side, [blocks, BLOCK], in turns for up to `seconds`.

    Raises GateUndecided if that is too short for `LEAST_BLOCKS`.
    """
    opened = [side.open() for side in sides]
    images = golden_images(opened)
    for one in opened:
        one.runner.decide(images)
    found: list[list[list[float]]] = [[] for _ in opened]
    end = time.monotonic() + seconds
    for block in range(MOST_BLOCKS):
        turns = list(enumerate(opened))
        for place, one in turns if block % 2 == 0 else reversed(turns):
            found[place].append(
                [_timed(one, images[(block * BLOCK + n) % len(images)]) for n in range(BLOCK)]
            )
        if time.monotonic() > end:
            break
    blocks = len(found[0])
    if blocks < LEAST_BLOCKS:
        raise GateUndecided(
            f"{seconds:g} s were enough for {blocks * BLOCK} images of each bundle, and a 99th percentile "
            f"needs {LEAST_BLOCKS * BLOCK}; allow more time in gates.speed.seconds"
        )
    return [np.array(side, dtype=np.float64) for side in found]


def measured_starts(sides: Sequence[Served], longest: float, *, say: Say) -> list[list[Start]]:
    """`ROUNDS` starts of each side in turns, each in a fresh process; `longest`: seconds for all of them.

    Raises SubprocessLost and GateUndecided.
    """
    found: list[list[Start]] = [[] for _ in sides]
    end = time.monotonic() + longest
    for number in range(ROUNDS):
        say(f"start {number + 1} of {ROUNDS}")
        turns = list(enumerate(sides))
        for place, side in turns if number % 2 == 0 else reversed(turns):
            started = call_in_subprocess(partial(_start, side), limit=max(0.001, end - time.monotonic()))
            if isinstance(started, str):
                raise GateUndecided(started)
            found[place].append(started)
    return found


def golden_images(bundles: Sequence[LoadedBundle]) -> list[bytes]:
    """Images that every bundle is measured with. Raises GateUndecided if there are none."""
    images = [
        read_verified(one.folder, one.manifest, case.file)
        for one in bundles
        for case in one.manifest.golden[:_MOST_IMAGES]
    ]
    if not images:
        raise GateUndecided("no bundle has golden cases, so there is no image to measure with; write it anew")
    return images


def _start(side: Served, *, say: Callable[[str], None]) -> Start | str:
    """Runs in a fresh process; text: why it did not start."""
    began = time.perf_counter()
    try:
        opened = side.open()
        images = golden_images([opened])
    except GateUndecided as error:
        return str(error)
    opened.runner.decide(images[:1])
    seconds = time.perf_counter() - began
    opened.runner.decide(images)
    return Start(seconds, _largest_memory())


def _timed(bundle: LoadedBundle, image: bytes) -> float:
    began = time.perf_counter()
    bundle.runner.decide([image])
    return time.perf_counter() - began


def _largest_memory() -> float:
    """MiB of this process at its largest. `ru_maxrss` counts that of the process it was started from too."""
    try:
        lines = _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration, ValueError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
