"""Scratch folders: beside their destination, and gone afterwards, also if their process was killed."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
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
    scratch, lock = _new_folder(parent, name)
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        os.close(lock)


def _new_folder(parent: Path, name: str) -> tuple[Path, int]:
    """A new folder and the descriptor that holds its lock."""
    while True:
        scratch = parent / f".{name}.{token_hex(6)}{_SUFFIX}"
        scratch.mkdir()
        try:
            lock = os.open(scratch, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        # Before it was locked another process may have taken it for one that was left over.
        if _locks(lock) is not False and scratch.exists():
            return scratch, lock
        os.close(lock)


def _locks(descriptor: int) -> bool | None:
    """Lock a folder: whether that succeeded, None where its file system knows no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _remove_left_over(parent: Path) -> None:
    for found in parent.glob(f".*{_SUFFIX}"):
        try:
            lock = os.open(found, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue
        # Without locks nobody knows whether its process lives, and it stays.
        if _locks(lock):
            shutil.rmtree(found, ignore_errors=True)
        os.close(lock)
