"""Timings of bundles that one test has made, for the data folders of the next ones.

A service times the engines of a bundle at its first start with a data folder, which takes seconds in a
process of its own. Most tests start with an empty folder and are not about this.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Final

_KEPT: Final = tempfile.TemporaryDirectory(prefix="demur-timings-")
"""Gone with this process"""


def lend(data_dir: Path) -> None:
    """Give a data folder the timings that have been made; a file in its place stays as it is."""
    if not data_dir.is_file():
        _copy(Path(_KEPT.name), data_dir / "engines")


def keep(data_dir: Path) -> None:
    """Keep the timings of a data folder."""
    _copy(data_dir / "engines", Path(_KEPT.name))


def _copy(source: Path, target: Path) -> None:
    for file in source.glob("*.json"):
        if not (target / file.name).exists():
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, target)
