"""`demur bundle`: one run certified on several engines and precisions, which share its delta.

Each of them has its own scores, from the encoded bytes to the logits, and its own certificate at
delta / m, so that all m certificates hold together with confidence 1 - delta (Bonferroni). If the bundle
carries its calibration images, one more share is reserved for an engine of another machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bundle.draft import FileSource
from bundle.engines.contract import DEFAULT_KEY, EngineKey
from bundle.engines.installed import require_key
from bundle.manifest import BundleManifest
from trainer.bundling.calibration_images import calibration_files
from trainer.bundling.engine_scores import (
    LEAST_AGREEMENT,
    EngineScores,
    PreparedRun,
    RunImages,
    own_scores,
    score_engines,
)
from trainer.bundling.fastest import faster_keys
from trainer.bundling.finish import report_on
from trainer.bundling.pack import FurtherEngine, lost_signature, pack_bundle
from trainer.bundling.quantise import write_quantised
from trainer.bundling.sbom import bill_of_materials
from trainer.certify.account import read_ledger, spends_delta
from trainer.certify.certification import as_charged, prove, write_policy
from trainer.certify.delta import require_room, spend
from trainer.certify.evidence import Evidence, Policy
from trainer.certify.policy_outcome import apply_policy
from trainer.data.config import DataOverrides
from trainer.data.reopening import reopen
from trainer.errors import RunError
from trainer.reports.summary import idle_stage_note
from trainer.run.console import RunConsole
from trainer.run.folder import RunFolder
from trainer.run.lock import locked
from trainer.run.promise import PromiseConfig
from trainer.run.record import RunRecord, read_record, write_record
from trainer.scoring.agreement import Agreement, agreement
from trainer.scoring.split_scores import SplitScores


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """Which certificates a bundle gets; the run's own engine and precision are always among them."""

    keys: tuple[EngineKey, ...]
    data: DataOverrides = field(default_factory=DataOverrides)
    """Where the images are, if the run's record does not say it or if they have moved"""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `PromiseConfig` to replace"""
    least_agreement: float = LEAST_AGREEMENT
    reissue: bool = False
    """Withdraw the certificates that have spent the delta of this calibration split"""
    fastest: bool = False
    """Instead of `keys`: the fastest on this machine that agrees with full precision"""
    carry_calibration: bool = False
    """The bundle carries the images of val_calib, so that a machine with another engine can certify it"""
    sbom: bool = False
    """The bundle lists the packages that made it, in CycloneDX"""

    @property
    def further(self) -> tuple[EngineKey, ...]:
        """The keys beside the run's own, each once"""
        return tuple(key for key in dict.fromkeys(self.keys) if key != DEFAULT_KEY)

    @property
    def planned_shares(self) -> int:
        """Shares of delta, if every further engine agrees and a faster one is found"""
        return 1 + (1 if self.fastest else len(self.further)) + self.carry_calibration


@dataclass(frozen=True, slots=True)
class CertifiedEngine:
    """One engine and precision with its certificate."""

    key: EngineKey
    policy: Policy
    on_test: Agreement | None
    """Agreement with full precision on val_test; None for the run's own, and if val_test is empty"""
    remarks: tuple[str, ...] = ()
    """What a user must know beside the certificate, in plain words"""


@dataclass(frozen=True, slots=True)
class CertifiedEngines:
    """The certificates of one bundle."""

    engines: tuple[CertifiedEngine, ...]
    """The run's own engine and precision first"""
    left_out: tuple[Agreement, ...]
    """Engines whose labels differ too often; no delta was spent on them"""
    coverage_alone: float | None
    """Coverage that the first engine would be certified at with the whole delta; None if it has the whole"""
    manifest: BundleManifest
    shares: int
    """Number of shares of delta: one per engine, plus one if the bundle carries its calibration images"""
    notes: tuple[str, ...] = ()
    """What a user must know about the bundle, in plain words"""

    @property
    def price(self) -> float | None:
        """Coverage that the first engine loses because delta is shared."""
        if self.coverage_alone is None:
            return None
        return self.coverage_alone - self.engines[0].policy.certificate.coverage


@dataclass(frozen=True, slots=True)
class _Charged:
    """Evidence at its share of delta, which is entered in the ledger."""

    record: RunRecord
    evidence: Mapping[EngineKey, Evidence]
    shares: int
    carried: Mapping[str, FileSource]
    """Files of the bundle that carry the calibration images, and the bill of materials, by path"""
    shared: bool
    """Whether a certificate gets less than the whole delta"""


def certify_engines(run: RunFolder, request: EngineRequest, console: RunConsole) -> CertifiedEngines:
    """Score, certify and pack a finished run on the engines of `request`.

    Raises `NeedsReissue` if an earlier certificate has spent the delta, `EngineUnavailable`,
    `SourceChanged` and `NotQuantised`.
    """
    run.need(run.record, "demur train")
    with locked(run.root), console.logged_to(run.log):
        prepared = _prepare(run, request, console)
        keys = faster_keys(run, prepared.record, console) if request.fastest else request.further
        prepared = replace(prepared, record=write_quantised(run, prepared.record, keys, console))
        scored, left_out = score_engines(
            prepared, keys, request.least_agreement, console, first_only=request.fastest
        )
        console.heading(f"Certificates: {len(scored)}, on val_calib")
        charged = _charge(prepared, scored, request)
        policies = _prove(charged, console)
        alone = prove(scored[0].evidence).certificate.coverage if charged.shared else None
        engines = tuple(_keep(prepared, one, policies[one.key], scored[0]) for one in scored)
        notes = lost_signature(run)
        manifest = _pack(run, charged, scored, engines)
        return CertifiedEngines(engines, left_out, alone, manifest, charged.shares, notes)


def _prepare(run: RunFolder, request: EngineRequest, console: RunConsole) -> PreparedRun:
    """Check what the request asks for, before anything is scored; open the images if a step needs them."""
    record = read_record(run)
    promise = record.promise.changed(request.changes)
    if promise.certificate == "none":
        raise RunError("the run was trained without a certificate; say which one with --certificate exact")
    for key in request.keys:
        require_key(key)
    scores = own_scores(run)
    shares = request.planned_shares
    if spends_delta(promise) and shares > 1 and not request.reissue:
        require_room(run, scores["val_calib"].digest, promise.delta, shares)
    images = None
    if request.further or request.fastest or request.carry_calibration:
        console.heading("The images of the run")
        images = RunImages(*reopen(run, record, request.data, console))
    return PreparedRun(run, record, promise, scores, images)


def _charge(prepared: PreparedRun, scored: Sequence[EngineScores], request: EngineRequest) -> _Charged:
    """Divide delta, enter it in the ledger, and record what is promised now."""
    promise = prepared.promise
    shares = len(scored) + request.carry_calibration
    shared = spends_delta(promise) and shares > 1
    evidence = _as_charged(
        prepared,
        {one.key: _at_share(one.evidence, shares) if shared else one.evidence for one in scored},
    )
    carried: Mapping[str, FileSource] = {}
    if request.carry_calibration and prepared.images is not None:
        # A promise that images cannot carry is refused before it costs anything.
        images = prepared.images
        carried = calibration_files(images.source, images.splits, _by_precision(evidence))
    if request.sbom:
        carried = {**carried, **bill_of_materials(prepared.record, prepared.run)}
    notice = spend(
        prepared.run,
        list(evidence.values()),
        promise.delta,
        reissue=request.reissue,
        reserve=request.carry_calibration,
    )
    record = _with_promise(prepared.record, promise)
    # A withdrawal stays with the run, whatever is proven later; a reserve is of this bundle alone.
    record = record if notice is None else _with_notice(record, notice)
    write_record(record, prepared.run)
    if request.carry_calibration:
        record = _with_notice(
            record,
            f"Delta {evidence[DEFAULT_KEY].promise.delta:g} is kept for one certificate on an engine that is "
            "not here, issued where it serves",
        )
    return _Charged(record, evidence, shares, carried, shared)


def _as_charged(prepared: PreparedRun, evidence: Mapping[EngineKey, Evidence]) -> dict[EngineKey, Evidence]:
    """The evidence with its paths, those of certificates that are charged already where they are the same."""
    ledger = read_ledger(prepared.run, prepared.promise.delta)
    return {key: as_charged(one, _folder(prepared.run, key), ledger) for key, one in evidence.items()}


def _prove(charged: _Charged, console: RunConsole) -> dict[EngineKey, Policy]:
    policies = {}
    with console.bar("Certifying", len(charged.evidence), "certificates") as bar:
        for key, evidence in charged.evidence.items():
            policies[key] = prove(evidence)
            bar.advance(1)
    return policies


def _keep(prepared: PreparedRun, scored: EngineScores, policy: Policy, own: EngineScores) -> CertifiedEngine:
    """Write the policy of one engine to its folder."""
    is_own = scored.key == own.key
    write_policy(policy, _folder(prepared.run, scored.key))
    compared = None if is_own or len(scored.test) == 0 else agreement(scored.test, own.test)
    return CertifiedEngine(scored.key, policy, compared, idle_stage_note(prepared.record, policy))


def _folder(run: RunFolder, key: EngineKey) -> RunFolder:
    """Where the policy on one engine and precision is kept."""
    return run if key == DEFAULT_KEY else run.on_engine(str(key))


def _pack(
    run: RunFolder,
    charged: _Charged,
    scored: Sequence[EngineScores],
    engines: Sequence[CertifiedEngine],
) -> BundleManifest:
    own, *others = zip(engines, scored, strict=True)
    policy = own[0].policy
    report = report_on(own[1].test, policy, charged.record, run)
    further = [FurtherEngine(one.key, one.policy, _figures(one, of.test)) for one, of in others]
    return pack_bundle(charged.record, policy, report, run, further, charged.carried)


def _with_promise(record: RunRecord, promise: PromiseConfig) -> RunRecord:
    return record.model_copy(update={"promise": promise})


def _with_notice(record: RunRecord, notice: str) -> RunRecord:
    provenance = record.provenance.model_copy(update={"notices": (*record.provenance.notices, notice)})
    return record.model_copy(update={"provenance": provenance})


def _by_precision(evidence: Mapping[EngineKey, Evidence]) -> dict[str, Evidence]:
    """The evidence of the first engine at each precision."""
    found: dict[str, Evidence] = {}
    for key, one in evidence.items():
        found.setdefault(key.precision, one)
    return found


def _at_share(evidence: Evidence, shares: int) -> Evidence:
    promise = evidence.promise.changed({"delta": evidence.promise.delta / shares})
    return replace(evidence, promise=promise)


def _figures(engine: CertifiedEngine, test: SplitScores) -> dict[str, float]:
    """Figures on val_test that the bundle states of a further engine."""
    if engine.on_test is None:
        return {}
    outcome = apply_policy(test, engine.policy.point)
    answered = int(outcome.answered.sum())
    by_a = int((outcome.answered & (outcome.by_stage == 0)).sum())
    return {
        "agreement": engine.on_test.labels,
        "forced_mcc": engine.on_test.mcc,
        "coverage": answered / len(test),
        **({"stage_a_share": by_a / answered} if answered else {}),
    }
