"""A certified policy from scores: planned on val_select, proven on val_calib, entered in the ledger.

Only `prove` reads labels of val_calib.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from calibration.bounds import fewest_answered
from calibration.certificate import Certificate
from calibration.decision import OperatingPoint, StageRule
from calibration.encoding import decode_path, encode_path
from calibration.exact.issuer import Issuer
from calibration.exact.policies import policy_path, with_thresholds
from calibration.exact.strata import Parts
from calibration.groups import all_frames, all_images
from calibration.known_splits import KnownCertificate
from calibration.ledger import Ledger
from calibration.planning.thresholds import planned_coverage
from trainer.certify.account import keep_ledger, open_account, spends_delta, split_of
from trainer.certify.evidence import Evidence, Policy, certified_on, parts_of, plan_path
from trainer.certify.exact import exact, look_ahead
from trainer.certify.scrc import scrc_inductive, scrc_transductive
from trainer.certify.shares import class_shares
from trainer.certify.user_ledger import now
from trainer.choices import CertificateName
from trainer.run.folder import RunFolder, read_json, write_json


def certify_run(evidence: Evidence, run: RunFolder) -> Policy:
    """Charge the ledgers of run and user, prove, and write ledger.json, thresholds.json and certificate.json.

    Raises `DeltaExhausted` if the calibration split has too little delta left; nothing is changed then.
    """
    if not reads_labels(evidence):
        keep_ledger(run, evidence.calib, evidence.promise.delta)
        policy = prove(evidence)
        write_policy(policy, run)
        return policy
    calib = evidence.calib
    account = open_account(run, split_of(calib), calib.digest, evidence.promise.delta)
    evidence = as_charged(evidence, run, account.ledger)
    after, readings = charge(evidence, account.ledger), readings_of(evidence, account.place)
    # In both ledgers before a label is read: an interrupted proof has been charged too.
    account.enter(after, key_of(evidence), readings)
    policy = prove(evidence)
    write_policy(policy, run)
    return policy


def as_charged(evidence: Evidence, run: RunFolder, ledger: Ledger) -> Evidence:
    """The evidence with its path: that of the policy in `run`, if `ledger` holds the charge for exactly that.

    So the same promise on the same scores gives the same certificate at no cost, also if an older version
    has planned its path.
    """
    path = read_json(run.thresholds).get("path") if run.thresholds.is_file() else None
    if path is not None and len(path[0]) == len(evidence.rules):
        charged = replace(evidence, charged_path=decode_path(path))
        known = {entry.fingerprint for entry in ledger.entries(evidence.calib.digest)}
        if fingerprint(charged) in known:
            return charged
    return planned(evidence)


def charge(evidence: Evidence, ledger: Ledger) -> Ledger:
    """The ledger with the charge of `prove` on val_calib; reads no label of it."""
    if not spends_delta(evidence.promise) or _empty_split(evidence):
        return ledger
    parts_of(evidence)  # a missing column is refused before it costs delta
    if evidence.promise.planned_shares is not None:
        class_shares(evidence.promise.planned_shares, evidence.class_names)
    return ledger.charge(
        evidence.calib.digest, _entry_text(evidence), evidence.promise.delta, fingerprint(evidence)
    )


def readings_of(evidence: Evidence, place: str) -> tuple[KnownCertificate, ...]:
    """The entry of a method that reads labels of val_calib and spends no delta; reads none itself."""
    if spends_delta(evidence.promise) or not reads_labels(evidence):
        return ()
    return (KnownCertificate(_entry_text(evidence), 0.0, fingerprint(evidence), place, now()),)


def key_of(*evidence: Evidence) -> tuple[tuple[str, float], ...]:
    """`KnownCertificate.key` of each certificate that reads labels."""
    return tuple(
        (fingerprint(one), one.promise.delta if spends_delta(one.promise) else 0.0)
        for one in evidence
        if reads_labels(one)
    )


def reads_labels(evidence: Evidence) -> bool:
    """Whether `prove` reads labels of val_calib."""
    return evidence.promise.certificate != "none" and not _empty_split(evidence)


def planned(evidence: Evidence) -> Evidence:
    """The evidence with its path, which the charge and the proof then need not plan again."""
    if not spends_delta(evidence.promise) or _empty_split(evidence):
        return evidence
    return replace(evidence, charged_path=plan_path(evidence))


def prove(evidence: Evidence) -> Policy:
    """The policy certified by the promised method.

    A problem that is too hard does not fail: the certificate is then infeasible and says what is missing,
    and the policy abstains.
    """
    if missing := _empty_split(evidence):
        return _abstaining(evidence, evidence.promise.certificate, missing)
    return METHODS[evidence.promise.certificate](evidence).doubted(evidence.doubt)


def _no_certificate(evidence: Evidence) -> Policy:
    """The policy without a certificate, which answers nothing. Reads no label of val_calib."""
    why = "no certificate was asked for; `demur calibrate --certificate exact` makes one from these scores"
    return replace(_abstaining(evidence, "none", why), remarks=(_plan_in_words(evidence),))


def _plan_in_words(evidence: Evidence) -> str:
    """The coverage that the path plans on val_select, by which runs without a certificate are compared."""
    select = evidence.select
    path = policy_path(select.stages, select.labels, evidence.rules, plan_path(evidence))
    counts = path.count(Parts.whole(len(select)))
    planned = planned_coverage(
        counts.answered[:, 0], counts.errors[:, 0], len(select), evidence.calib.n_groups, evidence.target
    )
    return (
        f"Planned on val_select: a certificate of {100 * evidence.target.alpha:g} % would answer about "
        f"{100 * planned:.0f} % of the images. This is no promise; compare settings by it, and certify the "
        "one that you choose"
    )


METHODS: Mapping[CertificateName, Callable[[Evidence], Policy]] = MappingProxyType(
    {
        "exact": exact,
        "look-ahead": look_ahead,
        "scrc-i": scrc_inductive,
        "scrc-t": scrc_transductive,
        "none": _no_certificate,
    }
)


def _empty_split(evidence: Evidence) -> str | None:
    """What is missing if a split has no images at all; None if both have some."""
    empty = [split.split for split in (evidence.select, evidence.calib) if len(split) == 0]
    if not empty:
        return None
    target = evidence.target
    floor = int(fewest_answered(0, target.alpha, target.delta))
    units = "images" if evidence.calib.groups is None else "groups"
    return (
        f"{' and '.join(empty)} empty; a risk of {target.alpha:.4g} at {1 - target.delta:.4g} confidence "
        f"needs at least {floor} answered calibration {units} without an error"
    )


def _abstaining(evidence: Evidence, method: str, why: str) -> Policy:
    """A valid policy that answers nothing, with the reason in its certificate."""
    calib = evidence.calib
    units = all_images(len(calib)) if calib.groups is None else all_frames(calib.n_groups, len(calib))
    certificate = Issuer(method, evidence.target, units, certified_on(evidence)).infeasible(why)
    return Policy(with_thresholds(evidence.rules, certificate), certificate, None)


def _entry_text(evidence: Evidence) -> str:
    """The words of the ledger entry: method, stages, engine, parts and risks."""
    promise = evidence.promise
    stages = "cascade" if len(evidence.rules) == 2 else "one stage"
    each = (
        ", each answer"
        if promise.each_answer
        else f", each value of {promise.slices}"
        if promise.slices
        else f", shares found in {promise.unlabelled.source}"
        if promise.unlabelled is not None
        else f", shares {promise.prevalence}"
        if promise.prevalence is not None
        else ""
    )
    alphas = ", ".join(f"{alpha:g}" for alpha in promise.alphas or (promise.alpha,))
    return f"{promise.certificate}: {stages} on {evidence.calib.engine}{each}, alpha {alphas}"


def fingerprint(evidence: Evidence) -> str:
    """Digest of the computation, so that an exact repetition costs nothing; reads no label of val_calib."""
    promise = evidence.promise
    # An interval from unlabelled images is found after the charge; the images are known by their digest.
    hidden: dict[str, Any] = {"prevalence": True, "unlabelled": {"source"}} if promise.unlabelled else {}
    whole = hashlib.sha256(promise.model_dump_json(exclude_none=True, exclude=hidden).encode())
    whole.update(evidence.calib.digest.encode())
    if spends_delta(evidence.promise):
        whole.update(np.ascontiguousarray(plan_path(evidence)).tobytes())
    for raw, rule in zip(evidence.calib.stages, evidence.rules, strict=True):
        whole.update(np.ascontiguousarray(rule.confidence(raw)).tobytes())
    return whole.hexdigest()


def write_policy(policy: Policy, run: RunFolder) -> None:
    """Write thresholds.json, certificate.json and, for SCRC, scrcparams.json."""
    write_json(run.certificate, policy.certificate.to_dict())
    write_json(
        run.thresholds,
        {
            "operating_point": [asdict(rule) for rule in policy.point.stages],
            "certificate": policy.certificate.sentence(),
            "further": [certificate.to_dict() for certificate in policy.further],
            "planned_on": "val_select",
            "path": None if policy.path is None else encode_path(policy.path),
        },
    )
    run.scrc.unlink(missing_ok=True)
    if policy.scrc is not None:
        write_json(run.scrc, policy.scrc)


def read_policy(run: RunFolder) -> Policy:
    """The policy of a finished run."""
    thresholds = read_json(run.need(run.thresholds, "demur calibrate"))
    path = thresholds["path"]
    if path is not None:
        path = decode_path(path)
    return Policy(
        OperatingPoint(tuple(StageRule(**rule) for rule in thresholds["operating_point"])),
        Certificate.from_dict(read_json(run.need(run.certificate, "demur calibrate"))),
        path,
        read_json(run.scrc) if run.scrc.is_file() else None,
        further=tuple(Certificate.from_dict(values) for values in thresholds.get("further", ())),
    )
