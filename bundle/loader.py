"""A verified bundle, opened: models on an engine, the certified policy, golden cases tried."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bundle.decode import DEFAULT_LIMITS, DecodeLimits, ImageError
from bundle.engine import (
    DEFAULT_ENGINE,
    DEFAULT_PRECISION,
    EngineUnavailable,
    ModelUnfit,
    OnnxEngine,
    open_engine,
)
from bundle.golden import GoldenMismatch, check_golden
from bundle.manifest import MANIFEST_FILE, BundleManifest, BundleTampered, StageSpec
from bundle.onnx_scan import ModelRefused
from bundle.runner import CascadeRunner, CascadeStage
from bundle.verify import read_verified, verify_bundle
from calibration.certificate import Certificate
from calibration.decision import OperatingPoint


@dataclass(frozen=True, slots=True)
class LoadedBundle:
    """A verified bundle, its models open on one engine at one precision."""

    folder: Path
    manifest: BundleManifest
    engines: tuple[OnnxEngine, ...]
    """One a stage."""
    key: str
    """Engine and precision that were opened: `onnxruntime-cpu/fp32`."""
    certificate: Certificate | None
    """What was proven for this engine and precision; None: not certified here."""
    operating_point: OperatingPoint
    """The certified one; without a certificate one that abstains on everything."""
    runner: CascadeRunner

    @property
    def certified(self) -> bool:
        """Whether answers given here are covered by a certificate."""
        return self.certificate is not None and self.certificate.feasible


def load_bundle(
    folder: Path,
    *,
    engine: str = DEFAULT_ENGINE,
    precision: str = DEFAULT_PRECISION,
    threads: int = 1,
    limits: DecodeLimits = DEFAULT_LIMITS,
    runner_threads: int = 1,
) -> LoadedBundle:
    """Verify `folder`, open its models and try its golden cases.

    `threads` is for one call of the engine, `runner_threads` and `limits` are for `LoadedBundle.runner`.
    On an engine or precision that no certificate names the bundle loads and abstains on everything.
    Raises a BundleError naming the file, or EngineUnavailable.
    """
    manifest = verify_bundle(folder)
    engines = tuple(
        _open_stage(folder, manifest, stage, engine, precision, threads) for stage in manifest.stages
    )
    stages = [
        CascadeStage(stage.preprocess, opened, stage.macs)
        for stage, opened in zip(manifest.stages, engines, strict=True)
    ]
    key = f"{engine}/{precision}"
    entry = manifest.entry(key)
    point = entry.operating_point if entry is not None else manifest.abstaining_point()
    golden = {case.file: read_verified(folder, manifest, case.file) for case in manifest.golden}
    try:
        check_golden(manifest, golden, CascadeRunner(stages, point), key)
    except (ImageError, ModelUnfit) as fault:
        raise GoldenMismatch(MANIFEST_FILE, f"a golden case cannot be computed: {fault}") from fault
    return LoadedBundle(
        folder=folder,
        manifest=manifest,
        engines=engines,
        key=key,
        certificate=None if entry is None else entry.certificate,
        operating_point=point,
        runner=CascadeRunner(stages, point, limits=limits, threads=runner_threads),
    )


def _open_stage(
    folder: Path, manifest: BundleManifest, stage: StageSpec, engine: str, precision: str, threads: int
) -> OnnxEngine:
    file = stage.file_for(precision)
    if file is None:
        raise EngineUnavailable(
            f"stage {stage.name} of bundle {manifest.name} has no model at {precision}; "
            f"it has {', '.join(sorted(stage.models))}"
        )
    try:
        opened = open_engine(
            read_verified(folder, manifest, file),
            image_size=stage.preprocess.size,
            output=stage.output,
            engine=engine,
            precision=precision,
            threads=threads,
        )
    except (ModelUnfit, ModelRefused) as fault:
        raise BundleTampered(file, str(fault)) from fault
    if opened.classes != len(manifest.classes) or opened.has_gate != stage.has_gate:
        raise BundleTampered(
            file,
            f"the model has {opened.classes} classes and {'a' if opened.has_gate else 'no'} gate; "
            f"the manifest says {len(manifest.classes)} and {'a' if stage.has_gate else 'no'} gate",
        )
    return opened
