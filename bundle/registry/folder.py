"""Folder as the location of a registry: a disk, or a share that several machines mount."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO, Final

from bundle.registry.errors import RegistryDamaged, RegistryUnavailable, RegistryUnfit
from bundle.registry.keys import MARKER
from bundle.registry.location import Exists, Missing, StoredObject
from bundle.system.disk import sync_folder

_CHUNK: Final = 2**20
_SCRATCH: Final = ".new"
"""End of the names of files that are being written"""
_NO_LINKS: Final = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


class FolderLocation:
    """A folder. A file appears in it whole: it is written beside its place, synced, and linked or renamed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()

    @property
    def address(self) -> str:
        """The folder."""
        return str(self.folder)

    def place(self, key: str) -> str:
        """The path of a key."""
        return str(self.folder / key)

    def read(self, key: str, limit: int) -> bytes:
        """See `Location.read`."""
        with self._told("read", key), self._open(key) as stream:
            data = stream.read(limit + 1)
        if len(data) > limit:
            raise RegistryDamaged(f"{key} in {self.address} has more than {limit} bytes, so it is no record")
        return data

    def create(self, key: str, data: bytes) -> None:
        """See `Location.create`. A hard link is the exclusive step, on a disk as on NFS.

        Raises RegistryUnfit for a file system without hard links.
        """
        path = self.folder / key
        with self._told("write", key), self._scratch(path) as scratch:
            _write(scratch, [data])
            try:
                os.link(scratch, path)
            except FileExistsError:
                # NFS may repeat a request whose answer was lost: two links say that the first one succeeded.
                if scratch.stat().st_nlink != 2:
                    raise Exists(f"{key} in {self.address} is there already") from None
            except OSError as error:
                if error.errno in _NO_LINKS:
                    raise RegistryUnfit(
                        f"{self.address} is on a file system without hard links, on which two writers could "
                        "both win; put the registry on a disk, on NFS, or in an object store (s3://...)"
                    ) from error
                raise
            sync_folder(path.parent)

    def put(self, key: str, data: bytes) -> None:
        """See `Location.put`."""
        self.upload(key, [data], len(data))

    def upload(self, key: str, chunks: Iterable[bytes], size: int) -> None:
        """See `Location.upload`."""
        path = self.folder / key
        with self._told("write", key), self._scratch(path) as scratch:
            _write(scratch, chunks)
            scratch.replace(path)
            sync_folder(path.parent)

    def download(self, key: str) -> Iterator[bytes]:
        """See `Location.download`."""
        with self._told("read", key), self._open(key) as stream:
            while chunk := stream.read(_CHUNK):
                yield chunk

    def names(self, prefix: str) -> list[str]:
        """See `Location.names`."""
        with self._told("list", prefix):
            try:
                found = os.listdir(self.folder / prefix)
            except (FileNotFoundError, NotADirectoryError):
                self._require_presence(prefix)
                return []
        return sorted(name for name in found if not name.endswith(_SCRATCH))

    def objects(self, prefix: str) -> list[StoredObject]:
        """See `Location.objects`."""
        with self._told("list", prefix):
            self._require_presence(prefix)
            return sorted(self._objects(self.folder / prefix), key=lambda one: one.key)

    def delete(self, key: str) -> None:
        """See `Location.delete`. Folders that are empty then go as well."""
        path = self.folder / key
        with self._told("delete", key):
            path.unlink(missing_ok=True)
            for parent in path.parents:
                if parent == self.folder:
                    return
                try:
                    parent.rmdir()
                except OSError:
                    return

    def _objects(self, top: Path) -> Iterator[StoredObject]:
        for folder, _, names in os.walk(top):
            for name in names:
                path = Path(folder) / name
                # A file may go while the folder is listed.
                with suppress(FileNotFoundError):
                    found = path.stat()
                    yield StoredObject(str(path.relative_to(self.folder)), found.st_size, found.st_mtime)

    @contextmanager
    def _open(self, key: str) -> Iterator[BinaryIO]:
        """A plain file, opened without waiting for a writer as a pipe would."""
        try:
            descriptor = os.open(self.folder / key, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            self._require_presence(key)
            raise Missing(f"{self.address} has no {key}") from None
        with os.fdopen(descriptor, "rb") as stream:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise RegistryDamaged(f"{key} in {self.address} is no plain file")
            yield stream

    def _require_presence(self, key: str) -> None:
        """Raise RegistryUnavailable if the whole registry is gone, as when a share is not mounted: that no
        record follows would be wrong then."""
        if key != MARKER and not (self.folder / MARKER).exists():
            raise RegistryUnavailable(
                f"{self.address} has no {MARKER}, so the registry is gone; look whether the disk or the "
                "share is mounted there"
            )

    @contextmanager
    def _scratch(self, path: Path) -> Iterator[Path]:
        """A name beside `path`, on the same file system; nothing is left of it afterwards."""
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f".{token_hex(8)}{_SCRATCH}")
        try:
            yield scratch
        finally:
            scratch.unlink(missing_ok=True)

    @contextmanager
    def _told(self, what: str, key: str) -> Iterator[None]:
        """Say a failure of the disk as one of the registry, with the way out."""
        try:
            yield
        except OSError as error:
            raise RegistryUnavailable(
                f"cannot {what} {key} in {self.address}: {error.strerror or error}; {_way_out(error)}"
            ) from error


def _way_out(error: OSError) -> str:
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "give this user the right to it, or choose another registry"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "free space, for example with `demur registry gc`, and try again; nothing was left in part"
    if error.errno == errno.ENAMETOOLONG:
        return "its file system takes shorter names only"
    return "look whether the disk or the share is there, and try again"


def _write(path: Path, chunks: Iterable[bytes]) -> None:
    with path.open("xb") as stream:
        for chunk in chunks:
            stream.write(chunk)
        stream.flush()
        os.fsync(stream.fileno())
