"""Folder of the experiments: a file for each, written whole, and kept when the experiment has ended."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import structlog

from monitoring.delivery.segments import sync_folder
from monitoring.experiments.definition import NAME, Definition, DefinitionUnreadable

logger = structlog.get_logger("demur.experiments")

FOLDER: Final = "experiments"
"""Its name in the data folder"""
_LOG: Final = "log-name"
_VIEWS: Final = "views"
"""Folder of what the watch has seen last, for the workers and for other processes"""


class ExperimentFolder:
    """The experiments of a data folder. One process writes, any number reads."""

    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir / FOLDER
        self._said: set[str] = set()

    def names(self) -> list[str]:
        """Names of all experiments, ended ones among them, in alphabetical order."""
        found = (path.name.removesuffix(".json") for path in self.path.glob("*.json"))
        return sorted(name for name in found if NAME.fullmatch(name))

    def read(self, name: str) -> Definition | None:
        """The definition of an experiment; None if there is none. Raises DefinitionUnreadable, and OSError
        if the file cannot be read."""
        if not NAME.fullmatch(name):
            return None
        try:
            text = (self.path / f"{name}.json").read_bytes()
        except FileNotFoundError:
            return None
        try:
            values = json.loads(text)
        except ValueError as error:
            raise DefinitionUnreadable(f"it is no JSON: {error}") from None
        definition = Definition.from_values(values)
        if definition.name != name:
            raise DefinitionUnreadable(f"it is the experiment {definition.name!r}, and its file {name!r}")
        return definition

    def all(self) -> list[Definition]:
        """Every experiment that can be read, the latest start at the end; the others are logged once."""
        found = []
        for name in self.names():
            try:
                definition = self.read(name)
            except (DefinitionUnreadable, OSError) as error:
                if name not in self._said:
                    self._said.add(name)
                    logger.error("experiment_unreadable", experiment=name, why=str(error))
                continue
            if definition is not None:
                found.append(definition)
        return sorted(found, key=lambda one: one.started.at)

    def running(self) -> Definition | None:
        """The experiment that has not ended."""
        return next((one for one in reversed(self.all()) if one.running), None)

    def write(self, definition: Definition) -> None:
        """Keep a definition, so that it outlives the machine's power. Raises OSError."""
        content = json.dumps(definition.to_values(), indent=1).encode()
        _write(self.path / f"{definition.name}.json", content, durable=True)

    def log_name(self) -> str:
        """A name of the event log in this data folder, which it keeps when the service is started again.

        Raises OSError.
        """
        path = self.path / _LOG
        with suppress(FileNotFoundError):
            if name := path.read_text("ascii", "ignore").strip():
                return name
        name = uuid4().hex
        _write(path, name.encode(), durable=True)
        return name

    def view(self, name: str) -> dict[str, Any] | None:
        """What the watch has seen last of an experiment; None before it has looked."""
        try:
            values = json.loads((self.path / _VIEWS / f"{name}.json").read_bytes())
        except (OSError, ValueError):
            return None
        return values if isinstance(values, dict) else None

    def keep_view(self, name: str, values: dict[str, Any]) -> None:
        """Show other processes what the watch sees. Raises OSError."""
        _write(self.path / _VIEWS / f"{name}.json", json.dumps(values).encode(), durable=False)


def _write(path: Path, content: bytes, *, durable: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{uuid4().hex}.new")
    try:
        with fresh.open("wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    if durable:
        sync_folder(path.parent)
