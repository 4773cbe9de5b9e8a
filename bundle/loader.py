"""Loading of a bundle: verification, models on an engine, the certified policy, golden cases."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from bundle.choices import DEFAULT_TIME_LIMIT
from bundle.engines.contract import (
    DEFAULT_KEY,
    EngineKey,
    EngineUnavailable,
    ModelTimeout,
    ModelUnfit,
)
from bundle.engines.model import OnnxModel, open_model
from bundle.engines.onnx_scan import ModelRefused
from bundle.golden import GoldenMismatch, check_golden
from bundle.images.decode import DEFAULT_LIMITS, DecodeLimits
from bundle.images.errors import ImageError
from bundle.manifest import MANIFEST_FILE, BundleManifest, BundleTampered, StageSpec
from bundle.policy import CertificateEntry
from bundle.reference import read_reference
from bundle.runner import CascadeRunner, CascadeStage
from bundle.signing.policy import SignaturePolicy, SignatureStatus
from bundle.verify import read_verified, verify_signed
from calibration.certificate import Certificate
from calibration.decision import OperatingPoint
from calibration.drift.signals import SignalSample
from calibration.sequential.audits import AuditCurve


@dataclass(frozen=True, slots=True)
class LoadedBundle:
    """A verified bundle with its models open on one engine at one precision."""

    folder: Path
    manifest: BundleManifest
    models: tuple[OnnxModel, ...]
    """One per stage."""
    key: str
    """The engine and precision in use: `onnxruntime-cpu/fp32`."""
    certificate: Certificate | None
    """The certificate for this engine and precision; None: not certified here."""
    issued_here: bool
    """Whether the certificate was computed on this machine and is not part of the bundle."""
    operating_point: OperatingPoint
    """The certified operating point; without a certificate, one that abstains on every image."""
    runner: CascadeRunner
    audits: tuple[AuditCurve, ...] = ()
    """The audit curve of each stage on this engine; empty: answers are audited uniformly."""
    reference: SignalSample | None = None
    """The drift signals of val_select on this engine; None: drift is off."""
    signature: SignatureStatus | None = None
    """What its signature is worth; None: signatures are not checked."""

    @property
    def certified(self) -> bool:
        """Whether a certificate covers the answers that are given here."""
        return self.certificate is not None and self.certificate.feasible


def load_bundle(
    folder: Path,
    *,
    key: EngineKey = DEFAULT_KEY,
    threads: int = 1,
    calls: int = 1,
    limits: DecodeLimits = DEFAULT_LIMITS,
    runner_threads: int = 1,
    issued_here: CertificateEntry | None = None,
    time_limit: float = DEFAULT_TIME_LIMIT,
    trust: SignaturePolicy | None = None,
) -> LoadedBundle:
    """Verify `folder`, open its models and compute its golden cases.

    `threads` and `calls` are those of `open_model`; `runner_threads` and `limits` are for
    `LoadedBundle.runner`. If neither a certificate of the bundle nor `issued_here` names the engine and
    precision, the bundle loads and abstains on every image. `time_limit`: seconds for opening the models,
    and again for the golden cases; a model that takes longer is refused. `trust`: the policy of
    signatures, None to check none. Raises a BundleError naming the
    file, or EngineUnavailable.
    """
    verified = verify_signed(folder, trust=trust)
    manifest = verified.manifest
    models = open_stages(folder, manifest, key, threads=threads, calls=calls, time_limit=time_limit)
    stages = [
        CascadeStage(stage.preprocess, opened, stage.macs)
        for stage, opened in zip(manifest.stages, models, strict=True)
    ]
    own = manifest.entry(str(key))
    local = issued_here if own is None and issued_here is not None and issued_here.key == str(key) else None
    entry = own or local
    point = entry.operating_point if entry is not None else manifest.abstaining_point()
    golden = {case.file: read_verified(folder, manifest, case.file) for case in manifest.golden}
    deadline = monotonic() + time_limit
    try:
        with ExitStack() as limits_of_models:
            for model in models:
                limits_of_models.enter_context(model.ending_by(deadline))
            check_golden(manifest, golden, CascadeRunner(stages, point), str(key))
    except ModelTimeout as error:
        raise GoldenMismatch(
            MANIFEST_FILE, f"the golden cases are not computed within {time_limit:g} s: {error}"
        ) from error
    except (ImageError, ModelUnfit) as error:
        raise GoldenMismatch(MANIFEST_FILE, f"a golden case cannot be computed: {error}") from error
    return LoadedBundle(
        folder=folder,
        manifest=manifest,
        models=models,
        key=str(key),
        certificate=None if entry is None else entry.certificate,
        issued_here=local is not None,
        operating_point=point,
        runner=CascadeRunner(stages, point, limits=limits, threads=runner_threads),
        audits=manifest.audits.get(str(key), ()),
        reference=_reference(folder, manifest, str(key)),
        signature=verified.signature,
    )


def _reference(folder: Path, manifest: BundleManifest, key: str) -> SignalSample | None:
    if manifest.reference is None:
        return None
    return read_reference(read_verified(folder, manifest, manifest.reference)).on(key)


def open_stages(
    folder: Path,
    manifest: BundleManifest,
    key: EngineKey,
    *,
    threads: int = 1,
    calls: int = 1,
    time_limit: float = DEFAULT_TIME_LIMIT,
) -> tuple[OnnxModel, ...]:
    """The models of a bundle on one engine at one precision; their bytes are checked as they are read.

    Raises BundleTampered for a model that does not fit the manifest, and EngineUnavailable.
    """
    return tuple(
        _open_stage(folder, manifest, stage, key, threads, calls, time_limit) for stage in manifest.stages
    )


def _open_stage(
    folder: Path,
    manifest: BundleManifest,
    stage: StageSpec,
    key: EngineKey,
    threads: int,
    calls: int,
    time_limit: float,
) -> OnnxModel:
    file = stage.file_for(key.precision)
    if file is None:
        raise EngineUnavailable(
            f"stage {stage.name} of bundle {manifest.name} has no model at {key.precision}; "
            f"it has {', '.join(sorted(stage.models))}"
        )
    try:
        opened = open_model(
            read_verified(folder, manifest, file),
            image_size=stage.preprocess.size,
            output=stage.output,
            engine=key.engine,
            precision=key.precision,
            threads=threads,
            calls=calls,
            time_limit=time_limit,
        )
    except (ModelUnfit, ModelRefused) as error:
        raise BundleTampered(file, str(error)) from error
    if opened.classes != len(manifest.classes) or opened.has_gate != stage.has_gate:
        raise BundleTampered(
            file,
            f"the model has {opened.classes} classes and {'a' if opened.has_gate else 'no'} gate; "
            f"the manifest says {len(manifest.classes)} and {'a' if stage.has_gate else 'no'} gate",
        )
    return opened
