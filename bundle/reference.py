"""Reference of the drift signals, `reference.json`: images of val_select, with which production is compared.

Plain columns of numbers, read with NumPy alone. What an image looks like is the same on every engine; margins
and decisions are kept for each engine and precision with a certificate.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from bundle.manifest import REFERENCE_FILE, BundleTampered
from calibration.drift.signals import SignalSample

MAX_IMAGES: Final = 1000
"""Images of a reference, each of another group"""


@dataclass(frozen=True, slots=True)
class DriftReference:
    """The signals of m images of val_select."""

    images: SignalSample
    """What the images look like, and the embedding of the last stage where the model has one"""
    outputs: Mapping[str, SignalSample]
    """Engine and precision -> margins, gates and decisions, in the same order"""

    def __post_init__(self) -> None:
        for key, sample in self.outputs.items():
            if len(sample) != len(self.images):
                raise ValueError(f"{key} has {len(sample)} images; the reference has {len(self.images)}")

    def on(self, key: str) -> SignalSample:
        """All signals on one engine and precision; only those of the images for one that has no others."""
        outputs = self.outputs.get(key)
        if outputs is None:
            return self.images
        return replace(
            outputs, numbers={**self.images.numbers, **outputs.numbers}, embedding=self.images.embedding
        )

    def to_bytes(self) -> bytes:
        """The content of `reference.json`."""
        values = {
            "images": self.images.to_values(),
            "outputs": {key: sample.to_values() for key, sample in self.outputs.items()},
        }
        return json.dumps(values, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def read_reference(content: bytes) -> DriftReference:
    """The inverse of `DriftReference.to_bytes`. Raises BundleTampered for anything else."""
    try:
        values: Any = json.loads(content)
        reference = DriftReference(
            SignalSample.from_values(values["images"]),
            {str(key): SignalSample.from_values(sample) for key, sample in values["outputs"].items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise BundleTampered(REFERENCE_FILE, f"is no reference of drift signals: {error!r}") from error
    if len(reference.images) > MAX_IMAGES:
        raise BundleTampered(
            REFERENCE_FILE, f"has {len(reference.images)} images; at most {MAX_IMAGES} are read"
        )
    return reference
