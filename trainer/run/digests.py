"""Digests of the files of a run, by which a damaged one is noticed before it is used."""

from __future__ import annotations

import hashlib
from pathlib import Path

from trainer.errors import RunError

MISMATCH = "its content does not match its digest"


class DamagedFile(RunError):
    """A file of a run is cut short, or its content does not match its digest."""


def damage(path: Path, reason: str, way_out: str) -> str:
    """`run/model.onnx is damaged (...); ...`, the message about any damaged file."""
    return f"{path} is damaged ({reason}); {way_out}"


def file_digest(path: Path) -> str:
    """sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
