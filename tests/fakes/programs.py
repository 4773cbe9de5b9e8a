"""Programs of the system that some tests need; `.ci/run` installs them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def installed(*names: str) -> str:
    """Path of the first program that is there. Without one the test is skipped, and fails where CI is set."""
    for name in names:
        if (path := shutil.which(name)) is not None:
            return path
    missing = f"{names[0]} is not installed"
    if os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)


def run_program(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [installed(name), *arguments], capture_output=True, text=True, check=False, timeout=300
    )
