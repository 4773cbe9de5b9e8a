"""Signals while a verb works: one line, the shell's exit code, and nothing half-written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.tiny_bundle import colour_image

from demur.interruption import RESUMABLE, Interruption

PROGRAM = (sys.executable, "-P", "-m", "demur.start")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two pictures under many names, so that every verb has work for a while."""
    for label in (0, 1):
        folder = tmp_path / "photos" / str(label)
        folder.mkdir(parents=True)
        (folder / "0.jpg").write_bytes(colour_image(label, 0.9, 0))
        for number in range(1, 3000):
            os.link(folder / "0.jpg", folder / f"{number}.jpg")
    return tmp_path / "photos"


def stopped(
    arguments: list[str], number: signal.Signals, ready: Callable[[int], bool], tmp_path: Path
) -> subprocess.CompletedProcess[str]:
    """Run a verb; once `ready(process number)` says so, send it and its children the signal, as a terminal
    does."""
    with subprocess.Popen(
        [*PROGRAM, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "DEMUR_LEDGER": str(tmp_path / "ledger")},
    ) as process:
        until = time.monotonic() + 300
        while not ready(process.pid):
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
            assert time.monotonic() < until, "the verb never got there"
            time.sleep(0.01)
        os.killpg(process.pid, number)
        out, err = process.communicate(timeout=300)
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


@pytest.mark.parametrize(
    ("number", "code", "line"),
    [
        (signal.SIGINT, 130, "demur: interrupted\n"),
        (signal.SIGTERM, 143, "demur: ended by SIGTERM\n"),
        (signal.SIGHUP, 129, "demur: ended by SIGHUP\n"),
    ],
)
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_predict_leaves_no_hidden_file(
    number: signal.Signals, code: int, line: str, suffix: str, tiny_bundle: Path, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    arguments = ["predict", "--bundle", str(tiny_bundle), "--data", f"folder:{photos}"]
    arguments += ["--out", str(out / f"d.{suffix}")]
    done = stopped(arguments, number, lambda _: any(out.iterdir()), tmp_path)
    assert (done.returncode, done.stderr) == (code, line)
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_processes_that_render_scenes_are_silent(number: signal.Signals, tmp_path: Path) -> None:
    arguments = ["data", "scenes:sequences=4000", "--sheet", str(tmp_path / "sheet.png")]
    began = time.monotonic()
    done = stopped(
        arguments, number, lambda pid: _has_started(pid) and time.monotonic() - began > 3, tmp_path
    )
    assert done.returncode == 128 + number
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "sheet.png").exists()


def test_a_run_says_that_it_can_go_on(photos: Path, tmp_path: Path) -> None:
    arguments = ["train", "--data", "scenes:sequences=2000", "--out", str(tmp_path / "run")]
    done = stopped(arguments, signal.SIGTERM, lambda _: (tmp_path / "run" / ".lock").exists(), tmp_path)
    line = "demur: ended by SIGTERM; the same command goes on from there\n"
    assert (done.returncode, done.stderr) == (143, line)


def _has_started(pid: int) -> bool:
    """Whether the first lines of demur have run: Python itself catches Ctrl-C, and no SIGTERM."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = int(status.partition("SigCgt:")[2].split()[0], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)


@pytest.mark.parametrize("delay", [0.0, 0.05, 0.1, 0.2, 0.4])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_early_signal_shows_no_traceback(number: signal.Signals, delay: float, tmp_path: Path) -> None:
    def ready(pid: int) -> bool:
        started = _has_started(pid)
        time.sleep(delay if started else 0)
        return started

    done = stopped(["data", "scenes:sequences=4000"], number, ready, tmp_path)
    assert done.returncode == 128 + number
    assert done.stderr in ("demur: interrupted\n", "demur: ended by SIGTERM\n")


def test_a_signal_that_the_parent_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        one = Interruption()
        with one.watched():
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGTERM)
        assert one.exit_code == 143
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


def test_what_can_go_on_says_so() -> None:
    one = Interruption()
    assert one.sentence("wrap") == "interrupted"
    assert all("the same command goes on" in one.sentence(verb) for verb in RESUMABLE)


def test_a_signal_that_passes_through_exec_leaves_the_exit_code() -> None:
    script = """
import os, signal, sys
from demur.interruption import Interruption
one = Interruption()
try:
    with one.watched():
        exec("import os, signal; os.kill(os.getpid(), signal.SIGTERM); 1 + 1")
except KeyboardInterrupt:
    sys.exit(one.exit_code)
"""
    done = subprocess.run([sys.executable, "-c", script], check=False)
    assert done.returncode == 143
