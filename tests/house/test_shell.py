"""Shell scripts: shellcheck finds nothing in any of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def scripts() -> list[Path]:
    """Every file of the repository whose first line names a shell."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True)
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [file for file in files if file.is_file() and _names_a_shell(file)]


def _names_a_shell(file: Path) -> bool:
    with file.open("rb") as stream:
        first = stream.readline(80).strip()
    return first.startswith(b"#!") and first.endswith(b"sh")


def test_the_scripts_are_found() -> None:
    assert {".ci/run", "deploy/image/build.sh"} <= {str(file.relative_to(ROOT)) for file in scripts()}


@pytest.mark.parametrize("script", scripts(), ids=lambda file: file.name)
def test_shellcheck_finds_nothing(script: Path) -> None:
    program = Path(sys.executable).with_name("shellcheck")
    done = subprocess.run([program, script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
