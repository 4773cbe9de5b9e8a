"""Virtual environments, one per peer, because their dependencies exclude one another."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import venv
from pathlib import Path

_BENCHMARKS = Path(__file__).resolve().parents[1]
CACHE = _BENCHMARKS.parent / ".bench"
"""Folder that persists between runs; git ignores it."""


class NotPrepared(RuntimeError):
    """A peer is not installed; the message says how to install it."""


def peer_python(name: str) -> Path:
    """Interpreter of the environment with this peer. Raises NotPrepared."""
    folder = CACHE / "peers" / name
    if not _is_current(name, folder):
        raise NotPrepared(f"{name} is not installed: run the benchmark with `--prepare` first")
    return folder / "bin" / "python"


def prepare_peer(name: str) -> None:
    """Install the pinned requirements of a peer, unless they are installed."""
    folder = CACHE / "peers" / name
    if _is_current(name, folder):
        return
    python = new_venv(folder)
    install(python, "-r", str(_requirements(name)))
    _stamp(folder).write_text(_digest(name))


def new_venv(folder: Path) -> Path:
    """Create an empty virtual environment without pip. Returns its interpreter."""
    venv.create(folder, with_pip=False, clear=True, symlinks=True)
    return folder / "bin" / "python"


def install(python: Path, *arguments: str) -> None:
    """Install into the environment of `python` with the pip of this interpreter."""
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", *arguments], check=True
    )


def _requirements(name: str) -> Path:
    return _BENCHMARKS / "peers" / name / "requirements.txt"


def _stamp(folder: Path) -> Path:
    return folder / ".installed"


def _digest(name: str) -> str:
    return hashlib.sha256(_requirements(name).read_bytes()).hexdigest()


def _is_current(name: str, folder: Path) -> bool:
    return _stamp(folder).is_file() and _stamp(folder).read_text() == _digest(name)
