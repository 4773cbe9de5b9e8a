"""Record of a line-up outside of this service: what a fleet shares, so that every service serves the same.

A service that follows no registry has none: its changes are its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from monitoring.experiments.definition import Definition
from service.lineup.lineup import LineupPlan


class LineupRecord(Protocol):
    """Record as a change of the line-up sees it. Every method may wait for the registry, and may be
    called from any thread."""

    def keep(self, plan: LineupPlan, experiment: Definition | None, by: str, reason: str) -> None:
        """Record a line-up that all workers have prepared, before it serves.

        `experiment`: the one that runs in it, with the folders of this service. Raises ChangeRefused if the
        record has moved on meanwhile or does not take it, and RecordUnreachable. Nothing serves then.
        """

    def folder_of(self, name: str) -> Path:
        """Folder of a bundle of the registry, pulled and verified.

        `name`: `name:version`, the first eight characters or more of a digest, or an alias. Raises
        ChangeRefused, which says what there is, and RecordUnreachable.
        """

    def roll_back(self, champion: str, by: str, reason: str) -> str | None:
        """Let the whole fleet return to its former champion if `champion`, a `name:version`, still is the
        champion; None: it is another by now. Returns the label of the bundle that returns. Raises
        ChangeRefused, if there is nothing to return to for instance, and RecordUnreachable.
        """
