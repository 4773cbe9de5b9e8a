"""Options of the generator and its results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

CLASS_NAMES = ("no roadwork", "roadwork")
"""Index = label."""


class SceneOptions(BaseModel):
    """Which scenes to render. Equal options give equal bytes on the same versions of NumPy and Pillow."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sequences: int = Field(default=1_000, ge=1, description="independent scenes; each is one group")
    frames: int = Field(default=1, ge=1, le=32, description="near-identical images per sequence")
    seed: int = Field(default=0, ge=0, lt=2**63, description="seed of the scenes")
    difficulty: float = Field(
        default=0.5,
        ge=0.0,
        le=1.0,
        description="0: large, near, clear roadwork and few look-alikes; 1: small, far, hidden, bad weather",
    )
    size: int = Field(default=224, ge=64, le=512, description="width and height, pixels")
    roadwork_share: float = Field(
        default=0.5, ge=0.0, le=1.0, description="probability that a sequence shows roadwork"
    )


@dataclass(frozen=True, slots=True)
class Frame:
    """One rendered image with its label and metadata."""

    jpeg: bytes
    label: int
    """1 = roadwork, 0 = none; an index into `CLASS_NAMES`"""
    group: str
    """Names the sequence; frames of one group are near copies of each other"""
    frame: int
    """Position in the sequence, 0 first"""
    metadata: Mapping[str, str | int | float]
    """Metadata that a camera could record: time, weather, heading, place. Independent of the label."""
    objects: tuple[str, ...]
    """Names of the objects visible in this frame, sorted, one entry per object. They give the label away:
    truth for evaluation, never an input."""
