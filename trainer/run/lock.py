"""Lock of a run folder, so that two processes never write into one run."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from trainer.errors import RunError
from trainer.run.disk import explain_disk_errors

LOCK_FILE = ".lock"
P = ParamSpec("P")
R = TypeVar("R")


class FolderInUse(RunError):
    """Another process writes into the run folder."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of `folder`, which is created if necessary; `FolderInUse` names the process that has it.

    The operating system releases the lock when its process ends, however it ends.
    """
    with explain_disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK_FILE
    with explain_disk_errors(path):
        file = path.open("a+", encoding="utf-8")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise FolderInUse(
                f"{folder} is in use by another run (process {file.read().strip() or 'unknown'}); wait "
                "for its end, or choose another folder"
            ) from None
        except OSError:
            # Some network file systems have no locks; a run must still be possible there.
            yield
            return
        with explain_disk_errors(path):
            # Unbuffered: a buffer that cannot be written would raise again when the file is closed.
            os.ftruncate(file.fileno(), 0)
            os.write(file.fileno(), f"{os.getpid()}\n".encode())
        yield


def locks_run(step: Callable[Concatenate[Path, P], R]) -> Callable[Concatenate[Path, P], R]:
    """Decorator of a step on a finished run, whose first argument is the run folder: it holds the lock."""

    @wraps(step)
    def with_lock(folder: Path, /, *args: P.args, **kwargs: P.kwargs) -> R:
        if not folder.is_dir():
            return step(folder, *args, **kwargs)
        with locked(folder):
            return step(folder, *args, **kwargs)

    return with_lock
