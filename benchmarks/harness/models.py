"""Bundles for the measurements: vision transformers with random weights, on which speed does not depend.

Images are answered as in production: the thresholds are set so that a stage answers a
fixed share of them. The figures of the certificates are invented, like the weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from bundle.draft import BundleDraft, GoldenCandidate, StageDraft
from bundle.engines.contract import DEFAULT_ENGINE, DEFAULT_PRECISION
from bundle.images.appearance import appearance
from bundle.images.decode import decode
from bundle.images.preprocess import PreprocessSpec
from bundle.policy import CertificateEntry
from bundle.reference import DriftReference
from bundle.writer import write_bundle
from calibration.certificate import Certificate
from calibration.decision import OperatingPoint, StageRule
from calibration.drift.comparison import LEAST_REFERENCE
from calibration.drift.signals import SignalRow, SignalSample
from harness.plain import PlainCascade, PlainStage

SPEC = PreprocessSpec(height=224, width=224)
ANSWERED_BY_A = 0.7
"""Share of the images that stage A of the two-stage bundle answers."""

_ARCHITECTURES: Mapping[str, Mapping[str, Any]] = {
    "tiny": {
        "hidden_size": 192,
        "num_hidden_layers": 12,
        "num_attention_heads": 3,
        "intermediate_size": 768,
    },
    "small": {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 96},
}
MODELS = {"tiny": ("tiny",), "small": ("small",), "two-stage": ("small", "tiny")}
"""Bundle -> architectures of its stages. `tiny` is ViT-tiny."""


def write_model_bundle(
    model: str,
    folder: Path,
    images: Sequence[bytes],
    cache: Path,
    name: str | None = None,
    *,
    referenced: bool = False,
) -> Path:
    """Write a certified bundle of one of MODELS into a new folder of its name below `folder`.

    `images`: the images of the measurement; `cache`: folder of the ONNX files. `name`: None for the
    model's. `referenced`: it carries what the images look like, so that the service watches drift.
    """
    name = name or model
    files = [_exported(architecture, cache) for architecture in MODELS[model]]
    plain = PlainCascade([PlainStage.open(file.read_bytes(), SPEC, threshold=0.0) for file in files])
    margins = np.array([plain.margins(image) for image in images])
    shares = (ANSWERED_BY_A, 1.0)[-len(files) :]
    thresholds = tuple(
        float(np.quantile(margins[:, stage], 1.0 - share)) for stage, share in enumerate(shares)
    )
    point = OperatingPoint(tuple(StageRule(score="margin", threshold=t) for t in thresholds))
    draft = BundleDraft(
        name=name,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        task="Serve as a load.",
        classes=("0", "1"),
        stages=tuple(StageDraft(models={DEFAULT_PRECISION: file}, preprocess=SPEC) for file in files),
        certificates=(_entry(point, thresholds),),
        golden_candidates=[GoldenCandidate(image, 0) for image in images],
    )
    if referenced:
        draft = replace(draft, reference=_reference(images))
    target = folder / name
    write_bundle(draft, target)
    return target


def _reference(images: Sequence[bytes]) -> bytes:
    """Signals of the images, often enough for a comparison."""
    looks = [SignalRow(appearance(image, decode(image)), {}, float("nan")) for image in images]
    rows = looks * (1 + LEAST_REFERENCE // len(looks))
    return DriftReference(SignalSample.of(rows), {}).to_bytes()


def _entry(point: OperatingPoint, thresholds: tuple[float, ...]) -> CertificateEntry:
    certificate = Certificate(
        feasible=True,
        meets_coverage=True,
        method="exact",
        kind="pac",
        population="image",
        alpha=0.01,
        delta=0.05,
        n=1000,
        answered=1000,
        errors=0,
        threshold=thresholds if len(thresholds) == 2 else thresholds[0],
        risk_upper_bound=0.003,
        coverage=1.0,
        coverage_lower_bound=0.99,
        engine=f"{DEFAULT_ENGINE}/{DEFAULT_PRECISION}",
    )
    return CertificateEntry(
        engine=DEFAULT_ENGINE, precision=DEFAULT_PRECISION, certificate=certificate, operating_point=point
    )


def _exported(architecture: str, cache: Path) -> Path:
    file = cache / f"{architecture}.onnx"
    if not file.exists():
        _export(architecture, file)
    return file


def _export(architecture: str, file: Path) -> None:
    import torch
    from transformers import ViTConfig, ViTForImageClassification

    from trainer.models.onnx_export import export_onnx

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            config = ViTConfig(**_ARCHITECTURES[architecture], num_labels=2)
            self.model = ViTForImageClassification(config)

        def forward(self, pixels: torch.Tensor) -> SimpleNamespace:
            return SimpleNamespace(logits=self.model(pixels).logits, gate=None)

    export_onnx(Logits(), SPEC.size, file)
