"""`demur inspect`: the content and the promise of a bundle, as JSON values or on a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bundle.engines.contract import EngineKey
from bundle.engines.installed import installation_problems, usable
from bundle.manifest import BundleManifest
from bundle.signing.envelope import SignatureRefused
from bundle.signing.policy import SignatureStatus
from bundle.verify import claimed_signature, verify_bundle
from calibration.decision import StageRule


def inspect_bundle(folder: Path) -> dict[str, Any]:
    """The bundle as plain JSON values, after verification. Raises a BundleError.

    `certificate` is the first certificate, null if there is none; `certificates` are all of them by
    engine and precision; `here` names those whose engine and precision are available on this machine.
    `signature`: what the signature says of itself, checked against no key. `audit_curves`: engines and
    precisions whose audits follow the confidence; `drift_reference`: the file, null if drift is off.
    """
    manifest = verify_bundle(folder)
    content = manifest.model_dump(mode="json")
    certificates = {
        entry.key: {**entry.certificate.to_dict(), "sentence": entry.certificate.sentence()}
        for entry in manifest.certificates
    }
    first = next(iter(certificates.values()), None)
    return {
        **{name: content[name] for name in ("name", "version", "schema_version", "created_at", "task")},
        "classes": list(manifest.classes),
        "certificate": first,
        "certificates": certificates,
        "operating_points": {
            entry["engine"] + "/" + entry["precision"]: entry["operating_point"]
            for entry in content["certificates"]
        },
        "stage_a_share": manifest.stage_a_share,
        "evaluation": content["evaluation"],
        "stages": content["stages"],
        "here": [entry.key for entry in manifest.certificates if usable(EngineKey.parse(entry.key))],
        "golden_cases": len(manifest.golden),
        "audit_curves": sorted(manifest.audits),
        "drift_reference": manifest.reference,
        "signature": signature_of(folder).to_dict(),
        "bytes": sum(record.size for record in manifest.files.values()),
        "provenance": content["provenance"],
    }


def signature_of(folder: Path) -> SignatureStatus:
    """What the signature of a bundle says of itself; a damaged one is told, and not raised."""
    try:
        return claimed_signature(folder)
    except SignatureRefused as error:
        return SignatureStatus("refused", why=error.why)


def render_bundle(
    manifest: BundleManifest, console: Console, signature: SignatureStatus | None = None
) -> None:
    """Print the bundle on a terminal: the promise first, in one sentence."""
    console.print(f"{manifest.name} {manifest.version}", style="bold", markup=False, highlight=False)
    console.print(manifest.task, markup=False)
    console.print(
        "Classes: " + ", ".join(f"{k} = {name}" for k, name in enumerate(manifest.classes)), markup=False
    )
    console.print()
    if not manifest.certificates:
        console.print("No promise: no certificate was computed, every image is abstained on.", style="yellow")
    for entry in manifest.certificates:
        style = "green" if entry.certificate.feasible else "yellow"
        here = "" if usable(EngineKey.parse(entry.key)) else " (not available on this machine)"
        sentence = f"{entry.key}{here}: {entry.certificate.sentence()}"
        console.print(sentence, style=style, markup=False, highlight=False)
    for problem in installation_problems():
        console.print(f"This machine: {problem}", style="yellow", markup=False, highlight=False)
    for notice in manifest.provenance.notices:
        console.print(f"Notice: {notice}", style="yellow", markup=False, highlight=False)
    console.print()
    console.print(_stage_table(manifest))
    if manifest.evaluation:
        console.print(_evaluation_table(manifest))
    if signature is not None:
        console.print(signature.sentence(), markup=False, highlight=False)
    size = sum(record.size for record in manifest.files.values()) / 1e6
    console.print(
        f"{len(manifest.files)} files, {size:.1f} MB, {len(manifest.golden)} golden cases, "
        f"{'a' if manifest.reference else 'no'} reference for drift",
        style="dim",
    )


def _stage_table(manifest: BundleManifest) -> Table:
    table = Table(title="Stages")
    for column in ("stage", "input", "parameters", "million MACs", "answers where"):
        table.add_column(column, overflow="fold")
    rules = manifest.certificates[0].operating_point.stages if manifest.certificates else ()
    for index, stage in enumerate(manifest.stages):
        table.add_row(
            stage.name,
            f"{stage.preprocess.height} x {stage.preprocess.width}",
            f"{stage.parameters:,}",
            f"{stage.macs / 1e6:,.1f}",
            _answers_where(rules[index]) if rules else "never",
        )
    return table


def _answers_where(rule: StageRule) -> str:
    if rule.threshold is None:
        return "never"
    condition = f"{rule.score} >= {rule.threshold:.4g}"
    if rule.set_threshold is not None:
        condition += f" and one label has p >= {rule.set_threshold:.4g}"
    return condition


def _evaluation_table(manifest: BundleManifest) -> Table:
    table = Table(title="Measured on held-out images")
    for column in ("figure", "value"):
        table.add_column(column, overflow="fold")
    for name, value in sorted(manifest.evaluation.items()):
        table.add_row(escape(name), f"{value:.4g}")
    return table
