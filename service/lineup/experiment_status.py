"""Experiment as a worker shows it: what it deals itself, and the units that the parent has counted."""

from __future__ import annotations

from typing import Any, Final

from monitoring.events import CONTROL
from monitoring.experiments.dealing import RunningExperiment
from monitoring.experiments.folder import ExperimentFolder
from service.lineup.lineup import Deployments

_OF_ARM: Final = {"units": None, "withdrawn": None}


class ExperimentStatus:
    """The running experiment for /health, /live and the page."""

    def __init__(self, folder: ExperimentFolder, deployments: Deployments) -> None:
        self._folder, self._deployments = folder, deployments
        self._view: dict[str, Any] | None = None

    def look(self) -> None:
        """Read what the parent has counted; for a thread, since a disk may be slow."""
        running = self._deployments.experiment
        self._view = None if running is None else self._folder.view(running.name)

    def body(self) -> dict[str, Any] | None:
        """Name, arms, shares and units; None if no experiment runs."""
        running = self._deployments.experiment
        if running is None:
            return None
        view = self._view if self._view is not None and self._view.get("name") == running.name else {}
        return {
            "name": running.name,
            "began": view.get("began"),
            "stratum": running.stratum,
            "blocked": bool(view.get("blocked")),
            "arms": self._arms(running, view.get("arms") or []),
        }

    def _arms(self, running: RunningExperiment, seen: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The arms that this worker deals to, the control first, and those that have left."""
        shares = running.dealing.shares()
        control = self._deployments.champion.label
        known = {CONTROL: control, **{arm: arm for arm in shares}}
        shadows = {one.deployment.label for one in self._deployments.shadows}
        known |= {shadow: shadow for shadow in shadows}
        known |= {one["arm"]: one["bundle"] for one in seen if one["arm"] not in known}
        by_name = {one["arm"]: one for one in seen}
        rest = round(1.0 - sum(shares.values()), 9)
        return [
            {
                **_OF_ARM,
                **by_name.get(arm, {}),
                "arm": arm,
                "bundle": bundle,
                "shadow": arm in shadows,
                "share": rest if arm == CONTROL else shares.get(arm, 0.0),
            }
            for arm, bundle in known.items()
        ]
