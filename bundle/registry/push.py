"""Push: a verified bundle into a registry, its files first and its record last."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bundle.manifest import MANIFEST_FILE, BundleManifest, BundleTampered, FileRecord
from bundle.registry import keys
from bundle.registry.bundle_record import BundleRecord, StoredFile
from bundle.registry.errors import RegistryDamaged
from bundle.registry.location import Exists, Location, Missing
from bundle.registry.records import MAX_RECORD_BYTES, from_bytes, require_readable, to_bytes
from bundle.registry.signatures import add_signature
from bundle.registry.transfer import Meter, Progress, outgoing, unseen
from bundle.signing.policy import SignaturePolicy
from bundle.verify import read_manifest_bytes, read_signature, verify_bundle


@dataclass(frozen=True, slots=True)
class VerifiedBundle:
    """A bundle that may be pushed."""

    folder: Path
    files: Mapping[str, FileRecord]
    """Every file of it, bundle.json as the last one"""
    record: BundleRecord


def verified_bundle(folder: Path, by: str, trust: SignaturePolicy | None = None) -> VerifiedBundle:
    """Verify the bundle in `folder`; `by`: who pushes it. Raises a BundleError and RecordRefused."""
    data = read_manifest_bytes(folder)
    digest = hashlib.sha256(data).hexdigest()
    manifest = verify_bundle(folder, trust=trust)
    files = _files(folder, manifest, data, digest)
    return VerifiedBundle(folder, files, _record(digest, manifest, files, by))


def push_bundle(
    location: Location, bundle: VerifiedBundle, *, repair: bool = False, on: Progress = unseen
) -> BundleRecord:
    """Put a bundle into the registry, whole or not at all.

    One that is there already is completed where files of it are missing, and gets the signature beside its
    others; `repair` writes each of its files anew. Raises a BundleError and a RegistryError.
    """
    digest, files = bundle.record.digest, bundle.files
    there = None if repair else _stored(location, digest)
    held = (
        {} if there is None else {one.key: one.size for one in location.objects(keys.bundle_prefix(digest))}
    )
    left = {file: one for file, one in files.items() if held.get(keys.bundle_file(digest, file)) != one.size}
    meter = Meter(sum(one.size for one in left.values()), on)
    for file, one in left.items():
        chunks = outgoing(bundle.folder, file, one, meter)
        location.upload(keys.bundle_file(digest, file), chunks, one.size)
    if (signature := read_signature(bundle.folder)) is not None:
        add_signature(location, digest, signature)
    return there or _recorded(location, bundle.record, repair)


def read_record(location: Location, digest: str) -> BundleRecord:
    """The record of a bundle. Raises Missing, RegistryDamaged and RegistryTooNew."""
    key = keys.bundle_record(digest)
    what = f"{key} in {location.address}"
    return BundleRecord.from_values(from_bytes(location.read(key, MAX_RECORD_BYTES), what), digest, what)


def _files(folder: Path, manifest: BundleManifest, data: bytes, digest: str) -> dict[str, FileRecord]:
    """Every file of the bundle, bundle.json as the last one. Raises BundleTampered."""
    if hashlib.sha256(read_manifest_bytes(folder)).hexdigest() != digest:
        raise BundleTampered(MANIFEST_FILE, "changes while the bundle is pushed; push it again")
    names: dict[str, str] = {}
    for file in manifest.files:
        if (other := names.setdefault(file.casefold(), file)) != file:
            raise BundleTampered(
                file,
                f"differs from {other} in upper and lower case alone, and a registry may lie in a folder "
                "that does not tell them apart; name one of them differently",
            )
    return {**manifest.files, MANIFEST_FILE: FileRecord(sha256=digest, size=len(data))}


def _stored(location: Location, digest: str) -> BundleRecord | None:
    with suppress(Missing):
        return read_record(location, digest)
    return None


def _record(digest: str, manifest: BundleManifest, files: dict[str, FileRecord], by: str) -> BundleRecord:
    stored = {file: StoredFile(one.sha256, one.size) for file, one in files.items()}
    record = BundleRecord(digest, manifest.name, manifest.version, stored, time.time(), by)
    require_readable(lambda: BundleRecord.from_values(record.to_values(), digest, "the record of the bundle"))
    return record


def _recorded(location: Location, record: BundleRecord, repair: bool) -> BundleRecord:
    """The record as the registry holds it afterwards: ours, or that of another one who came first."""
    key, values = keys.bundle_record(record.digest), record.to_values()
    try:
        location.create(key, to_bytes(values))
    except Exists:
        try:
            return read_record(location, record.digest)
        except RegistryDamaged:
            if not repair:
                raise
            location.put(key, to_bytes(values))
    return record
