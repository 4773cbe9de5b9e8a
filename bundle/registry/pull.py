"""Pull: a bundle out of a registry into a folder, verified, whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bundle.manifest import (
    MANIFEST_FILE,
    MAX_MANIFEST_BYTES,
    BundleError,
    BundleManifest,
    FileRecord,
    parse_manifest,
)
from bundle.registry import keys
from bundle.registry.errors import BundleNotFound, NoRoom, RegistryDamaged
from bundle.registry.location import Location, Missing
from bundle.registry.scratch import scratch_folder
from bundle.registry.signatures import choose_signature
from bundle.registry.transfer import Meter, Progress, incoming, unseen
from bundle.signing.envelope import SIGNATURE_FILE
from bundle.signing.policy import SignaturePolicy
from bundle.system.disk import sync_folder
from bundle.verify import read_manifest_bytes, verify_bundle


def pull_bundle(
    location: Location,
    digest: str,
    into: Path,
    *,
    trust: SignaturePolicy | None = None,
    on: Progress = unseen,
) -> Path:
    """Put the bundle into the folder `into`/`digest`, and return that; one that is there is verified.

    A copy that was changed, or whose signature does not satisfy `trust`, is replaced. Raises
    RegistryDamaged for files that are not the bundle's, a BundleError for a bundle that does not satisfy
    `trust` or contradicts itself, and NoRoom; nothing is left in part then.
    """
    keys.require_digest(digest)
    target = into / digest
    if holds_bundle(target, digest, trust):
        return target
    with _told(into), scratch_folder(into, digest) as scratch:
        data, manifest = _manifest(location, digest)
        files = {**manifest.files, MANIFEST_FILE: FileRecord(sha256=digest, size=len(data))}
        _require_room(into, sum(one.size for one in files.values()))
        meter = Meter(sum(one.size for one in files.values()), on)
        for file, one in files.items():
            chunks = location.download(keys.bundle_file(digest, file))
            _write(scratch / file, incoming(_present(chunks, file), file, one, meter))
        if (signature := choose_signature(location, digest, manifest, data, trust)) is not None:
            _write(scratch / SIGNATURE_FILE, [signature])
        verify_bundle(scratch, expected=manifest.version, trust=trust)
        _put_in_place(scratch, target, lambda: holds_bundle(target, digest, trust))
    return target


def holds_bundle(folder: Path, digest: str, trust: SignaturePolicy | None) -> bool:
    """Whether `folder` is the bundle `digest`, verified."""
    try:
        data = read_manifest_bytes(folder)
        verify_bundle(folder, trust=trust)
    except (BundleError, OSError):
        return False
    return hashlib.sha256(data).hexdigest() == digest


def _manifest(location: Location, digest: str) -> tuple[bytes, BundleManifest]:
    """bundle.json of a bundle that is whole in the registry, with its meaning."""
    try:
        location.read(keys.bundle_record(digest), MAX_MANIFEST_BYTES)
        data = location.read(keys.bundle_file(digest, MANIFEST_FILE), MAX_MANIFEST_BYTES)
    except Missing as error:
        raise BundleNotFound(f"{location.address} has no bundle {digest}") from error
    if hashlib.sha256(data).hexdigest() != digest:
        raise RegistryDamaged(
            f"{MANIFEST_FILE} of bundle {digest} in {location.address} was changed: its sha256 is not the "
            "bundle's digest; mend it with `demur registry push BUNDLE --repair`"
        )
    return data, parse_manifest(data)


def _present(chunks: Iterable[bytes], file: str) -> Iterator[bytes]:
    try:
        yield from chunks
    except Missing as error:
        raise RegistryDamaged(
            f"{file} of the bundle is missing ({error}); mend it with `demur registry push BUNDLE --repair`"
        ) from error


def _require_room(into: Path, size: int) -> None:
    free = shutil.disk_usage(into).free
    if free < size:
        raise NoRoom(
            f"{into} has {free:,} bytes free, and the bundle has {size:,}; free space or pull into "
            "another folder"
        )


def _write(path: Path, chunks: Iterable[bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as stream:
        for chunk in chunks:
            stream.write(chunk)
        stream.flush()
        os.fsync(stream.fileno())


def _put_in_place(scratch: Path, target: Path, is_good: Callable[[], bool]) -> None:
    """Rename `scratch` to `target`. The bundle stays if another process has put it there meanwhile; anything
    else that is there goes."""
    for folder, _, _ in os.walk(scratch):
        sync_folder(Path(folder))
    try:
        scratch.rename(target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        if is_good():
            return
        aside = scratch.with_suffix(".old")
        try:
            target.rename(aside)
            scratch.rename(target)
        finally:
            _remove(aside)
    sync_folder(target.parent)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _told(into: Path) -> Iterator[None]:
    """Say a failure of the disk that is pulled to, with the way out."""
    try:
        yield
    except OSError as error:
        raise NoRoom(
            f"{into} does not take the bundle: {error.strerror or error}; nothing was kept of it. Free "
            "space, give this user the right to write there, or pull into another folder"
        ) from error
