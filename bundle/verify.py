"""Verification of a bundle: its folder is compared with its manifest, file by file."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bundle.manifest import (
    MANIFEST_FILE,
    MAX_MANIFEST_BYTES,
    BundleError,
    BundleManifest,
    BundleTampered,
    parse_manifest,
)
from bundle.signing.envelope import MAX_SIGNATURE_BYTES, SIGNATURE_FILE
from bundle.signing.policy import SignaturePolicy, SignatureStatus, claimed

REPORT_FILE: Final = "metrics/report.json"
_CHUNK = 2**20


class BundleMissing(BundleError):
    """The folder holds no bundle."""


class BundleUnexpected(BundleError):
    """The bundle is not the version that was expected."""


@dataclass(frozen=True, slots=True)
class OpenedManifest:
    """A manifest, and what its signature is worth."""

    manifest: BundleManifest
    signature: SignatureStatus | None
    """None: signatures are not checked"""


def verify_bundle(
    folder: Path, *, expected: str | None = None, trust: SignaturePolicy | None = None
) -> BundleManifest:
    """The manifest of a bundle whose every file is as it was written; see `verify_signed`."""
    return verify_signed(folder, expected=expected, trust=trust).manifest


def verify_signed(
    folder: Path, *, expected: str | None = None, trust: SignaturePolicy | None = None
) -> OpenedManifest:
    """Compare every file of `folder` with the manifest, and its parts with each other.

    No model is opened. `expected`: the version that the bundle must have, from a source that is independent
    of the bundle's folder; `trust`: see `open_manifest`. Raises BundleMissing, BundleTooNew,
    BundleUnexpected, SignatureRefused or BundleTampered (a changed, missing, added or linked file, an edited
    manifest, parts that contradict each other), naming the file.
    """
    opened = open_manifest(folder, trust)
    manifest = opened.manifest
    if expected is not None and manifest.version != expected:
        raise BundleUnexpected(
            MANIFEST_FILE,
            f"is version {manifest.version} of {manifest.name}; version {expected} was expected",
        )
    found = set(_entries(folder))
    for file in sorted(manifest.files.keys() - found):
        raise BundleTampered(file, "is missing")
    for file in sorted(found - manifest.files.keys() - {MANIFEST_FILE, SIGNATURE_FILE}):
        raise BundleTampered(file, "was added: the manifest does not list it")
    if SIGNATURE_FILE in found:
        read_signature(folder)
    for file in sorted(manifest.files):
        with os.fdopen(open_plain_file(folder, file), "rb") as stream:
            digest, size = hashlib.sha256(), 0
            while size <= manifest.files[file].size and (chunk := stream.read(_CHUNK)):
                digest.update(chunk)
                size += len(chunk)
        _check(manifest, file, size, digest.hexdigest())
    if REPORT_FILE in manifest.files:
        _check_figures(folder, manifest)
    return opened


def read_manifest(folder: Path, trust: SignaturePolicy | None = None) -> BundleManifest:
    """The manifest, checked for contradictions; see `open_manifest`."""
    return open_manifest(folder, trust).manifest


def open_manifest(folder: Path, trust: SignaturePolicy | None = None) -> OpenedManifest:
    """The manifest, checked for contradictions, with its signature; no other file is read.

    `trust`: the policy of signatures, None to check none. The signature is checked for the bytes that were
    parsed; the files are bound to the manifest by their digests. Raises as `verify_signed` does.
    """
    data = read_manifest_bytes(folder)
    manifest = parse_manifest(data)
    return OpenedManifest(
        manifest, None if trust is None else trust.check(manifest, data, read_signature(folder))
    )


def claimed_signature(folder: Path) -> SignatureStatus:
    """What the signature of a bundle says of itself, checked against no key. Raises as `claimed` does."""
    data = read_manifest_bytes(folder)
    return claimed(parse_manifest(data), data, read_signature(folder))


def read_manifest_bytes(folder: Path) -> bytes:
    """bundle.json as it is. Raises BundleMissing and BundleTampered."""
    if not (folder / MANIFEST_FILE).exists():
        raise BundleMissing(MANIFEST_FILE, f"not found in {folder}, which is therefore no bundle")
    return _read_regular(folder, MANIFEST_FILE, MAX_MANIFEST_BYTES)


def read_signature(folder: Path) -> bytes | None:
    """model.sig as it is, None if there is none. Raises BundleTampered if it is no plain file of bounded
    size."""
    if not os.path.lexists(folder / SIGNATURE_FILE):
        return None
    return _read_regular(folder, SIGNATURE_FILE, MAX_SIGNATURE_BYTES)


def read_verified(folder: Path, manifest: BundleManifest, file: str) -> bytes:
    """The bytes of a file of the bundle, checked after reading: exactly the returned bytes were checked."""
    record = manifest.files[file]
    data = _read_regular(folder, file, record.size)
    _check(manifest, file, len(data), hashlib.sha256(data).hexdigest())
    return data


def _entries(folder: Path) -> Iterator[str]:
    """Every file and every empty folder (with a `/` at its end) below `folder`, relative to it.

    Raises BundleTampered for anything that is neither a plain file nor a folder.
    """
    pending = [""]
    while pending:
        prefix = pending.pop()
        children = sorted(os.scandir(folder / prefix), key=lambda entry: entry.name)
        if not children and prefix:
            yield prefix
        for entry in children:
            path = prefix + entry.name
            mode = entry.stat(follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode):
                pending.append(path + "/")
            elif stat.S_ISREG(mode):
                yield path
            else:
                raise BundleTampered(path, "is a link or a special file; a bundle holds plain files only")


def _read_regular(folder: Path, file: str, limit: int) -> bytes:
    with os.fdopen(open_plain_file(folder, file), "rb") as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise BundleTampered(file, f"has more than {limit} bytes")
    return data


def open_plain_file(folder: Path, file: str) -> int:
    """A descriptor of a plain file, opened without following any link below `folder`."""
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        *parents, name = file.split("/")
        for parent in parents:
            inner = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
            os.close(directory)
            directory = inner
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
    except FileNotFoundError as error:
        raise BundleTampered(file, "is missing") from error
    except OSError as error:
        raise BundleTampered(file, f"cannot be read as a plain file: {error.strerror}") from error
    finally:
        os.close(directory)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise BundleTampered(file, "is a link or a special file; a bundle holds plain files only")
    return descriptor


def _check(manifest: BundleManifest, file: str, size: int, digest: str) -> None:
    record = manifest.files[file]
    if size != record.size:
        raise BundleTampered(file, f"has {size} bytes; the manifest says {record.size}")
    if digest != record.sha256:
        raise BundleTampered(file, "was changed: its sha256 is not the one in the manifest")


def _check_figures(folder: Path, manifest: BundleManifest) -> None:
    """Raise BundleTampered if the report on the test split states other figures than the manifest."""
    try:
        measurements = json.loads(read_verified(folder, manifest, REPORT_FILE))["measurements"]
        reported = [(str(one["metric"]), one) for one in measurements]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleTampered(REPORT_FILE, f"is no report of measurements: {error!r}") from error
    for metric, one in reported:
        for suffix, field in (("", "value"), ("_low", "low"), ("_high", "high")):
            stated, found = manifest.evaluation.get(metric + suffix), _figure(one, field)
            if stated is not None and found != stated:
                raise BundleTampered(
                    MANIFEST_FILE, f"states {metric + suffix} = {stated}; {REPORT_FILE} says {found}"
                )


def _figure(measurement: Any, field: str) -> float | None:
    value = measurement.get(field) if isinstance(measurement, dict) else None
    return float(value) if isinstance(value, int | float) else None
