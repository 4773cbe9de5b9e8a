"""Gates on the bundle itself: its signature, its files, and its golden cases on the engine that serves."""

from __future__ import annotations

from pathlib import Path

from bundle.engines.contract import EngineError
from bundle.golden import GoldenMismatch
from bundle.loader import load_bundle
from bundle.manifest import BundleError
from bundle.signing.envelope import SignatureRefused
from bundle.system.subprocess_call import Say
from bundle.verify import open_manifest, verify_bundle
from deploy.gates.environment import signature_policy
from deploy.gates.outcome import GateResult
from deploy.gates.plan import GatesPlan
from deploy.gates.served import Served


def ask_signature(newcomer: Path, plan: GatesPlan, *, say: Say) -> list[GateResult]:
    """Whether a trusted key has signed exactly this bundle. Raises GateUndecided, KeyUnusable and
    ExtraMissing if there is no key to check it with."""
    trust = signature_policy(plan)
    limit = f"signed by one of {len(trust.trusted_keys())} trusted keys"
    try:
        status = open_manifest(newcomer, trust).signature
    except SignatureRefused as error:
        figure = "another signature" if error.signed else "not signed"
        return [GateResult("signature", "failed", str(error), figure, limit)]
    except BundleError as error:
        return [GateResult("signature", "failed", str(error), "no bundle", limit)]
    if status is None or status.state != "trusted":
        return [GateResult("signature", "inconclusive", "the signature was not checked", None, limit)]
    return [GateResult("signature", "passed", status.sentence(), status.key, limit, status.to_dict())]


def ask_verification(newcomer: Path, *, say: Say) -> list[GateResult]:
    """Whether every file of the bundle is as it was written, and its parts fit each other."""
    limit = "every file as it was written"
    try:
        manifest = verify_bundle(newcomer)
    except BundleError as error:
        return [GateResult("verification", "failed", str(error), error.file, limit)]
    files, size = len(manifest.files), sum(record.size for record in manifest.files.values())
    return [
        GateResult(
            "verification",
            "passed",
            f"{manifest.name} {manifest.version}: {files} files are as they were written.",
            f"{files} files",
            limit,
            {"files": files, "bytes": size, "name": manifest.name, "version": manifest.version},
        )
    ]


def ask_golden(newcomer: Served, *, say: Say) -> list[GateResult]:
    """Whether the golden cases have their expected outcomes on the engine that will serve."""
    key = newcomer.key
    limit = f"as expected on {key}"
    try:
        loaded = load_bundle(newcomer.folder, key=key)
    except GoldenMismatch as error:
        return [GateResult("golden", "failed", str(error), error.file, limit)]
    except BundleError as error:
        return [GateResult("golden", "failed", f"the bundle cannot be opened: {error}", error.file, limit)]
    except EngineError as error:
        text = f"{key} cannot be asked here: {error}"
        return [GateResult("golden", "inconclusive", text, None, limit)]
    cases = len(loaded.manifest.golden)
    if not cases:
        text = "the bundle has no golden cases, so nothing shows what this machine computes; write it anew"
        return [GateResult("golden", "inconclusive", text, 0, limit)]
    known = any(str(key) in case.expected for case in loaded.manifest.golden)
    text = f"{cases} golden cases have the expected outcomes on {key}" + (
        "." if known else ", of which the bundle has none; those of another engine are within the tolerance."
    )
    return [GateResult("golden", "passed", text, f"{cases} cases", limit)]
