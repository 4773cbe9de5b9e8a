"""A record of a fleet in memory: it keeps what it is told, and knows bundles by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from monitoring.experiments.definition import Definition
from service.errors import ChangeRefused
from service.lineup.lineup import LineupPlan

Entry = tuple[tuple[str, ...], Definition | None, str, str]


class Record:
    """Fulfils `LineupRecord`."""

    def __init__(self, bundles: Mapping[str, Path] | None = None) -> None:
        """`bundles`: folders by the names under which they may be asked for."""
        self.entries: list[Entry] = []
        """Folders of the challengers, the experiment, who and why, by change"""
        self.fault: Exception | None = None
        """Raised instead of anything else"""
        self._bundles = bundles or {}

    def keep(self, plan: LineupPlan, experiment: Definition | None, by: str, reason: str) -> None:
        self._fail()
        self.entries.append((tuple(one.folder.name for one in plan.challengers), experiment, by, reason))

    def folder_of(self, name: str) -> Path:
        self._fail()
        try:
            return self._bundles[name]
        except KeyError:
            raise ChangeRefused(f"the registry has no bundle {name}") from None

    def roll_back(self, champion: str, by: str, reason: str) -> str | None:
        self._fail()
        return None

    def _fail(self) -> None:
        if self.fault is not None:
            raise self.fault
