"""Limits of the system that a program runs into, and the setting that raises each."""

from __future__ import annotations

import errno
import os
import resource
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bundle.errors import BundlePackageError

THREADS, THREADS_PER_CORE = 8, 6
"""Threads and processes that a verb starts, with those of the libraries that it uses"""
OPEN_FILES = 48
"""Files that are open at a time, at most"""
MEBIBYTE = 2**20
ALLOCATION_FAILURES = ("can't allocate memory", "out of memory", "bad_alloc", "bad allocation")
"""Parts of the messages of libraries that found no memory, in lower case"""


class LimitTooLow(BundlePackageError):
    """A limit of the system is too low for the libraries, which would end the process without a message."""


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


MEMORY = Limit(
    frozenset({errno.ENOMEM}),
    (*ALLOCATION_FAILURES, "cannot allocate memory", "failed to map segment", "unable to allocate"),
    "ulimit -v",
    "memory ran out: raise `ulimit -v` or the memory limit of the container, or use a larger machine",
)
LIMITS = (
    Limit(
        frozenset({errno.EAGAIN}),
        ("can't start new thread", "resource temporarily unavailable", "thread constructor failed"),
        "ulimit -u",
        "no further process or thread can be started: raise `ulimit -u`, or the limit of the container",
    ),
    MEMORY,
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
FOLDER_ERRORS: Mapping[int, str] = {
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
        return MEMORY.way_out
    number = (error.errno or 0) if isinstance(error, OSError) else 0
    text = str(error).lower()
    for limit in LIMITS:
        if number in limit.numbers or any(word in text for word in limit.words):
            return None if limit.setting in str(error) else limit.way_out
    if isinstance(error, OSError) and number in FOLDER_ERRORS and is_temporary(error.filename):
        return f"{FOLDER_ERRORS[number]}; or name another folder for temporary files with TMPDIR"
    return None


def is_temporary(name: object) -> bool:
    """Whether a file was made by `tempfile`, in the folder for temporary files."""
    if not isinstance(name, str | bytes):
        return False
    folder, path = Path(os.environ.get("TMPDIR") or tempfile.gettempdir()), Path(os.fsdecode(name))
    return path.is_relative_to(folder) and str(path.relative_to(folder)).startswith(("tmp", "demur-"))


def require_limits(address_space: int, file_size: int = 0) -> None:
    """Raise `LimitTooLow` before a library runs into a limit and ends the process in its own words.

    `address_space`: bytes that the libraries map. `file_size`: bytes of the files that other programs write,
    whose messages name no limit; demur names its own files. Processes and threads are tried, because
    containers limit them too; the trial takes about a millisecond.
    """
    mapped, files = (resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_NOFILE))
    if mapped != resource.RLIM_INFINITY and mapped < address_space:
        raise LimitTooLow(
            f"the address space is limited to {mapped // MEBIBYTE:,} MiB, and this needs "
            f"{address_space // MEBIBYTE:,} MiB: raise `ulimit -v`"
        )
    if files != resource.RLIM_INFINITY and files < OPEN_FILES:
        raise LimitTooLow(
            f"only {files} files may be open at a time, and this needs {OPEN_FILES}: raise `ulimit -n`"
        )
    written = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    if written != resource.RLIM_INFINITY and written < file_size:
        raise LimitTooLow(
            f"files may have {written:,} bytes at most, and this needs {file_size:,}: raise `ulimit -f`"
        )
    needed = THREADS + THREADS_PER_CORE * (os.cpu_count() or 1)
    started = _threads_that_start(needed)
    if started < needed:
        raise LimitTooLow(
            f"only {started} more processes or threads can be started, and this needs {needed}: raise "
            "`ulimit -u`, or the limit of the container"
        )


def _threads_that_start(most: int) -> int:
    """How many threads can be started at the same time, up to `most`."""
    done = threading.Event()
    started: list[threading.Thread] = []
    stack = threading.stack_size(128 * 1024)
    try:
        for _ in range(most):
            thread = threading.Thread(target=done.wait, daemon=True)
            thread.start()
            started.append(thread)
    except RuntimeError:
        pass
    finally:
        threading.stack_size(stack)
        done.set()
        for thread in started:
            thread.join()
    return len(started)
