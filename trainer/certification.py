"""From scores to a certified policy: planned on val_select, proven on val_calib, entered in the ledger.

`certify_policy` is the only function that reads labels of val_calib.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from calibration.cascade import certify_cascade, plan_cascade
from calibration.certificate import Certificate, Population, RiskTarget
from calibration.decision import OperatingPoint, StageRule
from calibration.fixed_sequence import certify
from calibration.ledger import Ledger
from calibration.planning import plan_thresholds
from calibration.scores import BoolArray, FloatArray
from trainer.promise import CertificateName, PromiseConfig
from trainer.run_folder import RunFolder, read_json, write_json
from trainer.score_table import SplitScores


@dataclass(frozen=True, slots=True)
class Policy:
    """An operating point with what was proven about it."""

    point: OperatingPoint
    certificate: Certificate
    path: FloatArray | None
    """[T, stages], the thresholds in the order in which they were tested; None where none were planned"""


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that a certificate may look at."""

    select: SplitScores
    """val_select: plans"""
    calib: SplitScores
    """val_calib: proves"""
    rules: tuple[StageRule, ...]
    """Fitted on val_select, without thresholds; one a stage"""
    costs: tuple[float, ...]
    """Multiply-accumulates an image, one a stage"""
    promise: PromiseConfig

    @property
    def target(self) -> RiskTarget:
        return self.promise.target


def certify_policy(evidence: Evidence, ledger: Ledger) -> tuple[Policy, Ledger]:
    """The policy and the ledger with its charge; `DeltaExhausted` before any label is read.

    Never fails on a hard problem: the certificate is then infeasible, says what is missing, and the
    policy abstains.
    """
    prove = METHODS[evidence.promise.certificate]
    charged = ledger
    if evidence.promise.certificate in _CHARGED and len(evidence.calib):
        charged = ledger.charge(
            evidence.calib.digest, _what(evidence), evidence.promise.delta, _fingerprint(evidence)
        )
    return prove(evidence), charged


def _exact(evidence: Evidence) -> Policy:
    """Exact binomial test along one path, the cascade as one policy."""
    path = plan_path(evidence)
    if path is None or len(evidence.calib) == 0:
        return _abstaining(evidence, "exact fixed sequence", path)
    calib = evidence.calib
    columns = _columns(calib, evidence.rules)
    common: dict[str, Any] = {
        "groups": calib.groups,
        "unit": evidence.promise.unit,
        "seed": evidence.promise.seed,
        "split_digest": calib.digest,
        "engine": calib.engine,
    }
    if len(columns) == 2:
        (confidence_a, errors_a), (confidence_b, errors_b) = columns
        certificate = certify_cascade(
            confidence_a, errors_a, confidence_b, errors_b, path, evidence.target, **common
        )
    else:
        ((confidence, errors),) = columns
        certificate = certify(confidence, errors, path[:, 0], evidence.target, **common)
    return Policy(with_thresholds(evidence.rules, certificate), certificate, path)


def _no_certificate(evidence: Evidence) -> Policy:
    """No proof was asked for; a policy without one answers nothing. Reads no label of val_calib."""
    why = "no certificate was asked for; `demur calibrate --certificate exact` makes one from these scores"
    return _abstaining(evidence, "none", plan_path(evidence), why)


METHODS: Mapping[CertificateName, Callable[[Evidence], Policy]] = MappingProxyType(
    {"exact": _exact, "none": _no_certificate}
)
_CHARGED: frozenset[CertificateName] = frozenset({"exact", "scrc-i"})
"""Methods that promise with confidence 1 - delta, and so spend delta."""


def plan_path(evidence: Evidence) -> FloatArray | None:
    """The order of thresholds, [T, stages], from val_select alone; None where val_select is empty."""
    if len(evidence.select) == 0:
        return None
    columns = _columns(evidence.select, evidence.rules)
    n_calibration = evidence.calib.n_groups
    if len(columns) == 1:
        ((confidence, errors),) = columns
        return plan_thresholds(confidence, errors, n_calibration, evidence.target)[:, None]
    (confidence_a, errors_a), (confidence_b, errors_b) = columns
    return plan_cascade(
        confidence_a,
        errors_a,
        confidence_b,
        errors_b,
        evidence.costs[0],
        evidence.costs[1],
        n_calibration,
        evidence.target,
        slack=evidence.promise.slack,
    )


def with_thresholds(rules: Sequence[StageRule], certificate: Certificate) -> OperatingPoint:
    """The rules at the certified thresholds; a stage whose threshold is infinite answers nothing."""
    thresholds = certificate.threshold
    if thresholds is None:
        return OperatingPoint(tuple(replace(rule, threshold=None) for rule in rules))
    values = thresholds if isinstance(thresholds, tuple) else (thresholds,)
    return at_thresholds(rules, values)


def at_thresholds(rules: Sequence[StageRule], thresholds: Sequence[float]) -> OperatingPoint:
    """The rules at one point of a path."""
    return OperatingPoint(
        tuple(
            replace(rule, threshold=None if math.isinf(value) else float(value))
            for rule, value in zip(rules, thresholds, strict=True)
        )
    )


def _columns(scores: SplitScores, rules: Sequence[StageRule]) -> list[tuple[FloatArray, BoolArray]]:
    """(confidence [n], errors [n]) of each stage."""
    return [
        (rule.confidence(raw), np.asarray(raw.logits.argmax(axis=-1) != scores.labels, dtype=np.bool_))
        for raw, rule in zip(scores.stages, rules, strict=True)
    ]


def _abstaining(evidence: Evidence, method: str, path: FloatArray | None, why: str | None = None) -> Policy:
    """A valid policy that answers nothing, and why."""
    target, calib = evidence.target, evidence.calib
    grouped = calib.groups is not None
    population: Population = "random group, random frame" if grouped else "image"
    if why is None:
        empty = "val_select" if len(evidence.select) == 0 else "val_calib"
        floor = math.ceil(math.log(target.delta) / math.log1p(-target.alpha))
        units = "groups" if grouped else "images"
        why = (
            f"{empty} is empty; {target.alpha:.4g} at {1 - target.delta:.4g} confidence needs at least "
            f"{floor} answered calibration {units} without an error"
        )
    certificate = Certificate(
        feasible=False,
        meets_coverage=False,
        method=method,
        kind="pac",
        population=population,
        alpha=target.alpha,
        delta=target.delta,
        n=calib.n_groups,
        answered=0,
        errors=0,
        threshold=None,
        risk_upper_bound=None,
        coverage=0.0,
        coverage_lower_bound=0.0,
        split_digest=calib.digest,
        engine=calib.engine,
        needed=why,
    )
    return Policy(with_thresholds(evidence.rules, certificate), certificate, path)


def _what(evidence: Evidence) -> str:
    promise = evidence.promise
    stages = "cascade" if len(evidence.rules) == 2 else "one stage"
    return f"{promise.certificate}: {stages} on {evidence.calib.engine}, alpha {promise.alpha:g}"


def _fingerprint(evidence: Evidence) -> str:
    """Identifies the computation, so that repeating it exactly costs nothing; no labels of val_calib."""
    whole = hashlib.sha256(evidence.promise.model_dump_json().encode())
    whole.update(evidence.calib.digest.encode())
    path = plan_path(evidence)
    whole.update(b"" if path is None else np.ascontiguousarray(path).tobytes())
    for raw, rule in zip(evidence.calib.stages, evidence.rules, strict=True):
        whole.update(np.ascontiguousarray(rule.confidence(raw)).tobytes())
    return whole.hexdigest()


def write_policy(policy: Policy, ledger: Ledger, run: RunFolder) -> None:
    """thresholds.json, certificate.json and ledger.json."""
    write_json(run.ledger, ledger.to_dict())
    write_json(run.certificate, policy.certificate.to_dict())
    write_json(
        run.thresholds,
        {
            "operating_point": [asdict(rule) for rule in policy.point.stages],
            "certificate": policy.certificate.sentence(),
            "planned_on": "val_select",
            # Infinite thresholds (the stage answers nothing) have no JSON number and become null.
            "path": None if policy.path is None else policy.path.tolist(),
        },
    )


def read_point(run: RunFolder) -> OperatingPoint:
    """The certified operating point of a finished run."""
    stages = read_json(run.need(run.thresholds, "demur calibrate"))["operating_point"]
    return OperatingPoint(tuple(StageRule(**rule) for rule in stages))


def read_certificate(run: RunFolder) -> Certificate:
    return Certificate.from_dict(read_json(run.need(run.certificate, "demur calibrate")))


def read_ledger(run: RunFolder, budget: float) -> Ledger:
    """The run's ledger, or a fresh one with `budget` where nothing was certified yet."""
    return Ledger.from_dict(read_json(run.ledger)) if run.ledger.is_file() else Ledger(budget=budget)
