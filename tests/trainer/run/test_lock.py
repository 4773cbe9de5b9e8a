"""One run per folder: a second process is refused and names the first; a killed one leaves no lock."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from trainer.run.lock import FolderInUse, locked, locks_run

HOLD = """
import sys
from pathlib import Path
from trainer.run.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_run_is_refused_until_the_first_ends_however_it_ends(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        message = rf"run is in use by another run \(process {holder.pid}\); wait for"
        with pytest.raises(FolderInUse, match=message), locked(folder):
            pass
    finally:
        holder.kill()
        holder.communicate()
    with locked(folder):
        assert (folder / ".lock").read_text() == f"{os.getpid()}\n"


def test_a_step_on_a_finished_run_holds_its_lock_and_creates_no_folder(tmp_path: Path) -> None:
    @locks_run
    def step(folder: Path, value: int) -> int:
        if folder.is_dir():
            with pytest.raises(FolderInUse), locked(folder):
                pass
        return value

    assert step(tmp_path, 3) == 3
    assert step(tmp_path / "missing", 4) == 4
    assert not (tmp_path / "missing").exists()
