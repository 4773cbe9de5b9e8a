"""Certification on this machine, from calibration images that a bundle may carry.

`calibration/cases.json` names the images with their labels and groups, and for each precision the policies
to be tested, in order. Both were fixed on val_select, so a certificate that another engine gets from its
own scores of these images is as valid as one of the bundle. A share of the run's delta is reserved for one
such certificate, so it holds together with those of the bundle.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bundle.engines.contract import DEFAULT_PRECISION, EngineError, EngineKey
from bundle.extras import remedy_of
from bundle.images.errors import ImageError
from bundle.loader import open_stages
from bundle.manifest import BundleError, BundleManifest, BundlePath, BundleTampered, Count, Digest
from bundle.policy import CertificateEntry, OperatingPointField
from bundle.runner import CascadeRunner, CascadeStage, concatenated
from bundle.selection.issued import NotIssued
from bundle.system.subprocess_call import SubprocessLost, call_in_subprocess
from bundle.verify import read_verified
from calibration.certificate import CertifiedOn, RiskTarget
from calibration.encoding import decode_path
from calibration.exact.strata import Parts
from calibration.groups import Sampling, Unit
from calibration.scores import StageOutputs

CASES_FILE = "calibration/cases.json"
CERTIFY_SECONDS = 1800.0
"""Bound of the time for scoring all calibration images and certifying."""
_CHUNK = 256
"""Images in memory at a time."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CalibrationCase(_Record):
    """One labelled image."""

    file: BundlePath
    label: Count
    group: str | None = None
    """Images of one group are not independent."""


class Plan(_Record):
    """The policies that are tested at one precision, fixed on val_select."""

    rules: OperatingPointField
    """The rules of the stages, without thresholds."""
    path: tuple[tuple[float | None, ...], ...]
    """Thresholds [T, stages], from strict to loose; None: the stage answers no image."""


class CalibrationCases(_Record):
    """The whole of `calibration/cases.json`."""

    alpha: Annotated[float, Field(gt=0, lt=1)]
    reserved_delta: Annotated[float, Field(gt=0, lt=1)]
    """Share of delta that is charged and reserved for one certificate on an engine without one."""
    min_coverage: Annotated[float, Field(ge=0, le=1)]
    unit: Unit
    max_group_size: Annotated[int, Field(ge=1)] | None = None
    """Images of one group that count if the unit is image"""
    seed: Count
    all_frames: bool
    split_digest: Digest
    plans: dict[str, Plan]
    """By precision; fp32 is always present."""
    cases: Annotated[tuple[CalibrationCase, ...], Field(min_length=1)]


def carries_cases(manifest: BundleManifest) -> bool:
    """Whether the bundle carries its calibration images, so that it can be certified on another machine."""
    return reserve_of(manifest) is not None


def reserve_of(manifest: BundleManifest) -> str | None:
    """Identifier of the delta that is reserved for one further certificate; None if there is none."""
    record = manifest.files.get(CASES_FILE)
    return None if record is None else record.sha256


def read_cases(folder: Path, manifest: BundleManifest) -> CalibrationCases:
    """The calibration cases of a bundle. Raises BundleTampered if they do not match the manifest."""
    try:
        cases = CalibrationCases.model_validate_json(read_verified(folder, manifest, CASES_FILE))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BundleTampered(CASES_FILE, f"{place}: {first['msg']}") from error
    missing = next((case.file for case in cases.cases if case.file not in manifest.files), None)
    if missing is not None:
        raise BundleTampered(CASES_FILE, f"{missing} is not among the bundle's files")
    if DEFAULT_PRECISION not in cases.plans:
        raise BundleTampered(CASES_FILE, f"plans has {sorted(cases.plans)}, and no {DEFAULT_PRECISION!r}")
    if cases.unit == "image" and cases.max_group_size is None and cases.cases[0].group is not None:
        raise BundleTampered(
            CASES_FILE,
            "unit is 'image' without max_group_size, so nothing can be promised; pack the run again",
        )
    return cases


@dataclass(frozen=True, slots=True)
class _Uncertified:
    """Why there is no certificate."""

    why: str
    file: str | None = None
    """The file of the bundle that is at fault, if one is"""


def certify_in_subprocess(
    folder: Path,
    manifest: BundleManifest,
    key: EngineKey,
    say: Callable[[str], None] = lambda _: None,
    *,
    before_labels: Callable[[], None] = lambda: None,
) -> CertificateEntry:
    """`certify_locally` in a process of its own, which ends after `CERTIFY_SECONDS` or with this one.

    A model may loop on one of the images. `before_labels` is pickled. Raises BundleTampered, and NotIssued
    for every other failure, the time included.
    """
    read_cases(folder, manifest)  # a fault of the file is known before the process starts
    if (remedy := remedy_of("scipy")) is not None:
        raise NotIssued(
            f"certifying on this machine needs scipy; {remedy}; a container image brings it if it is built "
            "with --build-arg LOCK=service-certify"
        )
    work = partial(_certified_or_why, folder, manifest, key, before_labels=before_labels)
    try:
        outcome = call_in_subprocess(work, limit=CERTIFY_SECONDS, say=say)
    except SubprocessLost as error:
        raise NotIssued(
            f"its calibration images were not scored: {error}; the next start tries again"
        ) from error
    if isinstance(outcome, CertificateEntry):
        return outcome
    if outcome.file is not None:
        raise BundleTampered(outcome.file, outcome.why)
    raise NotIssued(outcome.why)


def _certified_or_why(
    folder: Path,
    manifest: BundleManifest,
    key: EngineKey,
    *,
    before_labels: Callable[[], None],
    say: Callable[[str], None],
) -> CertificateEntry | _Uncertified:
    try:
        return certify_locally(folder, manifest, key, say, before_labels=before_labels)
    except BundleError as error:
        return _Uncertified(error.why, error.file)
    except (NotIssued, EngineError) as error:
        return _Uncertified(str(error))


def certify_locally(
    folder: Path,
    manifest: BundleManifest,
    key: EngineKey,
    say: Callable[[str], None] = lambda _: None,
    *,
    before_labels: Callable[[], None] = lambda: None,
) -> CertificateEntry:
    """Score the bundle's calibration images on `key` and certify the bundle for it.

    `before_labels` is called after the scoring and before any label is read, and may raise. The scoring
    takes as long as deciding all images. Raises a BundleError, EngineUnavailable, and NotIssued if a score is
    no finite number; the reserved delta is then not used.
    """
    # Imported here because it loads SciPy, which serving does not need: 50 MB and half a second.
    from calibration.exact.policies import certify_policies, policy_path, with_thresholds

    cases = read_cases(folder, manifest)
    cores = os.cpu_count() or 1
    engines = open_stages(folder, manifest, key, calls=cores)
    runner = CascadeRunner(
        [
            CascadeStage(stage.preprocess, engine, stage.macs)
            for stage, engine in zip(manifest.stages, engines, strict=True)
        ],
        threads=cores,
    )
    say(
        f"certifying {manifest.name} {manifest.version} on {key}: scoring {len(cases.cases):,} images, for "
        f"{CERTIFY_SECONDS / 60:.3g} minutes at most"
    )
    parts = []
    for start in range(0, len(cases.cases), _CHUNK):
        chunk = cases.cases[start : start + _CHUNK]
        try:
            parts.append(runner.score_all([read_verified(folder, manifest, case.file) for case in chunk]))
        except ImageError as error:
            raise BundleTampered(CASES_FILE, f"an image cannot be decoded: {error}") from error
    scores = [concatenated(list(stage)) for stage in zip(*parts, strict=True)]
    _require_finite(scores, cases.cases, key)
    before_labels()
    plan = cases.plans.get(key.precision, cases.plans[DEFAULT_PRECISION])
    path = decode_path(plan.path)
    labels = np.array([case.label for case in cases.cases], dtype=np.int64)
    groups = [case.group for case in cases.cases]
    certificate = certify_policies(
        policy_path(scores, labels, plan.rules.stages, path),
        RiskTarget(cases.alpha, cases.reserved_delta, cases.min_coverage),
        Parts.whole(len(labels)),
        Sampling(
            None if None in groups else np.array(groups, dtype=np.str_),
            cases.unit,
            cases.seed,
            cases.max_group_size,
        ),
        "betting" if cases.all_frames else "exact",
        certified_on=CertifiedOn(cases.split_digest, str(key)),
    )
    certificate = replace(certificate, doubt=_doubt_of(manifest))
    say(f"{key}: {certificate.sentence()}")
    return CertificateEntry(
        engine=key.engine,
        precision=key.precision,
        certificate=certificate,
        operating_point=with_thresholds(plan.rules.stages, certificate),
    )


def _doubt_of(manifest: BundleManifest) -> str | None:
    """The doubt about these calibration images that the certificates of the bundle state."""
    return next((entry.certificate.doubt for entry in manifest.certificates if entry.certificate.doubt), None)


def _require_finite(scores: Sequence[StageOutputs], cases: Sequence[CalibrationCase], key: EngineKey) -> None:
    for outputs in scores:
        finite = np.isfinite(outputs.logits).all(axis=1)
        if outputs.gate is not None:
            finite &= np.isfinite(outputs.gate)
        if not finite.all():
            first = cases[int(finite.argmin())].file
            raise NotIssued(
                f"on {key} the model gives {int((~finite).sum())} of {len(cases)} calibration images scores "
                f"that are no finite numbers, {first} first; no delta was used"
            )
