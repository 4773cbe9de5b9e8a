"""Rendering: an overlay of k8s/ as the one file that `kubectl apply -f` takes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from deploy.errors import RenderingFailed

FOLDER: Final = Path(__file__).resolve().parents[2] / "k8s"
OVERLAYS: Final = ("cpu", "gpu", "dev", "canary", "keda", "persistent")
_HEAD: Final = "# Rendered from k8s/overlays/{name} by `python -m deploy.manifests.write`.\n"


def kubectl() -> str:
    """Path of kubectl: the one beside this Python, so that everybody renders with the same version, or the
    system's. Raises RenderingFailed."""
    beside = Path(sys.executable).parent / "kubectl"
    found = str(beside) if beside.is_file() else shutil.which("kubectl")
    if found is None:
        raise RenderingFailed("kubectl is not installed; `make venv` brings it")
    return found


def build(folder: Path) -> str:
    """What `kubectl kustomize` makes of a folder. Needs no cluster and no network. Raises RenderingFailed."""
    done = subprocess.run(  # noqa: S603 - a program and a folder of ours
        [kubectl(), "kustomize", str(folder)], capture_output=True, text=True, check=False, timeout=60
    )
    if done.returncode != 0:
        raise RenderingFailed(f"{folder.name}: {done.stderr.strip()}")
    return done.stdout


def rendered(name: str) -> str:
    """Text of k8s/rendered/NAME.yaml. Raises RenderingFailed."""
    return _HEAD.format(name=name) + build(FOLDER / "overlays" / name)
