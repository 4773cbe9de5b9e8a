"""What `demur experiment` reads: the logs of all services that take part."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from demur.commands.events import EventLogs
from demur.errors import InterfaceError
from monitoring.delivery.log_reader import LogReader
from service.settings import Settings


class NoExperiment(InterfaceError):
    """No experiment of that name, or none at all, has been started."""


def data_folders(given: Sequence[Path]) -> list[Path]:
    """The data folders that were named, or that of the environment."""
    return list(given) or [Path(os.environ.get("DEMUR_DATA_DIR") or "demur-data")]


def log_readers(folders: Sequence[Path], model: str | None) -> list[LogReader]:
    """Readers of the logs of one model in each data folder. Raises NoEvents."""
    read = (
        Settings.read(os.environ, bundle=Path(), data_dir=folder, model=model, windows=None)
        for folder in folders
    )
    return [reader for settings in read for reader in EventLogs.of(settings).readers]
