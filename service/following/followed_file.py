"""File of what a service has followed: the last record that it has served, with verified bundles.

A start without the registry opens it. Another fleet's file, a damaged one, and one of a later version are as
none, and said.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import structlog

from bundle.registry.errors import RegistryError
from bundle.registry.generation import Generation
from monitoring.formats import FormatTooNew, require_format

FILE: Final = "followed.json"
_MAX_BYTES: Final = 8 * 2**20

logger = structlog.get_logger("demur.following")


@dataclass(frozen=True, slots=True)
class Followed:
    """What a service has served last."""

    fleet: str
    generation: Generation
    kept: Mapping[str, float] = field(default_factory=dict)
    """Digests of former champions that are open -> until when (Unix time, seconds)"""


def following_folder(data_dir: Path) -> Path:
    """Folder of everything that a service keeps because it follows a registry."""
    return data_dir / "registry"


def bundles_folder(data_dir: Path) -> Path:
    """Folder of the pulled bundles, each under its digest."""
    return following_folder(data_dir) / "bundles"


def followed_generation(data_dir: Path) -> Generation | None:
    """The record that the service with this data folder serves; None if it follows none. Asks no registry."""
    found = read_followed(data_dir)
    return None if found is None else found.generation


def read_followed(data_dir: Path) -> Followed | None:
    """What was served last; None if there is nothing that can be read."""
    path = following_folder(data_dir) / FILE
    try:
        with path.open("rb") as stream:
            values = json.loads(stream.read(_MAX_BYTES))
        require_format(values, "what was followed")
        kept = {str(digest): float(until) for digest, until in values.get("kept", {}).items()}
        return Followed(str(values["fleet"]), Generation.from_values(values["generation"], str(path)), kept)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        logger.warning("followed_unreadable", file=str(path), why=f"{type(error).__name__}: {error}")
    except (RegistryError, FormatTooNew) as error:
        logger.warning("followed_unreadable", file=str(path), why=str(error))
    return None


def write_followed(data_dir: Path, followed: Followed) -> None:
    """Replace the file, whole or not at all. Raises OSError."""
    values: dict[str, Any] = {
        "fleet": followed.fleet,
        "generation": followed.generation.to_values(),
        "kept": dict(followed.kept),
    }
    folder = following_folder(data_dir)
    folder.mkdir(parents=True, exist_ok=True)
    scratch = folder / f".{FILE}.{uuid4().hex}"
    try:
        with scratch.open("wb") as stream:
            stream.write(json.dumps(values).encode())
            stream.flush()
            os.fsync(stream.fileno())
        scratch.replace(folder / FILE)
    except OSError:
        with suppress(OSError):
            scratch.unlink()
        raise
