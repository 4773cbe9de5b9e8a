"""Archive: what must outlive the event log and the store, on the disk and in the store.

A file holds its content and a digest of it. A file that was cut or changed is refused, said and replaced: by
the copy in the store, or by a monitor that counts again what the store still holds. What a later version
keeps in a later format is said, and stays.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from contextlib import suppress
from errno import EPERM
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import structlog

from monitoring.formats import FormatTooNew, require_format
from monitoring.promise.latch import Latch, LatchUnreadable
from monitoring.promise.monitor import Base
from monitoring.store.contract import StoreUnavailable
from monitoring.store.shared_document import SharedDocument

logger = structlog.get_logger("demur.promise")

_LATCH: Final = "latch"
_FILE: Final = "latch in the file"
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]|^\.+")


class Archive:
    """The latch and the bases of one model."""

    def __init__(self, folder: Path, url: str | None, model: str, *, timeout: float = 1.0) -> None:
        """`folder`: of the files; `url`: of the store, if there is one; `timeout`: seconds per command."""
        self._folder = folder / _safe(model)
        self._url = url
        self._prefix = f"demur:{{{model}}}:promise"
        self._timeout = timeout
        self._said: dict[str, str] = {}
        self._newer: set[str] = set()
        """What a later version keeps, in a form that this one does not read: `latch in the file` and so on"""
        self.store_works = url is not None
        """Whether the store answered the last time"""

    def latch(self) -> Latch:
        """The latch as the disk and the store have it."""
        return self._from_disk().merged(self._from_store())

    def change_latch(self, change: Callable[[Latch], Latch]) -> Latch:
        """Apply `change` to the latch, on the disk first, which must not be lost; the latch afterwards.

        What the store does not take now, it gets at the next `keep_in_step`. Raises OSError if the disk does
        not take it, or if a later version keeps its latch there.
        """
        latch = change(self.latch())
        if _FILE in self._newer:
            raise OSError(EPERM, "a later version of demur keeps its latch there")
        self._write(_LATCH, latch.to_json())
        return self.keep_in_step(latch)

    def keep_in_step(self, latch: Latch) -> Latch:
        """The latch merged with the disk and the store, each of which gets what it lacks."""
        disk, store = self._from_disk(), self._from_store()
        merged = latch.merged(disk).merged(store)
        if merged != disk and _FILE not in self._newer:
            with suppress(OSError):
                self._write(_LATCH, merged.to_json())
        if merged != store and self._url is not None and self.store_works:
            self._store(_LATCH, lambda held: _merged(held, merged))
        return merged

    def base(self, bundle: str, begin: float) -> Base | None:
        """The latest base of a bundle whose monitor counts since `begin`, from the disk or the store."""
        documents = (self._read(bundle), self._fetch(bundle))
        found = [self._readable(bundle, one, begin) for one in documents if one is not None]
        return max((base for base in found if base is not None), key=lambda base: base.second, default=None)

    def keep(self, bundle: str, base: Base, begin: float) -> None:
        """Keep a base. Raises OSError if the disk does not take it."""
        document = json.dumps({"begin": begin, "base": base.to_dict()}).encode()
        held = self._read(bundle)
        if held is None or not _is_newer(held):
            self._write(bundle, document)

        def later(held: bytes | None) -> bytes | None:
            if held is None:
                return document
            before = None if _is_newer(held) else _base(held, begin)
            kept = _is_newer(held) or (before is not None and before.second >= base.second)
            return None if kept else document

        if self._url is not None and self.store_works:
            self._store(bundle, later)

    def _from_disk(self) -> Latch:
        return self._parsed(self._read(_LATCH), _FILE)

    def _from_store(self) -> Latch:
        return self._parsed(self._fetch(_LATCH), "latch in the store")

    def _parsed(self, document: bytes | None, where: str) -> Latch:
        self._newer.discard(where)
        try:
            return Latch() if document is None else Latch.from_json(document)
        except (LatchUnreadable, FormatTooNew) as error:
            if isinstance(error, FormatTooNew):
                self._newer.add(where)
            self._say(where, str(error))
            return Latch()

    def _readable(self, bundle: str, document: bytes, begin: float) -> Base | None:
        try:
            return _base(document, begin)
        except FormatTooNew as error:
            self._say(bundle, str(error))
            return None

    def _read(self, name: str) -> bytes | None:
        """Content of a file; None if there is none, or none that can be trusted."""
        path = self._folder / f"{_safe(name)}.json"
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            self._say(name, f"{path} cannot be read: {error.strerror}")
            return None
        digest, _, content = text.partition(b"\n")
        if digest != _digest(content):
            self._say(name, f"{path} was cut or changed, and is not used")
            return None
        self._said.pop(name, None)
        return content

    def _write(self, name: str, content: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{_safe(name)}.json"
        fresh = path.with_suffix(f".{uuid4().hex}.new")
        try:
            with fresh.open("wb") as file:
                file.write(_digest(content) + b"\n" + content)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)

    def _fetch(self, name: str) -> bytes | None:
        if self._url is None:
            return None
        try:
            document = self._document(name).read()
        except StoreUnavailable:
            self.store_works = False
            return None
        self.store_works = True
        return document

    def _store(self, name: str, change: Callable[[bytes | None], bytes | None]) -> None:
        try:
            self._document(name).change(change)
        except StoreUnavailable as error:
            self._say("store", f"the store does not keep what the promise monitor must not lose: {error}")
            self.store_works = False
        else:
            self._said.pop("store", None)

    def _document(self, name: str) -> SharedDocument:
        return SharedDocument(
            self._url or "", f"{self._prefix}:{name}", timeout=self._timeout, patience=2 * self._timeout
        )

    def _say(self, subject: str, what: str) -> None:
        """Log a fault once, until it is over."""
        if self._said.get(subject) != what:
            self._said[subject] = what
            logger.error("promise_state_refused", subject=subject, why=what)


def _merged(held: bytes | None, latch: Latch) -> bytes | None:
    """The document with both; None for one of a later version, which stays."""
    try:
        before = Latch() if held is None else Latch.from_json(held)
    except LatchUnreadable:
        before = Latch()
    except FormatTooNew:
        return None
    return before.merged(latch).to_json()


def _base(document: bytes, begin: float) -> Base | None:
    """The base in a document; None if it belongs to an earlier beginning, or is none. Raises FormatTooNew."""
    try:
        values: dict[str, Any] = json.loads(document)
        require_format(values, "a monitor's base")
        return Base.from_dict(values["base"]) if values["begin"] == begin else None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _is_newer(document: bytes) -> bool:
    try:
        require_format(json.loads(document), "a monitor's base")
    except FormatTooNew:
        return True
    except (ValueError, AttributeError):
        return False
    return False


def _digest(content: bytes) -> bytes:
    return sha256(content).hexdigest().encode()


def _safe(name: str) -> str:
    return _UNSAFE.sub("_", name)
