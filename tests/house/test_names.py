"""Package names also exist on the package index and could be shadowed: each must resolve in this tree."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("demur", "calibration", "bundle", "monitoring", "trainer", "service", "deploy")
DEMUR = Path(sys.executable).with_name("demur")


@pytest.fixture
def hostile_folder(tmp_path: Path) -> Path:
    """A working folder with files that have the names of the packages."""
    for name in PACKAGES:
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from the working folder')\n")
    return tmp_path


@pytest.mark.parametrize("name", PACKAGES)
def test_a_name_resolves_in_this_tree(name: str, hostile_folder: Path) -> None:
    code = f"import {name}; print({name}.__file__)"
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=hostile_folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(done.stdout.strip()).is_relative_to(ROOT)


def test_command_line_ignores_the_working_folder(hostile_folder: Path) -> None:
    done = subprocess.run([DEMUR, "--help"], cwd=hostile_folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "train" in done.stdout


def test_torchvision_is_absent() -> None:
    """Its index build needs CUDA, and its mere presence breaks `from transformers import ViTModel`."""
    assert importlib.util.find_spec("torchvision") is None
