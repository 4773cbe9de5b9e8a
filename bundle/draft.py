"""The draft of a bundle: everything that the trainer passes to `bundle.writer.write_bundle`."""

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
from calibration.sequential.audits import AuditCurve

FileSource = Path | bytes
"""The path of a file to copy, or its content."""


@dataclass(frozen=True, slots=True)
class GoldenCandidate:
    """An encoded image that may become a golden case."""

    data: bytes
    label: int | None = None


@dataclass(frozen=True, slots=True)
class StageDraft:
    """The models of a stage and their description in the manifest."""

    models: Mapping[str, FileSource]
    """Precision -> ONNX model; `fp32` is required, and bf16 has no model of its own."""
    preprocess: PreprocessSpec
    output: OutputKind = "logits"
    macs: float = 0.0
    """Multiply-accumulates per image."""
    parameters: int = 0

    def __post_init__(self) -> None:
        if DEFAULT_PRECISION not in self.models:
            raise ValueError(f"models has {sorted(self.models)}; {DEFAULT_PRECISION!r} must be among them")


@dataclass(frozen=True, slots=True)
class BundleDraft:
    """A bundle before it is written; `write_bundle` adds digests, golden cases and the model card."""

    name: str
    """Lower-case letters, digits, `.`, `_`, `-`."""
    created_at: datetime
    """With a time zone."""
    task: str
    """The task of the classifier, in one sentence."""
    classes: tuple[str, ...]
    stages: tuple[StageDraft, ...]
    """A, or A and B."""
    certificates: tuple[CertificateEntry, ...]
    """One per engine and precision; the golden cases are chosen by the decisions of the first. May be
    empty: the bundle then abstains on every image."""
    golden_candidates: Sequence[GoldenCandidate] = ()
    """Images of which a few become golden cases; 50 to 200 of every kind are enough."""
    provenance: Provenance = field(default_factory=Provenance)
    evaluation: Mapping[str, float] = field(default_factory=dict)
    """Figures of the report on val_test, including `stage_a_share`."""
    audits: Mapping[str, tuple[AuditCurve, ...]] = field(default_factory=dict)
    """Engine and precision -> the audit curve of each stage."""
    reference: bytes | None = None
    """The drift signals of val_select, see `bundle.reference`; None: drift is off."""
    extra: Mapping[str, FileSource] = field(default_factory=dict)
    """Further files by their path in the bundle: `adapter/...`, `metrics/...`."""
