"""Images that a profile measures with, and the time that reading them takes."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import Final

import numpy as np

from bundle.images.errors import ImageError
from bundle.loader import LoadedBundle
from demur.profile.processes import ProfileFailed
from trainer.data.images import ImageSource

MOST_IMAGES: Final = 512


@dataclass(frozen=True, slots=True)
class ProfileImages:
    """Encoded images, and the milliseconds of reading each."""

    name: str
    encoded: list[bytes]
    read_ms: list[float]


def golden_images(loaded: LoadedBundle) -> ProfileImages:
    """The golden cases of the bundle."""
    encoded, read_ms = [], []
    for case in loaded.manifest.golden:
        mark = perf_counter()
        encoded.append((loaded.folder / case.file).read_bytes())
        read_ms.append(1e3 * (perf_counter() - mark))
    return ProfileImages("the bundle's golden cases", encoded, read_ms)


def source_images(source: ImageSource, loaded: LoadedBundle) -> ProfileImages:
    """Evenly spaced images of the source, at most MOST_IMAGES, without those that the service refuses.

    Raises ProfileFailed if none is left.
    """
    encoded, read_ms = [], []
    for row in np.unique(np.linspace(0, len(source) - 1, min(len(source), MOST_IMAGES)).astype(np.int64)):
        mark = perf_counter()
        image = source.read(int(row))
        spent = 1e3 * (perf_counter() - mark)
        try:
            loaded.runner.pixels(image)
        except ImageError:
            continue
        encoded.append(image)
        read_ms.append(spent)
    if not encoded:
        raise ProfileFailed(f"{source.name} has no image that can be decoded")
    return ProfileImages(source.name, encoded, read_ms)
