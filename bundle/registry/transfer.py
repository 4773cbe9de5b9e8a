"""Transfer of a bundle's files: bytes are compared with the manifest's digests while they pass.

A file that is not the one in the manifest is found before the store or the disk takes it as a whole.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from bundle.manifest import BundleError, FileRecord
from bundle.registry.errors import RegistryDamaged
from bundle.verify import open_plain_file

_CHUNK: Final = 2**20

Progress = Callable[[int, int], None]
"""Called with the bytes that have passed and those of the whole transfer"""


def unseen(passed: int, total: int) -> None:
    """A progress that nothing shows."""


class Meter:
    """Bytes that have passed, of several files that pass one after the other."""

    def __init__(self, total: int, on: Progress) -> None:
        self._total = total
        self._on = on
        self._passed = 0
        on(0, total)

    def add(self, size: int) -> None:
        """`size` more bytes have passed."""
        self._passed += size
        self._on(self._passed, self._total)


def outgoing(folder: Path, file: str, record: FileRecord, meter: Meter) -> Iterator[bytes]:
    """The bytes of a file of a local bundle. Raises a BundleError for one that is not as in its manifest."""

    def read() -> Iterator[bytes]:
        try:
            with os.fdopen(open_plain_file(folder, file), "rb") as stream:
                while chunk := stream.read(_CHUNK):
                    yield chunk
        except OSError as error:
            raise BundleError(file, f"cannot be read: {error.strerror or error}") from error

    def differs(why: str) -> BundleError:
        return BundleError(file, f"{why}; it has changed since it was verified: push the bundle again")

    return _checked(read(), record, differs, meter)


def incoming(chunks: Iterable[bytes], file: str, record: FileRecord, meter: Meter) -> Iterator[bytes]:
    """The bytes of a file of a bundle in a registry. Raises RegistryDamaged for one that is not as in the
    manifest."""

    def differs(why: str) -> RegistryDamaged:
        return RegistryDamaged(
            f"{file} {why}: the registry holds it in part, or it was changed there; nothing was kept of the "
            "bundle. Try again, and if that fails mend it with `demur registry push BUNDLE --repair`"
        )

    return _checked(chunks, record, differs, meter)


def _checked(
    chunks: Iterable[bytes], record: FileRecord, differs: Callable[[str], Exception], meter: Meter
) -> Iterator[bytes]:
    digest, size = hashlib.sha256(), 0
    for chunk in chunks:
        size += len(chunk)
        if size > record.size:
            raise differs(f"has more than the {record.size} bytes that the manifest states")
        digest.update(chunk)
        yield chunk
        meter.add(len(chunk))
    if size != record.size:
        raise differs(f"has {size} bytes; the manifest says {record.size}")
    if digest.hexdigest() != record.sha256:
        raise differs("was changed: its sha256 is not the one in the manifest")
