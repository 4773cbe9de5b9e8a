"""Scratch folders: beside their destination, and gone afterwards, also if their process was killed."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import Final

_SUFFIX: Final = ".partial"


@contextmanager
def scratch_folder(parent: Path, name: str) -> Iterator[Path]:
    """A new folder in `parent` for what becomes `name`, removed afterwards unless it was renamed.

    The folder is locked while its process lives; those that killed processes have left are removed here.
    Raises OSError.
    """
    parent.mkdir(parents=True, exist_ok=True)
    _remove_left_over(parent)
    while (made := _locked_folder(parent, name)) is None:
        pass
    scratch, lock = made
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        os.close(lock)


def _locked_folder(parent: Path, name: str) -> tuple[Path, int] | None:
    """A new folder and its lock; None if another process took it for one that was left over."""
    scratch = parent / f".{name}.{token_hex(6)}{_SUFFIX}"
    scratch.mkdir()
    lock = _lock(scratch)
    if lock is not None and scratch.exists():
        return scratch, lock
    if lock is not None:
        os.close(lock)
    return None


def _lock(folder: Path) -> int | None:
    """A descriptor that holds the lock of a folder; None if another process holds it, or it is gone."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _remove_left_over(parent: Path) -> None:
    for found in parent.glob(f".*{_SUFFIX}"):
        if (lock := _lock(found)) is not None:
            shutil.rmtree(found, ignore_errors=True)
            with suppress(OSError):
                os.close(lock)
