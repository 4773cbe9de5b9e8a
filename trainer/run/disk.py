"""Errors of the disk as one sentence: the file, the reason, and the option or limit that helps."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from trainer.errors import RunError

_FULL = "the disk is full; free some space, or choose a folder on another disk with --out"
_FORBIDDEN = "writing is not permitted there; choose another folder with --out, or change its permissions"
_REASONS: Mapping[int, str] = MappingProxyType(
    {
        errno.ENOSPC: _FULL,
        errno.EDQUOT: "the disk quota is used up; free some space, or choose another folder with --out",
        errno.EACCES: _FORBIDDEN,
        errno.EPERM: _FORBIDDEN,
        errno.EROFS: "the file system is read-only; choose another folder with --out",
        errno.EFBIG: "it exceeds the largest file size that is permitted; raise it with `ulimit -f`",
        errno.EMFILE: "too many files are open; raise the limit with `ulimit -n`",
        errno.EISDIR: "it is a folder; name a file",
        errno.ENOTDIR: "a part of its path is a file, not a folder; choose another folder with --out",
        errno.EEXIST: "a file of that name exists, and no folder; choose another folder with --out",
    }
)


class DiskError(RunError):
    """A file cannot be written; the message names it, the reason and the way out."""


@contextmanager
def explain_disk_errors(path: Path) -> Iterator[None]:
    """Turn errors of the system while `path` is written into `DiskError`; other errors pass through.

    Libraries that write by themselves (safetensors) raise their own exceptions, whose text holds the number
    of the system's error.
    """
    try:
        yield
    except RunError:
        raise
    except Exception as error:
        reason = _REASONS.get(_number(error))
        if reason is None:
            raise
        raise DiskError(f"{path} cannot be written: {reason}") from error


def _number(error: Exception) -> int:
    """`errno` of an error of the system, 0 for other errors."""
    if isinstance(error, OSError):
        return error.errno or 0
    found = re.search(r"os error (\d+)", str(error))
    return int(found[1]) if found else 0


def reserve(path: Path) -> None:
    """Allocate all blocks of a sparse file, so that a full disk is an error now.

    A write to a memory-mapped file on a full disk would end the process with a signal.
    """
    with explain_disk_errors(path), path.open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
