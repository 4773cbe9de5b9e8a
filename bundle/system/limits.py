"""Limits of the system that a program runs into, and the setting that raises each."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit: how running into it looks, and what helps."""

    numbers: frozenset[int]
    """Values of `errno`"""
    words: tuple[str, ...]
    """Parts of the messages of libraries, in lower case"""
    setting: str
    """The setting that raises it"""
    way_out: str


LIMITS = (
    Limit(
        frozenset({errno.EAGAIN}),
        ("can't start new thread", "resource temporarily unavailable", "thread constructor failed"),
        "ulimit -u",
        "no further process or thread can be started: raise `ulimit -u`, or the limit of the container",
    ),
    Limit(
        frozenset({errno.ENOMEM}),
        (
            "cannot allocate memory",
            "can't allocate memory",
            "failed to map segment",
            "unable to allocate",
            "bad_alloc",
            "bad allocation",
            "out of memory",
        ),
        "ulimit -v",
        "memory ran out: raise `ulimit -v` or the memory limit of the container, or use a larger machine",
    ),
    Limit(
        frozenset({errno.EMFILE, errno.ENFILE}),
        ("too many open files",),
        "ulimit -n",
        "too many files are open: raise `ulimit -n`",
    ),
    Limit(
        frozenset({errno.EFBIG}),
        ("file too large",),
        "ulimit -f",
        "the file exceeds the largest size that is permitted: raise `ulimit -f`",
    ),
    Limit(
        frozenset(),
        ("no usable temporary directory",),
        "TMPDIR",
        "there is no folder for temporary files: name one that can be written with TMPDIR",
    ),
)
_FOLDERS: Mapping[int, str] = {
    errno.ENOSPC: "the disk is full: free some space",
    errno.EDQUOT: "the disk quota is used up: free some space",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "its permissions forbid it",
    errno.EPERM: "its permissions forbid it",
}
"""Errors of a folder -> the reason"""


def way_out(error: BaseException) -> str | None:
    """What helps against an error of the system, whichever library reports it; None for other errors."""
    if isinstance(error, MemoryError):
        return LIMITS[1].way_out
    number = (error.errno or 0) if isinstance(error, OSError) else 0
    text = str(error).lower()
    for limit in LIMITS:
        if number in limit.numbers or any(word in text for word in limit.words):
            return None if limit.setting in str(error) else limit.way_out
    if isinstance(error, OSError) and number in _FOLDERS and is_temporary(error.filename):
        return f"{_FOLDERS[number]}; or name another folder for temporary files with TMPDIR"
    return None


def is_temporary(name: object) -> bool:
    """Whether a file lies in the folder for temporary files."""
    if not isinstance(name, str | bytes):
        return False
    folder = os.environ.get("TMPDIR") or tempfile.gettempdir()
    return Path(os.fsdecode(name)).is_relative_to(folder)
