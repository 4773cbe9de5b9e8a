"""The image files below a folder: links are followed, and content decides, not only the suffix."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
"""Files with these suffixes are images; if they cannot be decoded, that is a fault of the data"""
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*")
"""First bytes of JPEG, PNG, GIF and TIFF"""


@dataclass(frozen=True, slots=True)
class FoundFiles:
    """What lies below a folder, as paths relative to it, sorted by their parts."""

    images: tuple[Path, ...]
    others: tuple[Path, ...]
    """Files that are no images"""
    dead_links: tuple[Path, ...]
    """Links to nothing, or back to a folder above them"""


def find_files(root: Path) -> FoundFiles:
    """All files below `root` whose path has no part that begins with a dot."""
    images: list[Path] = []
    others: list[Path] = []
    dead: list[Path] = []
    for path in _files(root, root, (_identity(root),), dead):
        is_image = path.suffix.lower() in IMAGE_SUFFIXES or is_image_content(path)
        (images if is_image else others).append(path.relative_to(root))
    return FoundFiles(*(tuple(sorted(paths)) for paths in (images, others, dead)))


def is_image_content(path: Path) -> bool:
    """Whether a file begins as a JPEG, PNG, WebP, GIF or TIFF image."""
    try:
        with path.open("rb") as stream:
            start = stream.read(12)
    except OSError:
        return False
    return start.startswith(_SIGNATURES) or (start[:4] == b"RIFF" and start[8:] == b"WEBP")


def printable(name: str) -> str:
    r"""A file name as text: bytes that are no UTF-8 become escapes such as `\xe9`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _files(root: Path, folder: Path, above: tuple[tuple[int, int], ...], dead: list[Path]) -> Iterator[Path]:
    """Files below `folder`; `above`: identities of the folders that lead to it, against loops of links."""
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        try:
            identity = _identity(path)
        except OSError:
            dead.append(path.relative_to(root))
            continue
        if path.is_dir():
            if identity in above:
                dead.append(path.relative_to(root))
            else:
                yield from _files(root, path, (*above, identity), dead)
        elif path.is_file():
            yield path


def _identity(path: Path) -> tuple[int, int]:
    """Device and inode of what the path leads to."""
    found = path.stat()
    return found.st_dev, found.st_ino
