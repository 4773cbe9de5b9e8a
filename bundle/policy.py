"""The certified policy in a bundle: a certificate and the operating point that it was proven for.

Both are computed on one engine at one precision and hold only there, so a bundle has an entry for each
engine and precision that it was certified on.

An entry is accepted only if its parts fit each other: the thresholds of certificate and operating point
are equal, and the counts of the certificate can prove its promise. Digests show damage, but they
can be computed again; these checks find a promise that was edited together with its digests.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator

from bundle.proof import check_proof
from calibration.certificate import Certificate
from calibration.decision import OperatingPoint


def _thresholds_from_json(value: Any) -> Any:
    """A stage that answers no image has an infinite threshold, which JSON can only express as null."""
    if isinstance(value, Mapping) and isinstance(value.get("threshold"), list):
        thresholds = tuple(math.inf if t is None else t for t in value["threshold"])
        return {**value, "threshold": thresholds}
    return value


CertificateField = Annotated[
    Certificate, BeforeValidator(_thresholds_from_json), PlainSerializer(Certificate.to_dict)
]
OperatingPointField = Annotated[OperatingPoint, PlainSerializer(asdict)]
NAME_PATTERN: Final = r"^[a-z0-9][a-z0-9._-]{0,63}$"
"""Names of bundles, and parts of the keys of certificates"""
KeyPart = Annotated[str, Field(pattern=NAME_PATTERN)]


class CertificateEntry(BaseModel):
    """A certificate for one engine at one precision, and the rule that it was proven for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    engine: KeyPart
    precision: KeyPart
    certificate: CertificateField
    operating_point: OperatingPointField

    @property
    def key(self) -> str:
        """`engine/precision`, as `Certificate.engine` and `StageModel.name` write it."""
        return f"{self.engine}/{self.precision}"

    @model_validator(mode="after")
    def _parts_fit_each_other(self) -> Self:
        certificate = self.certificate
        if certificate.engine not in (None, self.key):
            raise ValueError(f"the certificate names engine {certificate.engine}, its entry {self.key}")
        self._check_thresholds()
        check_proof(certificate)
        return self

    def _check_thresholds(self) -> None:
        certificate, stages = self.certificate, self.operating_point.stages
        if isinstance(certificate.threshold, tuple):
            proven: tuple[float | None, ...] = certificate.threshold
        else:
            proven = (certificate.threshold,) if certificate.feasible else (None,) * len(stages)
        stated = tuple(None if t is None or math.isinf(t) else t for t in proven)
        applied = tuple(rule.threshold for rule in stages)
        if stated != applied:
            raise ValueError(
                f"the certificate was proven at thresholds {stated}, the operating point has {applied}; "
                "a certificate states one threshold per stage"
            )
        for rule in stages:
            for cut in (rule.set_threshold, rule.set_threshold_at_boundary):
                if cut is not None and not math.isfinite(cut):
                    raise ValueError(f"set_threshold is {cut}; 0 puts every label into the set, 2 none")
