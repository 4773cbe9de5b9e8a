"""Pushes and pulls that are killed: no bundle in part, and the next one completes or cleans up."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bundle.registry.registry import Registry

_ROOT = Path(__file__).parents[3]
_PROGRAM = """
import os, signal, sys
from pathlib import Path
from bundle.registry.opening import open_registry
verb, address, what, into, share = sys.argv[1:]
def on(passed, total):
    if passed >= float(share) * total:
        os.kill(os.getpid(), signal.SIGKILL)
registry = open_registry(address)
if verb == "push":
    registry.push(Path(what), "tests", on=on)
else:
    registry.pull(what, Path(into), on=on)
"""


def killed(*arguments: object) -> None:
    """A push or a pull in a process that is killed once the share of the bytes has passed."""
    command = [sys.executable, "-c", _PROGRAM, *map(str, arguments)]
    assert subprocess.run(command, check=False, timeout=300, cwd=_ROOT).returncode == -signal.SIGKILL


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_bundle, tmp_path / "bundle")


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_killed_push_leaves_no_bundle_and_the_next_one_completes_it(
    bundle: Path, registry: Registry, tmp_path: Path, share: float
) -> None:
    killed("push", registry.address, bundle, "-", share)
    assert registry.bundles() == []
    digest = registry.push(bundle, "tests").digest
    assert content(registry.pull(digest, tmp_path / "into")) == content(bundle)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_killed_pull_leaves_no_bundle_and_the_next_one_cleans_up(
    bundle: Path, registry: Registry, tmp_path: Path, share: float
) -> None:
    digest = registry.push(bundle, "tests").digest
    killed("pull", registry.address, digest, tmp_path / "into", share)
    assert not (tmp_path / "into" / digest).exists()
    assert content(registry.pull(digest, tmp_path / "into")) == content(bundle)
    assert [path.name for path in (tmp_path / "into").iterdir()] == [digest]
