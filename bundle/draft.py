"""What a trainer hands over to have a bundle written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from bundle.choices import OutputKind
from bundle.engines.contract import DEFAULT_PRECISION
from bundle.images.preprocess import PreprocessSpec
from bundle.manifest import Provenance
from bundle.policy import CertificateEntry

FileSource = Path | bytes
"""A file to copy, or its content."""


@dataclass(frozen=True, slots=True)
class GoldenCandidate:
    """An encoded image that may become a golden case."""

    data: bytes
    label: int | None = None


@dataclass(frozen=True, slots=True)
class StageDraft:
    """A stage's models and what the manifest says about them."""

    models: Mapping[str, FileSource]
    """Precision -> ONNX model; `fp32` is always needed, and bf16 has none of its own."""
    preprocess: PreprocessSpec
    output: OutputKind = "logits"
    macs: float = 0.0
    """Multiply-accumulates an image."""
    parameters: int = 0

    def __post_init__(self) -> None:
        if DEFAULT_PRECISION not in self.models:
            raise ValueError(f"models has {sorted(self.models)}; {DEFAULT_PRECISION!r} must be among them")


@dataclass(frozen=True, slots=True)
class BundleDraft:
    """A bundle before it is written; digests, golden cases and cards are made by `write_bundle`."""

    name: str
    """Lower-case letters, digits, `.`, `_`, `-`."""
    created_at: datetime
    """With a time zone."""
    task: str
    """What is being told apart, in one sentence."""
    classes: tuple[str, ...]
    stages: tuple[StageDraft, ...]
    """A, or A and B."""
    certificates: tuple[CertificateEntry, ...]
    """One an engine and precision; the first decides which golden cases are chosen. May be empty:
    the bundle then abstains on everything."""
    golden_candidates: Sequence[GoldenCandidate] = ()
    """Images of which a few become golden cases; fifty to two hundred of every kind are plenty."""
    provenance: Provenance = field(default_factory=Provenance)
    evaluation: Mapping[str, float] = field(default_factory=dict)
    """Figures of the report on val_test; `stage_a_share` among them."""
    extra: Mapping[str, FileSource] = field(default_factory=dict)
    """Further files by their path in the bundle: `adapter/...`, `metrics/...`."""
