"""Limits of the system: each is named before a library ends the process, and whichever library reports it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bundle.system.limits import THREADS, LimitTooLow, require_limits, way_out

CHECK = """
from bundle.system.limits import LimitTooLow, require_limits
try:
    require_limits(2**20, 2**20)
except LimitTooLow as error:
    print(error)
"""
OTHER_USER = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
READS_ALL = ("--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search")


@pytest.mark.parametrize(
    ("error", "setting"),
    [
        (RuntimeError("can't start new thread"), "ulimit -u"),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), "ulimit -u"),
        (MemoryError(), "ulimit -v"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "ulimit -v"),
        (ImportError("libtorch.so: failed to map segment from shared object"), "ulimit -v"),
        (OSError(errno.EMFILE, "Too many open files", "x.jpg"), "ulimit -n"),
        (ImportError("x.so: cannot open shared object file: Too many open files"), "ulimit -n"),
        (OSError(errno.EFBIG, "File too large", "x.npy"), "ulimit -f"),
        (FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']"), "TMPDIR"),
    ],
)
def test_every_kind_names_the_setting_that_helps(error: Exception, setting: str) -> None:
    assert setting in str(way_out(error))


def test_a_message_that_names_the_setting_already_gets_no_second_one_and_a_bug_none() -> None:
    assert way_out(RuntimeError("too many open files; raise `ulimit -n`")) is None
    assert way_out(ValueError("shapes (3,) and (4,)")) is None
    assert way_out(OSError(errno.ENOENT, "No such file", "x.jpg")) is None


def test_a_folder_for_temporary_files_that_cannot_be_written_is_said_to_be_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    full = OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "demur-int8-x" / "int8.onnx"))
    assert "the disk is full: free some space; or name another folder" in str(way_out(full))
    assert "TMPDIR" in str(way_out(OSError(errno.EROFS, "Read-only", str(tmp_path / "tmpx1"))))
    for other in ("/elsewhere/x", str(tmp_path / "run" / "model.onnx")):
        assert way_out(OSError(errno.ENOSPC, "No space left on device", other)) is None


def test_the_limits_of_this_machine_suffice() -> None:
    require_limits(2**30, 2**20)
    with pytest.raises(LimitTooLow, match="address space"):
        limited("--as=200000000", 2**30)


def limited(option: str, address_space: int = 2**20) -> None:
    """Raise what `require_limits` raises in a process under one limit."""
    code = CHECK.replace("2**20, 2**20", f"{address_space}, 2**20")
    command = ["prlimit", option, sys.executable, "-c", code]
    if option.startswith("--nproc"):
        # The superuser has no such limit.
        command = [*OTHER_USER, *READS_ALL, *command] if os.geteuid() == 0 else command
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"the limit cannot be set here: {done.stderr.strip()}")
    assert done.stderr == ""
    if done.stdout:
        raise LimitTooLow(done.stdout)


@pytest.mark.parametrize(
    ("option", "setting"),
    [("--nproc=3", "ulimit -u"), ("--nofile=20", "ulimit -n"), ("--fsize=1000", "ulimit -f")],
)
def test_a_limit_that_is_too_low_is_refused_beforehand(option: str, setting: str) -> None:
    with pytest.raises(LimitTooLow, match=setting):
        limited(option)


def test_enough_threads_are_enough() -> None:
    limited(f"--nproc={THREADS + 100 * (os.cpu_count() or 1)}")
