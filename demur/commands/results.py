"""Results of verbs as plain values for `--json`; paths and non-finite numbers are written by `write_json`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from bundle.manifest import BundleManifest
from calibration.certificate import Certificate
from trainer.bundling.engines import CertifiedEngines
from trainer.certify.evidence import Policy
from trainer.certify.gate import GateFit
from trainer.reports.evaluation import Report
from trainer.reports.threshold_sweep import SweepRow
from trainer.run.folder import RunFolder
from trainer.scoring.agreement import Agreement


class Finished(Protocol):
    """A run with a certificate, a report and a bundle."""

    @property
    def policy(self) -> Policy: ...
    @property
    def report(self) -> Report | None: ...
    @property
    def manifest(self) -> BundleManifest: ...
    @property
    def summary(self) -> tuple[str, ...]: ...


def certificate_values(certificate: Certificate) -> dict[str, Any]:
    """The certificate with its sentence, as `demur inspect --json` gives it."""
    return {**certificate.to_dict(), "sentence": certificate.sentence()}


def run_values(finished: Finished, folder: Path) -> dict[str, Any]:
    """`demur train`, `wrap` and `calibrate RUN`."""
    run, policy = RunFolder(folder), finished.policy
    return {
        "run": run.root,
        "bundle": run.bundle,
        "name": finished.manifest.name,
        "version": finished.manifest.version,
        "certificate": certificate_values(policy.certificate),
        "further_certificates": [certificate_values(one) for one in policy.further],
        "remarks": policy.remarks,
        "report": None if finished.report is None else finished.report.to_dict(),
        "summary": finished.summary,
    }


def evaluation_values(report: Report, policy: Policy, folder: Path) -> dict[str, Any]:
    """`demur evaluate`."""
    return {
        "run": folder,
        "certificate": certificate_values(policy.certificate),
        "report": report.to_dict(),
        "files": RunFolder(folder).metrics,
    }


def gate_values(fit: GateFit, folder: Path) -> dict[str, Any]:
    """`demur gate`."""
    return {
        "run": folder,
        "rules": [asdict(rule) for rule in fit.rules],
        "scores": [asdict(row) for row in fit.rows],
        "sentences": fit.sentences(),
    }


def sweep_values(rows: Iterable[SweepRow], folder: Path) -> dict[str, Any]:
    """`demur sweep`; a threshold of null answers nothing."""
    return {"run": folder, "rows": [asdict(row) for row in rows], "files": RunFolder(folder).metrics}


def engines_values(certified: CertifiedEngines, folder: Path) -> dict[str, Any]:
    """`demur bundle`."""
    return {
        "run": folder,
        "bundle": RunFolder(folder).bundle,
        "name": certified.manifest.name,
        "version": certified.manifest.version,
        "engines": [
            {
                "engine": str(one.key),
                "certificate": certificate_values(one.policy.certificate),
                "on_test": None if one.on_test is None else agreement_values(one.on_test),
            }
            for one in certified.engines
        ],
        "left_out": [agreement_values(one) for one in certified.left_out],
        "shares": certified.shares,
        "notes": certified.notes,
        "price": certified.price,
    }


def agreement_values(found: Agreement) -> dict[str, Any]:
    """How often an engine's labels are those of full precision."""
    return {**asdict(found), "sentence": found.sentence()}


def ladder_values(certificates: Iterable[Certificate], prices: Iterable[float]) -> list[Mapping[str, Any]]:
    """Certificates of several risks with what sharing delta costs each in coverage."""
    return [
        {**certificate_values(one), "price": price} for one, price in zip(certificates, prices, strict=True)
    ]
