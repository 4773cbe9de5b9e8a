"""Folder of the bundles: those that the private port may name, by the plain name of their own folder."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Final

from bundle.manifest import MANIFEST_FILE, BundleError
from bundle.verify import read_manifest
from service.errors import InvalidField, NoSuchBundle

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def names_of(bundles: Path) -> list[str]:
    """Names of the bundles, in alphabetical order. Raises OSError."""
    return sorted(
        entry.name
        for entry in bundles.iterdir()
        if _NAME.fullmatch(entry.name) and not entry.is_symlink() and (entry / MANIFEST_FILE).is_file()
    )


def labels_of(bundles: Path) -> set[str]:
    """`name:version` of the bundles that can be read."""
    found = set()
    for name in names_of(bundles):
        with suppress(BundleError):
            manifest = read_manifest(bundles / name)
            found.add(f"{manifest.name}:{manifest.version}")
    return found


def folder_of(bundles: Path, name: str) -> Path:
    """Folder of the bundle of this name. Raises InvalidField, NoSuchBundle, and OSError."""
    if not _NAME.fullmatch(name):
        raise InvalidField("a bundle is named by its folder's plain name", field="name")
    if name not in names_of(bundles):
        raise NoSuchBundle("there is no bundle of this name", field="name", value=name)
    return bundles / name
