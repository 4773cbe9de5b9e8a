"""Images built without a daemon, by buildah in a store of its own, as root and without user namespaces."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.record import ROOT

SCRIPTS = ROOT / "deploy" / "image"
BASE = "localhost/demur-base:debian"
BUILD_SECONDS = 1800.0


@dataclass(frozen=True, slots=True)
class Pushed:
    """An image as a registry would hold it."""

    id: str
    """Digest of its configuration, which holds those of all layers"""
    layers: tuple[str, ...]
    """Digests of the compressed layers"""
    compressed: int
    """Bytes of the layers"""


class Store:
    """A folder of images and of the files of running ones."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        settings = folder / "storage.conf"
        settings.write_text(
            f'[storage]\ndriver = "vfs"\ngraphroot = "{folder / "graph"}"\nrunroot = "{folder / "run"}"\n'
        )
        self._environment = {
            **os.environ,
            "BUILDAH_ISOLATION": "chroot",
            "BUILDER": "buildah",
            "CONTAINERS_STORAGE_CONF": str(settings),
            "STORAGE_DRIVER": "vfs",
            "TMPDIR": str(folder),
        }

    def import_base(self, archive: Path) -> None:
        """Make the image BASE of an archive of files."""
        context = self._folder / "base"
        context.mkdir()
        (context / "base.tar").hardlink_to(archive)
        (context / "Dockerfile").write_text("FROM scratch\nADD base.tar /\n")
        self._call("buildah", "build", "--quiet", "--tag", BASE, str(context))

    def build(self, target: str, tag: str, *options: str, form: str = "docker") -> None:
        """Build a target of the Dockerfile on BASE."""
        variables = {"BASE": BASE, "FORMAT": form}
        self._call(str(SCRIPTS / "build.sh"), target, tag, "--quiet", *options, variables=variables)

    def inspect(self, tag: str) -> str:
        """What buildah says of an image, as JSON."""
        return self._call("buildah", "inspect", "--type", "image", tag)

    def mount(self, tag: str) -> Path:
        """The files of an image."""
        container = self._call("buildah", "from", "--pull-never", tag).strip()
        return Path(self._call("buildah", "mount", container).strip())

    def push(self, tag: str, folder: Path) -> Pushed:
        """The image as a registry would hold it, written into a new folder."""
        self._call("buildah", "push", "--quiet", "--format", "oci", tag, f"oci:{folder}:image")
        index = json.loads((folder / "index.json").read_text())
        manifest = json.loads(_blob(folder, index["manifests"][0]["digest"]).read_text())
        layers = tuple(layer["digest"] for layer in manifest["layers"])
        return Pushed(
            manifest["config"]["digest"], layers, sum(_blob(folder, one).stat().st_size for one in layers)
        )

    def _call(self, *command: str, variables: Mapping[str, str] | None = None) -> str:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**self._environment, **(variables or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=BUILD_SECONDS,
        )
        if done.returncode:
            raise RuntimeError(
                f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
            )
        return done.stdout


def _blob(folder: Path, digest: str) -> Path:
    return folder / "blobs" / digest.replace(":", "/")
