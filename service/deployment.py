"""A bundle as it serves: loaded, with what every response says about it worked out once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bundle.decode import DecodeLimits
from bundle.engine import DEFAULT_ENGINE, DEFAULT_PRECISION
from bundle.runner import CascadeRunner
from bundle.store import LoadedBundle, load_bundle
from calibration.decision import OperatingPoint
from service.settings import Settings


@dataclass(frozen=True, slots=True)
class Deployment:
    """One loaded bundle. A request takes the current one when it begins and keeps it to its end."""

    folder: Path
    name: str
    version: str
    classes: tuple[str, ...]
    engine: str
    """Engine and precision that compute here: `onnxruntime-cpu/fp32`."""
    runner: CascadeRunner
    batch_sizes: tuple[int, ...]
    """Images that each stage computes at a time, at most."""
    point: OperatingPoint
    guarantee: Mapping[str, Any] | None
    """What is promised of the answers; None where nothing is, and `guarantee_reason` says why."""
    guarantee_reason: str | None
    promise: str
    """The same in one plain sentence."""

    @property
    def label(self) -> str:
        """`name:version`, as metrics and windows know it."""
        return f"{self.name}:{self.version}"

    @classmethod
    def of(cls, loaded: LoadedBundle) -> Deployment:
        guarantee, reason = _guarantee(loaded)
        certificate = loaded.certificate
        return cls(
            folder=loaded.folder,
            name=loaded.manifest.name,
            version=loaded.manifest.version,
            classes=loaded.manifest.classes,
            engine=loaded.key,
            runner=loaded.runner,
            batch_sizes=(1,) * len(loaded.runner.stages),
            point=loaded.operating_point,
            guarantee=guarantee,
            guarantee_reason=reason,
            promise=certificate.sentence() if certificate is not None else f"No promise: {reason}.",
        )


def deployment_for(settings: Settings) -> Deployment:
    """Verify and open the settings' bundle and try its golden cases; the models are warm afterwards.

    Raises bundle.store.BundleError naming the file, or bundle.engine.EngineUnavailable.
    """
    # One thread a call: several calls at a time on one thread each do more than one call on several.
    loaded = load_bundle(
        settings.bundle,
        engine=settings.engine or DEFAULT_ENGINE,
        precision=settings.precision or DEFAULT_PRECISION,
        threads=1,
        limits=DecodeLimits(max_bytes=settings.max_image_bytes, max_pixels=settings.max_pixels),
    )
    return Deployment.of(loaded)


def _guarantee(loaded: LoadedBundle) -> tuple[dict[str, Any] | None, str | None]:
    certificate = loaded.certificate
    if certificate is None:
        certified = ", ".join(entry.key for entry in loaded.manifest.certificates) or "no engine"
        return None, f"not certified here: this is {loaded.key}, the certificates hold on {certified}"
    if not certificate.feasible:
        return None, f"no certificate: {certificate.needed or 'it was not feasible'}"
    return {
        "kind": certificate.kind,
        "method": certificate.method,
        "alpha": certificate.alpha,
        "delta": certificate.delta,
        "population": certificate.population,
    }, None
