"""Deployment: a loaded bundle, with the parts of every response that depend on it alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import structlog

from bundle.engines.installed import installation_problems, runtime_version
from bundle.images.decode import DecodeLimits
from bundle.loader import LoadedBundle, load_bundle
from bundle.runner import CascadeRunner
from bundle.selection.choice import EngineChoice, choose_engine
from bundle.selection.issued import IssuedCertificates
from bundle.selection.timing import require_batch_invariance
from bundle.selection.timing_cache import TimingCache
from bundle.signing.policy import SignatureStatus
from bundle.system.machine import this_machine
from calibration.decision import STAGE_NAMES, OperatingPoint, StageName
from calibration.drift.signals import SignalSample
from calibration.sequential.audits import AuditCurve
from monitoring.promise.terms import PromiseTerms
from service.settings import Settings

logger = structlog.get_logger("demur.deployment")


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """Engine of a bundle on this machine, as obtained rather than as requested."""

    engine: str
    precision: str
    runtime: str
    """Name and version"""
    providers: tuple[str, ...]
    """Execution providers, read back from the opened models"""
    processor: str
    why: str
    """Why this engine and precision were chosen"""
    problems: tuple[str, ...]
    """Faults of the installed runtimes"""


@dataclass(frozen=True, slots=True)
class Deployment:
    """One loaded bundle. A request takes the current one when it begins and keeps it to its end."""

    folder: Path
    name: str
    version: str
    classes: tuple[str, ...]
    earns_reward: bool
    """Whether it was trained for the roadwork task, whose reward the windows then show"""
    engine: str
    """Engine and precision on this machine: `onnxruntime-cpu/fp32`."""
    facts: EngineFacts
    runner: CascadeRunner
    batch_sizes: tuple[int, ...]
    """Maximum number of images per batch, by stage"""
    point: OperatingPoint
    guarantee: Mapping[str, Any] | None
    """The promise on the answers; None without one, and `guarantee_reason` says why."""
    guarantee_reason: str | None
    promise: str
    """The promise in one plain sentence: claim and evidence."""
    claim: str
    """What is promised, or that nothing is; without a full stop"""
    evidence: str
    """The counts behind the claim, or the reason why nothing is promised"""
    audits: tuple[AuditCurve, ...] = ()
    """The audit curve of each stage; empty: answers are audited uniformly"""
    reference: SignalSample | None = None
    """The drift signals of val_select; None: drift is off"""
    terms: PromiseTerms = field(default_factory=lambda: PromiseTerms("", "not certified here"))
    """What the monitors of the promise watch"""
    signature: SignatureStatus | None = None
    """What the bundle's signature is worth; None: signatures are not checked"""

    def audit_weight(self, stage: StageName, confidence: float) -> float:
        """q, by which the share of audits is multiplied for an answer of `stage` at this confidence."""
        return self.audits[STAGE_NAMES.index(stage)].weight(confidence) if self.audits else 1.0

    @property
    def label(self) -> str:
        """`name:version`, as in metrics and windows."""
        return f"{self.name}:{self.version}"

    def engine_report(self) -> dict[str, Any]:
        """Engine, batch sizes and the reason of the choice, for /health."""
        sizes = dict(zip(STAGE_NAMES, self.batch_sizes, strict=False))
        return {**asdict(self.facts), "batch_sizes": sizes}

    def signature_report(self) -> dict[str, Any] | None:
        """What the signature is worth, for /health; None if signatures are not checked."""
        return None if self.signature is None else self.signature.to_dict()

    @classmethod
    def of(cls, loaded: LoadedBundle, choice: EngineChoice) -> Deployment:
        guarantee, reason = _guarantee(loaded, choice)
        certificate = loaded.certificate
        issued_here = _issued_here(loaded)
        claim = "No promise" if certificate is None else certificate.claim()
        evidence = f"{reason}." if certificate is None else certificate.evidence() + issued_here
        promise = f"{claim}: {evidence}" if certificate is None else certificate.sentence() + issued_here
        return cls(
            folder=loaded.folder,
            name=loaded.manifest.name,
            version=loaded.manifest.version,
            classes=loaded.manifest.classes,
            earns_reward=loaded.manifest.named_task == "roadwork",
            engine=loaded.key,
            facts=_facts(loaded, choice),
            runner=loaded.runner,
            batch_sizes=choice.batch_sizes,
            point=loaded.operating_point,
            guarantee=guarantee,
            guarantee_reason=reason,
            promise=promise,
            claim=claim,
            evidence=evidence,
            audits=loaded.audits,
            reference=loaded.reference,
            terms=PromiseTerms.of(
                f"{loaded.manifest.name}:{loaded.manifest.version}",
                certificate,
                reason,
                least_weight=min((min(curve.weights) for curve in loaded.audits), default=1.0),
            ),
            signature=loaded.signature,
        )


def deployment_for(settings: Settings) -> Deployment:
    """Choose the engine, verify and load the settings' bundle and try its golden cases.

    The models are warm afterwards. Raises bundle.manifest.BundleError naming the file, or
    bundle.engines.contract.EngineUnavailable.
    """
    timings = TimingCache(settings.data_dir, say=_say)
    issued = IssuedCertificates(settings.data_dir)
    trust = settings.trust()
    choice = choose_engine(
        settings.bundle, settings.engine_preference(), timings, issued, say=_say, trust=trust
    )
    # One thread per call: several concurrent calls on one thread each outperform one call on several.
    loaded = load_bundle(
        settings.bundle,
        key=choice.key,
        threads=1,
        calls=settings.cores_per_worker(),
        limits=DecodeLimits(max_bytes=settings.max_image_bytes, max_pixels=settings.max_pixels),
        issued_here=choice.issued_here,
        trust=trust,
    )
    _warn_of_signature(loaded)
    if settings.batch is not None and settings.batch > 1:
        require_batch_invariance(loaded.folder, loaded.manifest, loaded.models, settings.batch)
    deployment = Deployment.of(loaded, choice)
    for problem in deployment.facts.problems:
        logger.warning("engine_installation", problem=problem)
    return deployment


def _warn_of_signature(loaded: LoadedBundle) -> None:
    signature = loaded.signature
    if signature is not None and signature.state != "trusted":
        logger.warning(
            "bundle_signature",
            bundle=loaded.manifest.name,
            version=loaded.manifest.version,
            state=signature.state,
            why=signature.why,
            note="it serves nevertheless, because DEMUR_SIGNATURES is warn; require refuses such a bundle",
        )


def _say(text: str) -> None:
    logger.info("engine_choice", note=text)


def _facts(loaded: LoadedBundle, choice: EngineChoice) -> EngineFacts:
    obtained = dict.fromkeys(provider for model in loaded.models for provider in model.providers)
    return EngineFacts(
        engine=choice.key.engine,
        precision=choice.key.precision,
        runtime=runtime_version(choice.key.engine),
        providers=tuple(obtained),
        processor=this_machine().processor,
        why=choice.why,
        problems=installation_problems(),
    )


def _issued_here(loaded: LoadedBundle) -> str:
    """What a certificate adds to its evidence if this machine has issued it."""
    if not loaded.issued_here:
        return ""
    return (
        f" This certificate was issued here, on {loaded.key}, from the calibration images that the bundle "
        "carries, with the part of its delta that was kept for one such certificate."
    )


def _guarantee(loaded: LoadedBundle, choice: EngineChoice) -> tuple[dict[str, Any] | None, str | None]:
    certificate = loaded.certificate
    if certificate is None:
        certified = ", ".join(entry.key for entry in loaded.manifest.certificates) or "no engine"
        reason = f"not certified here: this is {loaded.key}, the certificates hold on {certified}"
        return None, reason if choice.not_issued is None else f"{reason}, and {choice.not_issued}"
    if not certificate.feasible:
        return None, f"no certificate: {certificate.needed or 'it was not feasible'}"
    return {
        "kind": certificate.kind,
        "method": certificate.method,
        "alpha": certificate.alpha,
        "delta": certificate.delta,
        "population": certificate.population,
        **certificate.prevalence_values(),
        **({} if certificate.doubt is None else {"doubt": certificate.doubt}),
        **({"issued": "here, not by the bundle"} if loaded.issued_here else {}),
    }, None
